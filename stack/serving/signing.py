"""Signatures over a model's whole folder in the OpenSSF Model Signing format, by an elliptic-curve key in a file (edge).

The package `model-signing` does the work; it is imported here only. No transparency log, no network: what an air gap needs.
"""

from pathlib import Path
from types import ModuleType

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey, EllipticCurvePublicKey

from stack.runtime.files import atomic_path
from stack.serving.errors import ModelChangedError, ServingError
from stack.serving.formats import check_formats
from stack.serving.models import CatalogModel
from stack.serving.weights import Manifest, check_listing, check_model, model_dir, not_here, read_manifest, signature_file, verify_model

CURVES = frozenset({"secp256r1", "secp384r1", "secp521r1"})
"""Those the format allows."""
MAKE_KEY = (
    "make one with `openssl ecparam -name prime256v1 -genkey -noout -out key.pem`, and its public half with `openssl ec -in key.pem -pubout -out key.pub`"
)


def sign_model(model: CatalogModel, key: Path) -> Path:
    """Verify a pulled model, sign every file of its folder with the private key, and return the signature's place beside it."""
    _need_key(key, private=True)
    verify_model(model)
    place = signature_file(model.name)
    with atomic_path(place) as temporary:
        _package("signing").Config().set_hashing_config(_hashing()).use_elliptic_key_signer(private_key=key).sign(model_dir(model.name), temporary)
    return place


def verify_signature(model: CatalogModel, key: Path) -> Manifest:
    """That the pulled model is what the key's holder signed, byte for byte; ModelChangedError names the first file that is not.

    The signature covers every file, the manifest included, so the manifest's own hashes are not computed as well.
    """
    place = model_dir(model.name)
    if not place.is_dir():
        raise not_here(model.name)
    verify_folder(place, signature_file(model.name), key)
    manifest = read_manifest(model)
    check_listing(manifest, place)
    check_formats(place)
    check_model(model, manifest, place)
    return manifest


def verify_folder(folder: Path, signature: Path, key: Path) -> None:
    """Of any folder; ServingError when there is no signature or the key is not one, ModelChangedError when they do not fit."""
    _need_key(key, private=False)
    if not signature.is_file():
        raise ServingError(f"{folder.name}: has no signature: `stackproof models sign {folder.name} --key FILE`")
    try:
        _package("verifying").Config().set_hashing_config(_hashing()).use_elliptic_key_verifier(public_key=key).verify(folder, signature)
    except Exception as error:
        # The package raises ValueError for a mismatch, and whatever its parsers raise for bytes that are no signature.
        raise ModelChangedError(f"{folder}: signature does not hold: {_one_line(error)}") from None


def _hashing() -> object:
    """Every file counts: the package's default would leave out git's."""
    return _package("hashing").Config().use_file_serialization(allow_symlinks=False).set_ignored_paths(paths=[], ignore_git_paths=False)


def _package(module: str) -> ModuleType:
    from importlib import import_module

    try:
        return import_module(f"model_signing.{module}")
    except ImportError as error:
        raise ServingError(f"signatures need the package model-signing ({error}): install the extra `signing`") from None


def _need_key(key: Path, *, private: bool) -> None:
    """ServingError unless the file holds a key of the kind that is needed; the package would end in an AttributeError."""
    what = "private" if private else "public"
    try:
        content = key.read_bytes()
        found = serialization.load_pem_private_key(content, None) if private else serialization.load_pem_public_key(content)
    except OSError as error:
        raise ServingError(f"--key: {key} cannot be read: {error.strerror}") from None
    except TypeError:
        raise ServingError(f"--key: {key} is encrypted: an unencrypted key is needed: {MAKE_KEY}") from None
    except (ValueError, UnsupportedAlgorithm):
        raise ServingError(f"--key: {key} is not a {what} key in PEM form: {MAKE_KEY}") from None
    if not isinstance(found, EllipticCurvePrivateKey | EllipticCurvePublicKey) or found.curve.name not in CURVES:
        raise ServingError(f"--key: {key} is not a key on P-256, P-384 or P-521: {MAKE_KEY}")


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
