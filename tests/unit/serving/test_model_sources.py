import os
import threading
import time
from io import StringIO
from pathlib import Path

import pytest
from small_model import MODEL, write_model

from stack.runtime.progress import Reporter
from stack.serving.errors import ModelChangedError, ServingError
from stack.serving.pull import locked, pull_model
from stack.serving.sources import DirectorySource, HubSource, OciSource, parse_source
from stack.serving.weights import model_dir, verify_model

QUIET = Reporter(StringIO())
DIGEST = "sha256:" + "a" * 64


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STACKPROOF_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def given_folder(tmp_path: Path) -> Path:
    return write_model(tmp_path / "given")


def test_the_three_forms_of_a_source_are_told_apart(tmp_path: Path) -> None:
    assert parse_source(str(tmp_path)) == DirectorySource(tmp_path)
    assert parse_source(f"oci://registry.example:5000/models/llama-3.1_8b@{DIGEST}") == OciSource("registry.example:5000", "models/llama-3.1_8b", DIGEST)
    assert parse_source("hf://meta-llama/Llama-3.1-8B-Instruct@main") == HubSource("meta-llama/Llama-3.1-8B-Instruct", "main")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("oci://registry.example/models/x:latest", "by digest because a tag can move"),
        (f"oci://user:key@registry.example/x@{DIGEST}", "by digest"),
        ("hf://Llama-3.1-8B", "write hf://ORGANISATION/NAME@REVISION"),
        ("https://example.org/x", "only a directory, oci:// and hf://"),
        ("/no/such/folder", "is not a directory"),
        ("", "--from: is empty"),
    ],
)
def test_any_other_source_is_refused_in_one_line(text: str, told: str) -> None:
    with pytest.raises(ServingError, match=told) as caught:
        parse_source(text)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_status == 2


def test_a_model_comes_from_a_directory_without_its_other_files(given_folder: Path) -> None:
    (given_folder / ".git").mkdir()
    (given_folder / "original").mkdir()
    (given_folder / "original" / "consolidated.00.pth").write_bytes(b"\x80\x02.")
    (given_folder / "picture.png").write_bytes(b"")
    manifest = pull_model(MODEL, QUIET, DirectorySource(given_folder))
    assert sorted(manifest.files) == ["LICENSE", "config.json", "model.safetensors"]
    assert manifest.source == "directory"
    assert verify_model(MODEL) == manifest
    assert str(given_folder) not in manifest.model_dump_json()


def test_a_directory_that_changed_replaces_what_was_pulled_from_it(given_folder: Path) -> None:
    first = pull_model(MODEL, QUIET, DirectorySource(given_folder))
    (given_folder / "LICENSE").write_text("other terms")
    second = pull_model(MODEL, QUIET, DirectorySource(given_folder))
    assert second.source_sha256 != first.source_sha256
    assert pull_model(MODEL, QUIET) == second
    assert [path.name for path in model_dir("x").parent.iterdir() if path.name.endswith((".part", ".old"))] == []


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pth", "modeling_llama.py"])
def test_a_directory_with_pickles_or_code_is_refused_and_nothing_appears(given_folder: Path, name: str) -> None:
    (given_folder / name).write_bytes(b"")
    with pytest.raises(ModelChangedError, match=name):
        pull_model(MODEL, QUIET, DirectorySource(given_folder))
    assert not model_dir(MODEL.name).exists()


def test_a_link_that_leads_out_of_the_directory_is_refused(given_folder: Path) -> None:
    (given_folder / "tokenizer.json").symlink_to("/etc/hostname")
    with pytest.raises(ModelChangedError, match=r"tokenizer\.json: a link that leads out"):
        pull_model(MODEL, QUIET, DirectorySource(given_folder))


def test_a_link_inside_the_directory_is_followed_as_volumes_in_a_cluster_have_them(given_folder: Path) -> None:
    (given_folder / "..data").mkdir()
    (given_folder / "config.json").rename(given_folder / "..data" / "config.json")
    (given_folder / "config.json").symlink_to("..data/config.json")
    assert "config.json" in pull_model(MODEL, QUIET, DirectorySource(given_folder)).files
    assert not (model_dir(MODEL.name) / "config.json").is_symlink()


def test_another_models_directory_is_refused_and_what_was_here_stays(given_folder: Path) -> None:
    kept = pull_model(MODEL, QUIET, DirectorySource(given_folder))
    (given_folder / "config.json").write_text('{"model_type": "qwen3"}')
    with pytest.raises(ModelChangedError, match="model_type is 'qwen3'"):
        pull_model(MODEL, QUIET, DirectorySource(given_folder))
    assert verify_model(MODEL) == kept


def test_checksums_of_the_catalog_are_held_against_what_came(given_folder: Path) -> None:
    assert MODEL.weights is not None
    wanted = MODEL.model_copy(update={"weights": MODEL.weights.model_copy(update={"sha256": {"model.safetensors": "0" * 64}})})
    with pytest.raises(ModelChangedError, match="SHA-256 is not the catalog's"):
        pull_model(wanted, QUIET, DirectorySource(given_folder))


def test_a_cache_that_cannot_be_written_is_one_line(given_folder: Path, cache: Path) -> None:
    cache.write_text("a file")
    with pytest.raises(ServingError, match=str(cache)) as caught:
        pull_model(MODEL, QUIET, DirectorySource(given_folder))
    assert "\n" not in str(caught.value)


def test_one_at_a_time_changes_a_models_folder_though_each_takes_its_lock_away() -> None:
    inside, most, turns = 0, 0, 0

    def change() -> None:
        nonlocal inside, most, turns
        for _ in range(25):
            with locked(MODEL.name, QUIET):
                inside += 1
                most = max(most, inside)
                time.sleep(0.0005)  # lets the others at the lock
                turns += 1
                inside -= 1

    threads = [threading.Thread(target=change) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (most, turns) == (1, 100)
    assert list(model_dir("x").parent.iterdir()) == []


def test_a_model_that_no_package_carries_says_where_it_may_come_from() -> None:
    with pytest.raises(ServingError, match=r"no package carries llama-3\.1-8b-instruct.*--from hf://meta-llama/Llama-3\.1-8B-Instruct@COMMIT"):
        pull_model(MODEL, QUIET)


def test_a_hub_repository_other_than_the_catalogs_is_refused_before_any_request() -> None:
    with pytest.raises(ServingError, match="is not the catalog's repository"):
        pull_model(MODEL, QUIET, HubSource("somebody/Llama-3.1-8B-Instruct", "main"))


def test_an_unreadable_directory_is_one_line(given_folder: Path) -> None:
    if os.geteuid() == 0:
        given_folder = given_folder / "gone"
    else:
        given_folder.chmod(0)
    with pytest.raises(ServingError, match="cannot be read"):
        pull_model(MODEL, QUIET, DirectorySource(given_folder))
