"""The record of an inventory can be recomputed from its one artifact."""

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from stack.evidence import EvidenceError, EvidenceStore, SigningKey, StoredRecord
from stack.hardware_profiles import collect_inventory
from stack.hardware_profiles.evidence import draft, recompute


@pytest.fixture
def stored(machine: Path, tmp_path: Path) -> StoredRecord:
    key = SigningKey(Ed25519PrivateKey.generate())
    return EvidenceStore(tmp_path, key=lambda: key).write(*draft(collect_inventory(machine), identifiers=False))


def test_figures_recomputed_from_the_artifact_equal_the_recorded_ones(stored: StoredRecord) -> None:
    assert tuple(recompute(stored)) == stored.record.figures
    assert all(figure.derived_from == ("inventory.json",) for figure in stored.record.figures)


def test_figures_carry_what_was_found_and_a_note_where_nothing_was(stored: StoredRecord) -> None:
    values = {figure.name: figure.value for figure in stored.record.figures}
    assert values["cpu.physical_cores"] == 4
    assert values["accelerators.count"] == 1
    assert values["network.fastest_mbit_s"] == 100000
    for figure in stored.record.figures:
        assert (figure.value is None) == bool(figure.note), figure.name
    assert values["accelerators.memory_gib"] is None


def test_a_machine_that_shows_nothing_counts_nothing_instead_of_zero(tmp_path: Path) -> None:
    record, _artifacts = draft(collect_inventory(tmp_path), identifiers=False)
    values = {figure.name: figure.value for figure in record.figures}
    assert values["accelerators.count"] is None
    assert values["storage.devices"] is None


def test_an_artifact_that_is_no_inventory_is_named(stored: StoredRecord) -> None:
    path = stored.artifact_path("inventory.json")
    changed = json.loads(path.read_bytes())
    changed["cpu"]["sockets"] = "two"
    path.write_text(json.dumps(changed))
    with pytest.raises(EvidenceError, match=r"inventory\.json: field `cpu\.sockets`"):
        recompute(stored)
