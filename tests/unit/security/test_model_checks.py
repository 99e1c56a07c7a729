"""Each model control passes on a sound model and turns red when a file of it is broken."""

import io
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stack.runtime.progress import Reporter
from stack.security import AuditContext, Status, Target, run_audit
from stack.security.checks import models


def failing(context: AuditContext) -> set[str]:
    report = run_audit(context, Reporter(io.StringIO()), targets=[Target.MODELS])
    return {result.control for result in report.with_status(Status.FAIL)}


def test_a_sound_model_passes_every_control(context: AuditContext) -> None:
    report = run_audit(context, Reporter(io.StringIO()), targets=[Target.MODELS])
    assert {result.status for result in report.results} == {Status.PASS}


def test_a_model_that_is_not_there_is_unknown_and_not_failed(context: AuditContext, model_folder: Path) -> None:
    for path in model_folder.iterdir():
        path.unlink()
    report = run_audit(context, Reporter(io.StringIO()), targets=[Target.MODELS])
    assert {result.control: result.status for result in report.results}["SP-MOD-01"] is Status.UNKNOWN
    assert "stackproof models pull" in report.results[0].detail


def test_a_flipped_byte_fails_and_names_the_file(context: AuditContext, model_folder: Path) -> None:
    weights = model_folder / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    finding = models.files_as_pulled(context)
    assert finding.status is Status.FAIL
    assert "model.safetensors" in finding.observed


@pytest.mark.parametrize("name", ["weights.bin", "tokenizer.json", "model-2.safetensors"])
def test_a_pickle_fails_whatever_it_is_called(name: str, context: AuditContext, model_folder: Path, a_pickle: bytes) -> None:
    (model_folder / name).write_bytes(a_pickle)
    finding = models.no_pickle(context)
    assert finding.status is Status.FAIL
    assert f"{name} is a pickle" in finding.observed


def test_an_archive_with_a_pickle_in_it_fails(context: AuditContext, model_folder: Path, a_pickle: bytes) -> None:
    """The format of torch.save."""
    with zipfile.ZipFile(model_folder / "extra.txt", "w") as archive:
        archive.writestr("archive/data.pkl", a_pickle)
    assert "archive/data.pkl" in models.no_pickle(context).observed


@pytest.mark.parametrize(
    ("name", "content"),
    [("modeling.py", "x = 1"), ("config.json", '{"auto_map": {}}'), ("generation_config.json", '{"a": [{"auto_map": 1}]}'), ("config.json", "{not json")],
)
def test_code_or_configuration_that_names_it_fails(name: str, content: str, context: AuditContext, model_folder: Path) -> None:
    (model_folder / name).write_text(content)
    assert models.no_code(context).status is Status.FAIL
    assert "SP-MOD-03" in failing(context)


def test_another_number_of_weights_than_the_catalogs_fails(context: AuditContext) -> None:
    parameters = context.catalog.parameters.model_copy(update={"total": 7})
    finding = models.headers_sane(replace(context, catalog=context.catalog.model_copy(update={"parameters": parameters})))
    assert finding.observed == "6 weights in the files, 7 in the catalog"


def test_a_model_without_a_licence_or_a_country_fails(context: AuditContext) -> None:
    licence = context.catalog.licence.model_copy(update={"spdx": None, "url": None})
    publisher = context.catalog.publisher.model_copy(update={"country": None})
    finding = models.licence_known(replace(context, catalog=context.catalog.model_copy(update={"licence": licence, "publisher": publisher})))
    assert finding.status is Status.FAIL
    assert "no licence" in finding.observed


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(content=st.binary(max_size=200))
def test_any_bytes_in_place_of_the_weights_fail_and_never_raise(content: bytes, context: AuditContext, model_folder: Path) -> None:
    (model_folder / "model.safetensors").write_bytes(content)
    assert models.headers_sane(context).status is Status.FAIL


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_any_changed_byte_of_the_header_is_survived(data: st.DataObject, context: AuditContext, model_folder: Path) -> None:
    weights = model_folder / "model.safetensors"
    sound = weights.read_bytes()
    try:
        changed = bytearray(sound)
        changed[data.draw(st.integers(0, len(sound) - 1))] ^= data.draw(st.integers(1, 255))
        weights.write_bytes(changed)
        models.headers_sane(context)
        assert models.files_as_pulled(context).status is Status.FAIL
    finally:
        weights.write_bytes(sound)
