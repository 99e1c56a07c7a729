"""Readers: any cut gives the same rows, and bad input is named, bounded and never ends the run."""

import csv
import gzip
import io
import json
import pickle
import random
import re
import tracemalloc
import zipfile
from dataclasses import replace
from email.message import EmailMessage
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from stack.pipelines.errors import PipelineError
from stack.pipelines.load import load_pipeline
from stack.pipelines.readers import Bad, Row, Source, plan_splits, read_split

NASTY = st.text(alphabet=st.sampled_from('ab",\n\réع\0\\'), max_size=12)


def source(path: object, **fields: object) -> Source:
    return Source.model_validate({"name": "s", "path": str(path), "licence": "CC0-1.0", "origin": "made here", **fields})


def read_all(a_source: Source, records: int = 1000) -> tuple[list[Row], list[Bad]]:
    rows: list[Row] = []
    bad: list[Bad] = []
    for split in plan_splits(a_source, records=records):
        some, others = read_split(a_source, pickle.loads(pickle.dumps(split)))
        rows += some
        bad += others
    assert sorted(item.row for item in [*rows, *bad]) == list(range(len(rows) + len(bad)))
    return rows, bad


def write(folder: Path, name: str, data: bytes) -> Path:
    path = folder / name
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return path


def reasons(bad: list[Bad]) -> dict[int, str]:
    assert all(len(item.detail) <= 80 for item in bad)
    return {item.row: item.reason for item in bad}


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.txt", "a.jsonl.gz", "a.csv.gz"])
@settings(max_examples=examples(150), deadline=None)
@given(data=st.one_of(st.binary(max_size=200), NASTY.map(str.encode), st.lists(NASTY).map(lambda some: "\n".join(some).encode())), records=st.integers(1, 5))
def test_any_cut_of_any_bytes_gives_the_same_rows_as_reading_them_whole(name, data, records, tmp_path_factory):
    head = b'{"text":"x"}\n' if ".jsonl" in name else b"text,b\n"
    path = write(tmp_path_factory.mktemp("cut"), name, head + data)
    a_source = source(path, max_record_bytes=30)
    assert read_all(a_source, records) == read_all(a_source, 10_000)


@settings(max_examples=examples(150), deadline=None)
@given(texts=st.lists(st.text(alphabet=st.sampled_from('ab",\n\réع\\'), max_size=12)), records=st.integers(1, 5))
def test_what_the_csv_and_json_writers_wrote_comes_back(texts, records, tmp_path_factory):
    folder = tmp_path_factory.mktemp("trip")
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n", quoting=csv.QUOTE_ALL)
    writer.writerows([["id", "text"], *[[str(at), text] for at, text in enumerate(texts)]])
    table = write(folder, "a.csv", b"\xef\xbb\xbf" + out.getvalue().encode())
    lines = write(folder, "a.jsonl", b"".join(json.dumps({"id": at, "text": text}).encode() + b"\r\n" for at, text in enumerate(texts)))
    for path in (table, lines):
        rows, bad = read_all(source(path, id="id"), records)
        assert (bad, [(row.text, row.source_id) for row in rows]) == ([], [(text, str(at)) for at, text in enumerate(texts)])


def test_each_bad_json_line_spoils_only_itself(tmp_path):
    bomb = b'{"text":"a","x":' + b"[" * 100_000 + b"}"
    data = [
        b'{"text":"good"}',
        b'{"text":"\xff"}',
        b'{"text": 3}',
        b"{",
        bomb,
        b'{"text":"' + b"y" * 2_000_000 + b'"}',
        b'{"text":"a\\u0000"}',
        b"",
        b'{"text":"last"}',
    ]
    rows, bad = read_all(source(write(tmp_path, "a.jsonl", b"\xef\xbb\xbf" + b"\n".join(data))), records=2)
    assert [(row.row, row.text) for row in rows] == [(0, "good"), (8, "last")]
    assert reasons(bad) == {1: "not_utf8", 2: "malformed", 3: "malformed", 4: "malformed", 5: "too_long", 6: "malformed", 7: "malformed"}


def test_short_and_long_csv_rows_and_a_stray_quote_spoil_only_themselves(tmp_path):
    data = b'id,text\r\n1,a\r\n2\r\n3,b,c\r\n4,"open\r\n5,d\r\n6,5" pipe\r\n7,"two\r\nlines"\r\n8,\xff\r\n9,nul\0\r\n10,"x"y\r\n11,e\r\n'
    rows, bad = read_all(source(write(tmp_path, "a.csv", data), id="id"), records=1)
    assert {row.source_id: row.text for row in rows} == {"1": "a", "5": "d", "6": '5" pipe', "7": "two\r\nlines", "11": "e"}
    assert reasons(bad) == {1: "malformed", 2: "malformed", 3: "malformed", 7: "not_utf8", 8: "malformed", 9: "malformed"}


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.txt"])
def test_a_line_of_50_mb_is_skipped_in_bounded_memory(name, tmp_path):
    wrap = (lambda body: b'{"text":"' + body + b'"}\n') if name == "a.jsonl" else lambda body: b'"' + body + b'"\n'
    path = write(tmp_path, name, (b"text\n" if name == "a.csv" else wrap(b"first")) + wrap(b"long" * 12_500_000) + wrap(b"after"))
    tracemalloc.start()
    rows, bad = read_all(source(path))
    assert tracemalloc.get_traced_memory()[1] < 16 << 20
    tracemalloc.stop()
    assert (rows[-1].text.strip('"'), list(reasons(bad).values())) == ("after", ["too_long"])


def test_a_broken_gzip_stream_gives_the_rows_before_it_and_one_bad_row(tmp_path):
    whole = gzip.compress(b"".join(b'{"text":"%d"}\n' % number for number in range(100_000)))
    (tmp_path / "a.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    rows, bad = read_all(source(tmp_path / "a.jsonl.gz"), records=1000)
    assert 10_000 < len(rows) < 90_000
    assert reasons(bad) == {len(rows): "unreadable"}


def parquet(folder: Path) -> Path:
    texts = [f"text {number} " + "z" * (number % 97) for number in range(1000)]
    pq.write_table(
        pa.table({"text": texts, "gold": ["x"] * 1000}),
        folder / "a.parquet",
        row_group_size=100,
        use_dictionary=False,
        compression="zstd",
        write_page_checksum=True,
    )
    return folder / "a.parquet"


@pytest.mark.parametrize("records", [1, 30, 100, 250, 5000])
def test_a_corrupt_row_group_loses_just_its_rows_however_it_is_cut(records, tmp_path):
    path = parquet(tmp_path)
    column = pq.ParquetFile(path).metadata.row_group(3).column(0)
    data = bytearray(path.read_bytes())
    middle = column.data_page_offset + column.total_compressed_size // 2
    data[middle : middle + 8] = b"\0\xff" * 4
    path.write_bytes(data)
    rows, bad = read_all(source(path, gold="gold"), records)
    assert reasons(bad) == dict.fromkeys(range(300, 400), "unreadable")
    assert [row.row for row in rows] == [*range(300), *range(400, 1000)]
    assert rows[-1].text == "text 999 " + "z" * (999 % 97)


def test_a_parquet_file_without_a_footer_is_one_unreadable_row_and_the_next_file_is_read(tmp_path):
    parquet(tmp_path)
    (tmp_path / "0.parquet").write_bytes(b"PAR1 broken")
    rows, bad = read_all(source(tmp_path), 300)
    assert (reasons(bad), len(rows), rows[0].row) == ({0: "unreadable"}, 1000, 1)


def read_or_told(a_source: Source, records: int) -> object:
    try:
        return read_all(a_source, records)
    except PipelineError as error:
        return str(error)


@pytest.mark.parametrize("seed", range(40))
def test_a_flipped_byte_in_a_parquet_footer_is_survived_and_any_cut_agrees(seed, tmp_path):
    path = parquet(tmp_path)
    data = bytearray(path.read_bytes())
    footer = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    data[random.Random(seed).randrange(footer, len(data))] ^= 1 << seed % 8
    path.write_bytes(data)
    whole = read_or_told(source(path), 1000)
    assert read_or_told(source(path), 30) == whole
    match whole:
        case str():  # the name of the column was hit
            assert "has no column `text`" in whole
        case [rows, bad]:
            assert rows or set(reasons(bad).values()) == {"unreadable"}


def test_html_loses_scripts_and_keeps_block_breaks_and_its_charset(tmp_path):
    page = '<meta charset="windows-1256"><style>p{}</style><script>x()</script><p>مرحبا <b>بك</b></p>one<br>two<table><tr><td>1<td>2</table>'
    write(tmp_path, "a.html", page.encode("cp1256"))
    write(tmp_path, "b.html", b"<p>\xff\xfe</p>x")
    rows, bad = read_all(source(tmp_path))
    assert rows == [Row(0, "مرحبا بك\none\ntwo\n1\n2", None, "a.html", "", {})]
    assert reasons(bad) == {1: "not_utf8"}


def test_an_email_gives_subject_and_body_and_counts_its_attachments(tmp_path):
    message = EmailMessage()
    message["Subject"] = "Beschwerde über Gebühren"
    message.set_content("Größe: schön\n", charset="iso-8859-1", cte="quoted-printable")
    message.add_alternative("<p>html</p>", subtype="html")
    message.add_attachment(b"\0\1", maintype="application", subtype="octet-stream", filename="a.bin")
    write(tmp_path, "a.eml", message.as_bytes())
    write(tmp_path, "b.eml", b"\0\1\2 no header at all")
    rows, bad = read_all(source(tmp_path))
    assert [(row.text, row.extra) for row in rows] == [("Beschwerde über Gebühren\n\nGröße: schön\n", {"attachments": 1})]
    assert reasons(bad) == {1: "malformed"}


def test_an_archive_in_an_archive_in_an_email_is_counted_and_never_unpacked(tmp_path):
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb.txt", b"\0" * 50_000_000)
    outer = io.BytesIO()
    with zipfile.ZipFile(outer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("inner.zip", inner.getvalue())
    forwarded = EmailMessage()
    forwarded.set_content("forwarded\n")
    message = EmailMessage()
    message.set_content("see the archive\n")
    message.add_attachment(outer.getvalue(), maintype="application", subtype="zip", filename="outer.zip")
    message.add_attachment(forwarded)
    write(tmp_path, "a.eml.gz", message.as_bytes())
    (tmp_path / "b.zip").write_bytes(outer.getvalue())
    tracemalloc.start()
    rows, bad = read_all(source(tmp_path))
    assert tracemalloc.get_traced_memory()[1] < 16 << 20
    tracemalloc.stop()
    assert [(row.text, row.extra) for row in rows] == [("see the archive\n", {"attachments": 2})]
    assert bad == [Bad(1, "unreadable", "no reader for b.zip")]


def test_every_text_part_of_an_email_is_read_and_of_alternatives_the_plain_one(tmp_path):
    head = b"Content-Type: multipart/mixed; boundary=m\n\n--m\nContent-Type: multipart/alternative; boundary=a\n\n"
    alternatives = b"--a\nContent-Type: text/html\n\n<p>one in HTML</p>\n--a\nContent-Type: text/plain\n\none\n--a--\n"
    write(tmp_path, "a.eml", head + alternatives + b"--m\nContent-Type: image/png\n\nx\n--m\nContent-Type: text/html\n\n<p>two</p>\n--m--\n")
    write(tmp_path, "b.eml", b"Content-Type: multipart/mixed\n\nno boundary, yet a text\n")
    write(tmp_path, "c.eml", b"".join(b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (at, at) for at in range(3000)))
    rows, bad = read_all(source(tmp_path))
    assert [(row.text, row.extra) for row in rows] == [("one\n\ntwo", {"attachments": 1}), ("no boundary, yet a text\n", {"attachments": 0})]
    assert reasons(bad) == {2: "unreadable"}


def test_broken_and_encrypted_pdfs_are_unreadable_and_the_rest_is_read(tmp_path):
    pypdf = pytest.importorskip("pypdf", reason="comes with the extra labeling")
    writer = pypdf.PdfWriter()
    writer.add_blank_page(100, 100)
    writer.write(tmp_path / "a.pdf")
    writer.encrypt("secret", algorithm="AES-256")
    writer.write(tmp_path / "b.pdf")
    write(tmp_path, "c.pdf", b"%PDF-1.7 broken")
    rows, bad = read_all(source(tmp_path))
    assert [(row.source_id, row.extra) for row in rows] == [("a.pdf", {"pages": 1})]
    assert reasons(bad) == {1: "unreadable", 2: "unreadable"}


def warc(path: Path, *, pages: int, gzipped: bool) -> list[int]:
    from warcio.statusandheaders import StatusAndHeaders
    from warcio.warcwriter import WARCWriter

    offsets = []
    with path.open("wb") as stream:
        writer = WARCWriter(stream, gzip=gzipped)
        for number in range(pages):
            offsets.append(stream.tell())
            kind = "image/png" if number == 1 else "text/html; charset=utf-8"
            headers = StatusAndHeaders("200 OK", [("Content-Type", kind)], protocol="HTTP/1.1")
            body = io.BytesIO(f"<p>page {number} é</p>".encode())
            writer.write_record(writer.create_warc_record(f"http://example.org/{number}", "response", payload=body, http_headers=headers))
    return offsets


@pytest.mark.parametrize("records", [1, 2, 100])
@pytest.mark.parametrize("name", ["a.warc", "a.warc.gz"])
def test_a_warc_gives_its_pages_with_their_addresses_however_it_is_cut(name, records, tmp_path):
    warc(tmp_path / name, pages=7, gzipped=name.endswith("gz"))
    rows, bad = read_all(source(tmp_path / name), records)
    assert (bad, [(row.text, row.source_id) for row in rows]) == ([], [(f"page {n} é", f"http://example.org/{n}") for n in (0, 2, 3, 4, 5, 6)])


@pytest.mark.parametrize("records", [1, 2, 100])
@pytest.mark.parametrize("harm", ["middle", "checksum", "cut"])
def test_a_broken_warc_member_is_one_bad_row(harm, records, tmp_path):
    path = tmp_path / "a.warc.gz"
    offsets = warc(path, pages=6, gzipped=True)
    data = bytearray(path.read_bytes())
    at, left = {"middle": (offsets[3] + 12, "0245"), "checksum": (offsets[4] - 8, "0245"), "cut": (None, "0234")}[harm]
    if at is None:
        del data[-12:]
    else:
        data[at : at + 4] = b"\xff\xfe\xfd\xfc"
    path.write_bytes(data)
    rows, bad = read_all(source(path), records)
    assert [row.source_id[-1] for row in rows] == list(left)
    assert reasons(bad) == {4 if harm == "cut" else 2: "unreadable"}


@pytest.mark.parametrize("length", [0, 5, 100_000, -1])
def test_a_wrong_length_in_a_warc_record_loses_no_other_page(length, tmp_path):
    path = tmp_path / "a.warc"
    offsets = warc(path, pages=6, gzipped=False)
    data = path.read_bytes()
    head, tail = data[: offsets[3]], data[offsets[3] :]
    path.write_bytes(head + re.sub(rb"Content-Length: \d+", b"Content-Length: %d" % length, tail, count=1))
    rows, bad = read_all(source(path), 2)
    assert [row.source_id[-1] for row in rows] == list("0245")
    assert reasons(bad) == {2: "unreadable"}


def test_a_warc_in_one_gzip_member_is_told_with_its_mend(tmp_path):
    warc(tmp_path / "plain.warc", pages=3, gzipped=False)
    path = write(tmp_path, "a.warc.gz", (tmp_path / "plain.warc").read_bytes())
    assert read_all(source(path)) == ([], [Bad(0, "unreadable", "several records in one gzip member: run warcio recompress")])


def test_files_in_memory_are_read_through_fsspec():
    fsspec = pytest.importorskip("fsspec", reason="comes with the extra labeling")
    with fsspec.open("memory://readers/in/b.jsonl", "wb") as stream:
        stream.write(b'{"text":"b"}\n')
    with fsspec.open("memory://readers/in/a.csv", "wb") as stream:
        stream.write(b"text\na\n")
    assert [row.text for row in read_all(source("memory://readers/in"))[0]] == ["a", "b"]
    assert [row.text for row in read_all(source("memory://readers/in/*.jsonl"))[0]] == ["b"]


def test_the_sources_of_the_shipped_pipelines_are_sources_and_read_as_before():
    found = [each for stage in load_pipeline("nusax-sentiment").stages if stage.kind == "read" for each in stage.sources]
    assert len(found) == 2
    for old in found:
        a_source = Source.model_validate(old.model_dump(exclude_unset=True))
        rows, bad = read_all(a_source, 7)
        assert (bad, rows[0].gold, rows[0].language) == ([], rows[0].gold, a_source.language)
        with Path(a_source.path).open(encoding="utf-8-sig", newline="") as stream:
            assert [(row.text, row.gold, row.source_id) for row in rows] == [(each["text"], each["label"], each["id"]) for each in csv.DictReader(stream)]


def test_text_is_one_record_a_line_or_a_file(tmp_path):
    write(tmp_path, "a.txt", b"one\r\ntwo\n")
    write(tmp_path, "b.txt", b"three")
    assert [row.text for row in read_all(source(tmp_path))[0]] == ["one", "two", "three"]
    assert [(row.text, row.source_id) for row in read_all(source(tmp_path, per="file"))[0]] == [("one\r\ntwo\n", "a.txt"), ("three", "b.txt")]


@pytest.mark.parametrize(
    ("name", "data", "fields", "words"),
    [
        ("a.csv", b"body\nx\n", {}, "has no column `text`; its columns are: body"),
        ("a.jsonl", b'{"body":"x"}\n', {}, "has `text`; they have: body"),
        ("a.xyz", b"", {}, "set `format`"),
        ("a.parquet.gz", b"", {}, "decompress it first"),
    ],
)
def test_what_the_user_can_mend_is_told_in_one_line(name, data, fields, words, tmp_path):
    with pytest.raises(PipelineError) as caught:
        plan_splits(source(write(tmp_path, name, data), **fields), records=10)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("path", ["/nowhere/a.csv", "nosuchscheme://a/b.csv"])
def test_a_path_that_is_not_there_names_the_field(path):
    with pytest.raises(PipelineError, match="`path`"):
        plan_splits(source(path), records=10)


def test_a_file_that_changed_after_planning_is_refused(tmp_path):
    path = write(tmp_path, "a.txt", b"one\ntwo\n")
    (split,) = plan_splits(source(path), records=10)
    with pytest.raises(PipelineError, match="has changed"):
        read_split(source(path), replace(split, rows=3))
