"""A small dossier for each test."""

from pathlib import Path

import pytest
from dossier_kit import Made, make


@pytest.fixture
def made(tmp_path: Path) -> Made:
    return make(tmp_path)
