from io import StringIO
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from small_model import MODEL, write_model

from stack.runtime.progress import Reporter
from stack.serving.bundle import load_bundle, write_bundle
from stack.serving.errors import ModelChangedError, ServingError
from stack.serving.pull import pull_model
from stack.serving.signing import sign_model, verify_signature
from stack.serving.sources import DirectorySource
from stack.serving.weights import MANIFEST, model_dir, signature_file

QUIET = Reporter(StringIO())


def keys(folder: Path, name: str, key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | None = None) -> tuple[Path, Path]:
    key = key or ec.generate_private_key(ec.SECP256R1())
    private, public = folder / f"{name}.pem", folder / f"{name}.pub"
    private.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    public.write_bytes(key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo))
    return private, public


@pytest.fixture
def signed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A pulled and signed model; the signer's public key."""
    monkeypatch.setenv("STACKPROOF_CACHE", str(tmp_path / "cache"))
    pull_model(MODEL, QUIET, DirectorySource(write_model(tmp_path / "given")))
    private, public = keys(tmp_path, "signer")
    assert sign_model(MODEL, private) == signature_file(MODEL.name)
    return public


def test_a_signed_model_verifies_with_the_signers_key(signed: Path) -> None:
    verify_signature(MODEL, signed)


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "LICENSE", MANIFEST])
def test_one_changed_byte_fails_with_the_files_name(signed: Path, name: str) -> None:
    path = model_dir(MODEL.name) / name
    data = bytearray(path.read_bytes())
    data[-2] ^= 1
    path.write_bytes(data)
    with pytest.raises(ModelChangedError, match=name) as caught:
        verify_signature(MODEL, signed)
    assert caught.value.exit_status == 1
    assert "\n" not in str(caught.value)


def test_a_file_too_many_fails_even_one_that_git_would_own(signed: Path) -> None:
    (model_dir(MODEL.name) / ".gitattributes").write_text("")
    with pytest.raises(ModelChangedError, match="gitattributes"):
        verify_signature(MODEL, signed)


def test_another_key_and_a_changed_signature_fail(signed: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelChangedError, match="signature does not hold"):
        verify_signature(MODEL, keys(tmp_path, "other")[1])
    place = signature_file(MODEL.name)
    for content in (b"", b"{}", b"\xff", place.read_bytes().replace(b'"sig":"', b'"sig":"A')):
        place.write_bytes(content)
        with pytest.raises(ModelChangedError, match="signature does not hold"):
            verify_signature(MODEL, signed)


def test_a_model_without_a_signature_says_how_to_make_one(signed: Path) -> None:
    signature_file(MODEL.name).unlink()
    with pytest.raises(ServingError, match=f"stackproof models sign {MODEL.name} --key FILE"):
        verify_signature(MODEL, signed)


def test_a_new_pull_takes_the_old_signature_away(signed: Path, tmp_path: Path) -> None:
    pull_model(MODEL, QUIET, DirectorySource(tmp_path / "given"))
    assert not signature_file(MODEL.name).exists()


def test_keys_of_the_wrong_kind_are_one_line(signed: Path, tmp_path: Path) -> None:
    private, public = keys(tmp_path, "ed", ed25519.Ed25519PrivateKey.generate())
    for key, told in ((private, "P-256, P-384 or P-521"), (public, "not a private key"), (tmp_path / "none", "cannot be read")):
        with pytest.raises(ServingError, match=told) as caught:
            sign_model(MODEL, key)
        assert caught.value.exit_status == 2
        assert "\n" not in str(caught.value)
    with pytest.raises(ServingError, match="not a public key"):
        verify_signature(MODEL, private)
    with pytest.raises(ServingError, match="P-256, P-384 or P-521"):
        verify_signature(MODEL, public)


def test_a_signature_crosses_the_gap_with_its_model(signed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_bundle([MODEL], tmp_path / "signed.tar", QUIET)
    monkeypatch.setenv("STACKPROOF_CACHE", str(tmp_path / "there"))
    with pytest.raises(ServingError, match="is signed: name its signer's public key with --key"):
        load_bundle(tmp_path / "signed.tar", QUIET)
    with pytest.raises(ModelChangedError, match="signature does not hold"):
        load_bundle(tmp_path / "signed.tar", QUIET, keys(tmp_path, "other")[1])
    assert not model_dir(MODEL.name).exists()
    (loaded,) = load_bundle(tmp_path / "signed.tar", QUIET, signed)
    assert loaded.signature_checked
    verify_signature(MODEL, signed)


def test_with_a_key_an_unsigned_bundle_is_refused(signed: Path, tmp_path: Path) -> None:
    signature_file(MODEL.name).unlink()
    write_bundle([MODEL], tmp_path / "bare.tar", QUIET)
    with pytest.raises(ModelChangedError, match="carries no signature"):
        load_bundle(tmp_path / "bare.tar", QUIET, signed)
