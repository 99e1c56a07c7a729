"""`stackproof label run` against a TLS endpoint whose certificate is of an authority of its own."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from certificates import Authority
from chat_server import ChatServer
from labeling_notes import TEXTS, dataset

from stack.pipelines import LocalExecutor, PipelineError, find_endpoint, load_pipeline, run_pipeline
from stack.pipelines.ray_executor import RayExecutor

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.make(tmp_path_factory.mktemp("authority"), "site-ca")


@pytest.fixture
def server(authority: Authority, tmp_path: Path) -> Iterator[ChatServer]:
    with ChatServer(tls=authority.serving(tmp_path)).running() as running:
        yield running


def label(notes: Path, url: str, *more: str) -> subprocess.CompletedProcess[str]:
    """In a folder of its own; no variable of this machine names an authority."""
    here = notes.parent
    command = [sys.executable, "-m", "stack.cli.main", "label", "run", str(notes), "--url", url, "--api-key-file", str(here / "key")]
    environment = {name: value for name, value in os.environ.items() if name not in ("SSL_CERT_FILE", "SSL_CERT_DIR")} | {"PYTHONPATH": os.getcwd()}
    options = ["--out", str(here / "out"), "--executor", "local", *more]
    return subprocess.run([*command, *options], cwd=here, env=environment, capture_output=True, text=True, timeout=120, check=False)


def test_a_run_that_is_given_the_authority_labels_every_record(notes: Path, server: ChatServer, authority: Authority) -> None:
    (notes.parent / "ca.crt").write_bytes(authority.pem.read_bytes())
    done = label(notes, server.url, "--ca-file", "ca.crt")
    assert done.returncode == 0, done.stderr
    assert server.asked == dict.fromkeys(TEXTS, 1)
    assert (notes.parent / "out" / "card.json").is_file()


@pytest.mark.parametrize(
    ("ca_file", "told"),
    [
        (None, "certificate not trusted: unable to get local issuer certificate: a CA file names the authority to trust (--ca-file)"),
        ("other-ca.pem", "certificate not trusted: unable to get local issuer certificate"),
        ("missing.pem", "CA file {folder}/missing.pem cannot be read: No such file or directory"),
        ("key", "CA file {folder}/key holds no PEM certificates"),
    ],
    ids=["none", "another authority", "missing", "no certificates"],
)
def test_without_the_right_authority_nothing_is_asked_and_one_line_says_why(notes: Path, server: ChatServer, ca_file: str | None, told: str) -> None:
    Authority.make(notes.parent, "other-ca")
    done = label(notes, server.url, *([] if ca_file is None else ["--ca-file", ca_file]))
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert told.format(folder=notes.parent) in line
    assert server.asked == {}
    assert not (notes.parent / "out").exists()


def test_workers_on_ray_trust_the_same_authority(
    notes: Path, server: ChatServer, authority: Authority, ray_executor: RayExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also by a path from where the run was started, which is not where they are."""
    pipeline, folder = load_pipeline(str(notes)), notes.parent
    monkeypatch.chdir(authority.pem.parent)
    endpoint = find_endpoint(server.url, api_key_file=folder / "key", ca_file=Path(authority.pem.name))
    done = run_pipeline(pipeline, folder / "ray", executor=ray_executor, endpoint=endpoint)
    clean = run_pipeline(pipeline, folder / "local", executor=LocalExecutor(), endpoint=endpoint)
    assert done.labeled == len(TEXTS)
    assert dataset(done.out) == dataset(clean.out)


def test_a_server_whose_certificate_is_another_one_meanwhile_ends_the_run_at_once(notes: Path, authority: Authority) -> None:
    folder = notes.parent
    with ChatServer(tls=authority.serving(folder)).running() as server:
        endpoint = find_endpoint(server.url, api_key_file=folder / "key", ca_file=authority.pem)
        assert server.tls is not None
        other = Authority.make(folder, "other-ca")
        other.issue(folder / "tls.crt", folder / "tls.key", "stackproof-gateway")
        server.tls.load_cert_chain(folder / "tls.crt", folder / "tls.key")
        with pytest.raises(PipelineError, match=r"^endpoint 127\.0\.0\.1:\d+: certificate not trusted: unable to get local issuer certificate"):
            run_pipeline(load_pipeline(str(notes)), folder / "out", executor=LocalExecutor(), endpoint=endpoint)
        assert server.asked == {}
