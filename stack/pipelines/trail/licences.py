"""Licences as documents name them (pure)."""

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression


def licence_url(licence: str) -> str:
    """The SPDX page of a single SPDX identifier; any other text (an expression, a LicenseRef, a name) stays as it is."""
    try:
        known = canonicalize_license_expression(licence)
    except InvalidLicenseExpression:
        return licence
    if " " in known or known.startswith("LicenseRef-"):
        return licence
    return f"https://spdx.org/licenses/{known}.html"
