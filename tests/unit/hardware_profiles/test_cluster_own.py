"""What nodes write about themselves: read back, and distrusted."""

import base64
import contextlib
import gzip
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stack.hardware_profiles import Inventory, collect_inventory
from stack.hardware_profiles.cluster.own import COLLECTED_AT, KEY, SELECTOR, UnusableError, config_map_name, node_of, read_own
from stack.hardware_profiles.cluster.publish import Place, config_map
from stack.hardware_profiles.cluster.wire import ConfigMap, decoder

PLACE = Place(name="stackproof", node="ip-10-0-0-1.ec2.internal", namespace="stack", pod="stackproof-inventory-x7k2p", pod_uid="0b1c")
NOW = datetime(2026, 11, 24, 10, 0, 0, 5, tzinfo=UTC)


@pytest.fixture(scope="module")
def inventory(machine: Path) -> Inventory:
    return collect_inventory(machine)


@pytest.fixture(scope="module")
def written(inventory: Inventory) -> dict[str, Any]:
    return config_map(PLACE, inventory, now=NOW)


def wire(made: dict[str, Any]) -> ConfigMap:
    return decoder(ConfigMap)(json.dumps(made).encode())


def packed(content: bytes) -> ConfigMap:
    return wire({"metadata": {"name": "x"}, "binaryData": {KEY: base64.b64encode(content).decode()}})


def test_what_a_node_writes_is_read_back(written: dict[str, Any], inventory: Inventory) -> None:
    found = read_own(wire(written))
    assert (found.cpu_model, found.sockets, found.physical_cores) == (inventory.cpu.model, 2, 4)
    assert found.host == "Dell Inc. PowerEdge XE9680"
    assert [(each.vendor, each.count, each.driver) for each in found.accelerators] == [("NVIDIA", 1, None)]
    assert found.collected_at == "2026-11-24T10:00:00+00:00"


def test_the_config_map_is_its_pods_and_carries_the_labels_it_is_found_by(written: dict[str, Any]) -> None:
    metadata = written["metadata"]
    assert metadata["name"] == "stackproof-inventory.ip-10-0-0-1.ec2.internal"
    assert metadata["ownerReferences"] == [{"apiVersion": "v1", "kind": "Pod", "name": PLACE.pod, "uid": PLACE.pod_uid}]
    assert dict(term.split("=") for term in SELECTOR.split(",")).items() <= metadata["labels"].items()
    assert COLLECTED_AT in metadata["annotations"]
    assert gzip.decompress(base64.b64decode(written["binaryData"][KEY])).startswith(b"{")


@given(st.from_regex(r"[a-z][-a-z0-9]{0,20}[a-z0-9]", fullmatch=True), st.from_regex(r"[a-z0-9]([-a-z0-9.]{0,60}[a-z0-9])?", fullmatch=True))
def test_the_node_is_found_again_in_the_config_maps_name(name: str, node: str) -> None:
    assert node_of(config_map_name(name, node)) == node


@given(place=st.integers(min_value=0), flip=st.integers(min_value=1, max_value=255))
def test_a_flipped_byte_is_refused_or_harmless(written: dict[str, Any], place: int, flip: int) -> None:
    content = bytearray(base64.b64decode(written["binaryData"][KEY]))
    content[place % len(content)] ^= flip
    # Everything but a gzip header's time, flags and system is under its checksum.
    with contextlib.suppress(UnusableError):
        assert read_own(packed(bytes(content))).physical_cores == 4


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "cut short"),
        (b"plain text", "no inventory"),
        (gzip.compress(b"x" * 20)[:-9], "cut short"),
        (gzip.compress(b"\0" * (5 << 20)), "larger than 4 MiB"),
        (gzip.compress(b"[]"), "no inventory"),
        (gzip.compress(b'{"schema_version": "stackproof.inventory/v9", "cpu": {}, "host": {}, "accelerators": []}'), "this version reads"),
        (gzip.compress(b'{"schema_version": 1, "cpu": {}, "host": {}, "accelerators": []}'), "no inventory"),
    ],
    ids=["nothing", "not compressed", "cut short", "bomb", "a list", "another version", "an older form"],
)
def test_what_is_no_inventory_is_told_in_one_line(content: bytes, words: str) -> None:
    with pytest.raises(UnusableError, match=words):
        read_own(packed(content))


def test_a_config_map_without_the_key_is_told() -> None:
    with pytest.raises(UnusableError, match="has no"):
        read_own(wire({"metadata": {"name": "x"}}))
