"""The header parser against generated files, hostile headers, and the reference implementation as an oracle."""

import json
from pathlib import Path
from typing import Any

import pytest
from examples import examples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import SafetensorError, safe_open

from stack.serving.safetensors_check import DTYPE_BITS, parse_header, read_tensors

WHOLE_BYTES = sorted(dtype for dtype, bits in DTYPE_BITS.items() if bits >= 8 and not dtype.endswith("UZ"))


def file_of(header: Any, data: bytes) -> bytes:
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def entry(shape: Any = (2,), offsets: Any = (0, 4), dtype: Any = "BF16") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


@st.composite
def sound_headers(draw: st.DrawFn) -> tuple[dict[str, Any], int]:
    header: dict[str, Any] = draw(st.sampled_from([{}, {"__metadata__": {"format": "pt"}}]))
    header, end = dict(header), 0
    for name in draw(st.lists(st.text("abc.0", min_size=1, max_size=6), unique=True, max_size=5)):
        dtype, shape = draw(st.sampled_from(WHOLE_BYTES)), draw(st.lists(st.integers(0, 4), max_size=3))
        size = DTYPE_BITS[dtype] // 8
        for dimension in shape:
            size *= dimension
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [end, end + size]}
        end += size
    return header, end


@given(sound_headers())
@settings(max_examples=examples(150), deadline=None)
def test_a_sound_header_is_read_and_its_tensors_fill_the_data(made: tuple[dict[str, Any], int]) -> None:
    header, size = made
    tensors = parse_header(json.dumps(header).encode(), data_bytes=size)
    assert {tensor.name for tensor in tensors} == set(header) - {"__metadata__"}
    assert sum(tensor.elements * DTYPE_BITS[tensor.dtype] // 8 for tensor in tensors) == size


@given(sound_headers(), st.data())
@settings(max_examples=examples(300), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_accepted_after_any_change_of_bytes_the_reference_accepts_too(
    tmp_path_factory: pytest.TempPathFactory, made: tuple[dict[str, Any], int], data: st.DataObject
) -> None:
    header, size = made
    content = bytearray(file_of(header, bytes(size)))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.sampled_from(b'0123456789[]{}",:-e\x00\xff'))
    path = tmp_path_factory.getbasetemp() / "changed.safetensors"
    path.write_bytes(content)
    try:
        tensors = read_tensors(path)
    except ValueError:
        return
    try:
        with safe_open(path, framework="numpy") as opened:
            assert set(opened.keys()) == {tensor.name for tensor in tensors}
    except SafetensorError as error:
        pytest.fail(f"accepted what the reference refuses: {error}: {bytes(content)!r}")


@given(st.binary(max_size=200))
@settings(max_examples=examples(200), deadline=None)
def test_any_bytes_give_tensors_or_a_value_error(data: bytes) -> None:
    try:
        parse_header(data, data_bytes=0)
    except ValueError:
        return


@pytest.mark.parametrize(
    ("header", "size", "told"),
    [
        ([], 0, "does not begin with {"),
        ({"a": entry()}, 5, "tensors end at 4"),
        ({"a": entry(), "b": entry(offsets=(2, 6))}, 6, "tensor b: begins at 2"),
        ({"a": entry(), "b": entry(offsets=(6, 10))}, 10, "tensor b: begins at 6"),
        ({"a": entry(shape=(3,))}, 4, "4 bytes for BF16"),
        ({"a": entry(shape=(-2,))}, 4, "impossible shape"),
        ({"a": entry(shape=(True, 2))}, 4, "impossible shape"),
        ({"a": entry(shape=[1 << 40, 1 << 40])}, 4, "impossible shape"),
        ({"a": entry(shape=[1] * 33, offsets=(0, 2))}, 2, "impossible shape"),
        ({"a": entry(offsets=(4, 0))}, 4, "-4 bytes"),
        ({"a": entry(offsets=(0, 4.0))}, 4, "not two positions"),
        ({"a": entry(offsets=(0,))}, 4, "not two positions"),
        ({"a": entry(dtype="F128")}, 4, "unknown dtype"),
        ({"a": entry(dtype=["BF16"])}, 4, "unknown dtype"),
        ({"a": {**entry(), "code": "x"}}, 4, "must have dtype"),
        ({"a": 1}, 0, "must have dtype"),
        ({"__metadata__": {"x": 1}}, 0, "must map text to text"),
    ],
)
def test_a_header_that_lies_is_refused_with_the_tensor_named(header: Any, size: int, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        parse_header(json.dumps(header).encode(), data_bytes=size)


def test_a_name_given_twice_is_refused() -> None:
    one = json.dumps(entry()).encode()
    with pytest.raises(ValueError, match="twice"):
        parse_header(b'{"a": ' + one + b', "a": ' + one + b"}", data_bytes=4)


@pytest.mark.parametrize("content", [b"", b"1234567", (1 << 62).to_bytes(8, "little") + b"{}", (100_000_001).to_bytes(8, "little") + b"{}"])
def test_a_header_length_beyond_the_file_or_the_limit_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "m").write_bytes(content)
    with pytest.raises(ValueError, match="header length"):
        read_tensors(tmp_path / "m")


def test_a_deep_header_does_not_end_the_process() -> None:
    with pytest.raises(ValueError, match=r"nested too deeply|Expecting"):
        parse_header(b'{"a": ' + b"[" * 200_000, data_bytes=0)
