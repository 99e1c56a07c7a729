"""What every page of figures shares: its look, and the policy that lets it load and run nothing."""

import base64
import hashlib
from pathlib import Path

LOOK = Path(__file__).parent / "look.css"
"""Palette, type, tables and plots."""


def content_policy(style: str) -> str:
    """The page may show itself and its own style, and load or run nothing."""
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
