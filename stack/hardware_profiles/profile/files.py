"""Profiles as files (edge)."""

from pathlib import Path

from pydantic import ValidationError

from stack.hardware_profiles.profile.errors import ProfileError
from stack.hardware_profiles.profile.models import SCHEMA, Profile
from stack.runtime.errors import describe_validation


def load_profile(path: Path) -> Profile:
    """ProfileError naming the file and the field when it is no profile of ours."""
    try:
        found = Profile.model_validate_json(path.read_bytes())
    except OSError as error:
        raise ProfileError(f"{path}: cannot be read ({(error.strerror or 'refused').lower()})") from None
    except ValidationError as error:
        raise ProfileError(describe_validation(error, source=str(path))) from None
    if found.schema_version != SCHEMA:
        raise ProfileError(f"{path}: field `schema_version`: must be {SCHEMA}, got {found.schema_version!r}")
    return found
