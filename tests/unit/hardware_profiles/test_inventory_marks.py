"""Every value is detected, declared or unknown, and a declaration never overrules the machine."""

from pathlib import Path

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stack.evidence import FigureClass
from stack.hardware_profiles import Inventory, collect_inventory
from stack.hardware_profiles.declared import DeclarationError, declare, load_declarations
from stack.hardware_profiles.evidence import figures
from stack.hardware_profiles.marks import leaves
from stack.hardware_profiles.schema import inventory_schema
from stack.hardware_profiles.summary import rows, unknown_rows


@pytest.fixture(scope="module")
def found(machine: Path) -> Inventory:
    return collect_inventory(machine)


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "declared.yaml"
    path.write_text(text)
    return path


def test_every_value_has_a_mark_and_every_mark_a_value(found: Inventory) -> None:
    assert set(found.marks) == {leaf.path for leaf in leaves(found)}


def test_marks_follow_what_was_read(found: Inventory) -> None:
    marks = found.marks
    assert marks["cpu.model"] == marks["storage.nvme0n1.size_bytes"] == marks["accelerators.0.name"] == "detected"
    assert marks["accelerators.0.memory_bytes"] == marks["network.docker0.speed_mbit_s"] == marks["system.cooling"] == "unknown"
    assert marks["memory.dimms"] == marks["memory.dimms.P0 CHANNEL A DIMM A1.speed_mt_s"] == "detected"


def test_a_value_that_is_known_not_to_be_set_is_detected(found: Inventory) -> None:
    assert found.network[0].name == "docker0"
    assert found.network[0].rdma is None
    assert found.marks["network.docker0.rdma"] == "detected"


def test_everything_unknown_on_an_empty_machine_is_marked_so(tmp_path: Path) -> None:
    marks = collect_inventory(tmp_path).marks
    for path in ("cpu.isa", "cpu.caches", "storage", "network", "accelerators", "memory.dimms", "host.vendor"):
        assert marks[path] == "unknown", path


def test_declared_values_are_filled_in_and_marked(found: Inventory, tmp_path: Path) -> None:
    path = written(tmp_path, "system.cooling: liquid\nsystem:\n  name: node-a\n  nodes: 4\naccelerators.0.memory_bytes: 85520809984\n")
    filled = declare(found, load_declarations(path), source="declared.yaml")
    assert (filled.system.cooling, filled.system.name, filled.system.nodes) == ("liquid", "node-a", 4)
    assert filled.accelerators[0].memory_bytes == 85520809984
    assert [name for name, how in filled.marks.items() if how == "declared"] == ["accelerators.0.memory_bytes", "system.name", "system.nodes", "system.cooling"]
    assert ("system.cooling (declared)", "liquid") in rows(filled)
    assert "accelerators.0.memory_bytes" not in dict(unknown_rows(filled))


def test_what_the_machine_told_stays_as_it_was(found: Inventory, tmp_path: Path) -> None:
    filled = declare(found, load_declarations(written(tmp_path, "system.cooling: air\n")), source="x")
    assert filled.model_copy(update={"system": found.system, "marks": found.marks}) == found


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cpu.model: Xeon\n", r"field `cpu\.model`: is detected on this machine \(Intel\(R\) Xeon"),
        ("network.docker0.rdma: RoCE\n", r"field `network\.docker0\.rdma`: is detected on this machine \(none\)"),
        ("system.memory_configuration: 2 x 64 GB\n", r"field `system\.memory_configuration`: is detected on this machine \(2 memory modules\)"),
        ("cpu.colour: blue\n", r"field `cpu\.colour`: names no single value"),
        ("accelerators: 3\n", r"field `accelerators`: names no single value"),
        ("network.ens1f0.address: aa:bb\n", r"field `network\.ens1f0\.address`: is an identifier"),
        ("system.nodes: four\n", r"field `system\.nodes`"),
        ("system.nodes: 0\n", r"field `system\.nodes`"),
        ("system.cooling: 3\n", r"field `system\.cooling`"),
        ("system.cooling: [air]\n", r"field `system\.cooling`: must be one text, number or truth value"),
        ("system.cooling:\n", r"field `system\.cooling`: must be one text"),
        ("system.cooling: air\nsystem: {cooling: air}\n", r"field `system\.cooling`: declared twice"),
        ("- a\n", "holds no mapping"),
        ("a: [\n", r"not YAML in line"),
    ],
)
def test_a_declaration_that_cannot_be_is_refused_in_one_line(text: str, message: str, found: Inventory, tmp_path: Path) -> None:
    with pytest.raises(DeclarationError, match=message) as caught:
        declare(found, load_declarations(written(tmp_path, text)), source="declared.yaml")
    assert "\n" not in str(caught.value)
    assert "declared.yaml" in str(caught.value)


def test_a_declared_figure_of_the_evidence_says_so(found: Inventory, tmp_path: Path) -> None:
    filled = declare(found, load_declarations(written(tmp_path, "accelerators.0.memory_bytes: 85520809984\nsystem.cooling: air\n")), source="x")
    classes = {figure.name: figure.kind for figure in figures(filled)}
    assert classes["accelerators.memory_gib"] == classes["system.cooling"] == FigureClass.DECLARED
    assert classes["cpu.model"] == classes["accelerators.models"] == FigureClass.MEASURED


@given(st.binary(max_size=60))
def test_any_file_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.mktemp("any") / "declared.yaml"
    path.write_bytes(content)
    try:
        load_declarations(path)
    except DeclarationError as error:
        assert "declared.yaml" in str(error)  # noqa: PT017


def test_an_inventory_obeys_its_published_schema(found: Inventory, tmp_path: Path) -> None:
    validator = jsonschema.Draft202012Validator(inventory_schema())
    for each in (found, collect_inventory(tmp_path), collect_inventory()):
        validator.validate(each.model_dump(mode="json"))


def test_the_schema_refuses_what_the_inventory_does_not_have(found: Inventory) -> None:
    changed = {**found.model_dump(mode="json"), "colour": "blue"}
    assert not jsonschema.Draft202012Validator(inventory_schema()).is_valid(changed)
