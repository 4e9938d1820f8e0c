"""CSV as people and programs write it: where each row begins, to the line, and what is no row."""

from __future__ import annotations

import csv
import gzip
import io
import tempfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from labelled import HEADER, TIME, csv_of, imported, landed, written
from shadowlane.aggregator.labels._csv import CsvReader, cut
from shadowlane.aggregator.labels._file import LabelFile
from shadowlane.aggregator.labels._records import Bad
from shadowlane.errors import LabelFileError, SettingsError

OPEN = "a quoted cell begins in this row and never ends"


def by_python(text: str) -> list[int]:
    """In which line each record that is no blank line begins, as Python's csv module reads it."""
    reader = csv.reader(io.StringIO(text, newline=""))
    begun, found = 1, []
    for row in reader:
        if row:
            found.append(begun)
        begun = reader.line_num + 1
    return found


def by_cut(data: bytes, size: int) -> list[int]:
    """The same, as we cut it from chunks of this size."""
    chunks = (data[at : at + size] for at in range(0, len(data), size))
    return [
        int(line)
        for block in cut(chunks, ",", "a file")
        for start, line in zip(block.starts, block.lines, strict=True)
        if block.data[start] not in b"\r\n"
    ]


@given(st.text('",\n\r a', max_size=40), st.integers(1, 50))
@example('a\r\n"b\r\nc"\r\n', 3)
@example('"a""', 9)
def test_records_begin_where_pythons_csv_says(text: str, size: int) -> None:
    """Whatever quotes and line ends there are, and however the bytes come; an open quote is an error."""
    if closed(text):
        assert by_cut(text.encode(), size) == by_python(text)
    else:
        with pytest.raises(LabelFileError, match=OPEN):
            by_cut(text.encode(), size)


def closed(text: str) -> bool:
    """Whether each quoted cell ends."""
    quoted = after_quote = False
    begins = True
    for letter in text:
        if quoted:
            quoted, after_quote = letter != '"', letter == '"'
        else:
            quoted = letter == '"' and (begins or after_quote)
            after_quote, begins = False, letter in ",\r\n"
    return not quoted


@given(st.text('",\n\r a', max_size=40).filter(closed))
@example('"a"b"c",d\r\n')
@example('a,"\r\n"')
def test_cells_are_those_that_pythons_csv_reads(text: str) -> None:
    """Row for row with its line, and so are the rows that have too few cells or too many."""
    with tempfile.TemporaryDirectory() as folder:
        file = LabelFile(written(Path(folder, "a.csv"), "one,two\n" + text), "a.csv")
        bad = Bad()
        found: dict[int, tuple[Any, ...]] = {}
        for records in CsvReader(file, ",", lambda *_: None).read({"1": "one", "2": "two"}, bad):
            cells = [records.columns[role].values.to_pylist() for role in ("1", "2")]
            found.update(zip(records.lines.tolist(), zip(*cells, strict=True), strict=True))
    reader = csv.reader(io.StringIO(text, newline=""))
    expected, ragged, begun = {}, 0, 2
    for row in reader:
        if len(row) == 2:
            expected[begun] = tuple(cell.encode() for cell in row)
        ragged += len(row) not in (0, 2)
        begun = reader.line_num + 2
    assert (found, bad.rows) == (expected, ragged)


def test_a_row_is_known_by_its_line(tmp_path: Path) -> None:
    """Whatever stands between the rows: line ends in cells, blank lines, a byte order mark."""
    content = (
        b'\xef\xbb\xbfrequest_id,label,"a\r\nnote",observed_at\r\n'
        b'r1,1,"two\nlines",2026-03-01T12:00:00Z\r\n'
        b"\r\n"
        b'"r""2",0,,2026-03-01T12:00:00Z\n'
        b'r3,1,5" disc,2026-03-01T12:00:00Z'
    )
    done = imported(written(tmp_path / "a.csv", content), tmp_path / "lake")
    assert (done.rows, done.landed) == (3, 3)
    assert landed(tmp_path / "lake", "landed_offset, request_id") == [(3, "r1"), (6, 'r"2'), (7, "r3")]


def test_what_is_no_row_is_named_by_line_column_and_what_was_expected(tmp_path: Path) -> None:
    """Of each fault the first lines, and never a value."""
    content = (
        (HEADER + "r1,1,2026-03-01T12:00:00\n,1,Z\nSECRET\nr4,").encode()
        + b"SECR\xffET,2026-03-01T12:00:00Z\n"
        + f"r5,,{TIME}\nr6,SEC\0RET,{TIME}\nr7,1,SECRET\nr8,1,{TIME},SECRET\n".encode()
    )
    with pytest.raises(LabelFileError) as refused:
        imported(written(tmp_path / "a.csv", content), tmp_path / "lake")
    first, *others = str(refused.value).splitlines()
    assert first.endswith("8 rows cannot be labels, so nothing of it has landed (--skip-bad goes on without)")
    assert [line.split(": ")[0].strip() for line in others] == [
        "line 2, column 'observed_at'",
        "line 3, column 'request_id'",
        "line 4",
        "line 5, column 'label'",
        "line 6, column 'label'",
    ]
    assert "(2 rows: lines 2, 8)" in others[0]
    assert "expected 3 cells, as the header has (2 rows: lines 4, 9)" in others[2]
    assert "(2 rows: lines 5, 7)" in others[3]
    assert "SECR" not in str(refused.value)
    assert not (tmp_path / "lake").exists()


def test_bad_rows_are_left_out_where_that_is_wanted(tmp_path: Path) -> None:
    """The good ones land; the bad ones are counted by what is wrong with them."""
    file = written(tmp_path / "a.csv", f"{HEADER}r1,1,{TIME}\nr2\nr3,2,{TIME}\nr4\n")
    done = imported(file, tmp_path / "lake", plan={"skip_bad": True})
    assert (done.rows, done.landed, done.bad) == (4, 2, 2)
    [fault] = done.faults
    assert (fault.column, fault.rows, fault.first) == (None, 2, (3, 5))
    assert landed(tmp_path / "lake", "request_id") == [("r1",), ("r3",)]


def test_a_cell_of_ten_megabytes_is_a_cell(tmp_path: Path) -> None:
    """A column that nobody asked for may hold anything, over many blocks."""
    large = "x\n" * (5 * 2**20)
    content = f'{HEADER.strip()},note\nr1,1,{TIME},"{large}"\nr2,0,{TIME},\n'
    done = imported(written(tmp_path / "a.csv", content), tmp_path / "lake")
    assert done.landed == 2
    assert landed(tmp_path / "lake", "landed_offset") == [(2,), (2 + 5 * 2**20 + 1,)]


def test_a_quote_that_never_closes_is_found_before_memory_ends(tmp_path: Path) -> None:
    """The error names the line in which it opens."""
    content = f'{HEADER}r1,1,{TIME}\nr2,"1,{TIME}\n' + f"r3,1,{TIME}\n" * 10
    with pytest.raises(LabelFileError, match=rf"a.csv, line 3: {OPEN}"):
        imported(written(tmp_path / "a.csv", content), tmp_path / "lake")


def test_a_row_without_end_is_refused_before_memory_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a quote swallows a large file, it is not read to its end to find out."""
    monkeypatch.setattr("shadowlane.aggregator.labels._csv._LONGEST_RECORD", 100)
    chunks = iter([b'a,b\n1,2\n"', *[b"x" * 50] * 9])
    with pytest.raises(LabelFileError, match="line 3: this row is longer than"):
        list(cut(chunks, ",", "a file"))
    assert len(list(chunks)) == 7


@pytest.mark.parametrize("packing", ["gzip", "zstd"])
def test_what_is_packed_is_unpacked(tmp_path: Path, packing: str) -> None:
    """By its first bytes, whatever its name says; one that was cut says so."""
    plain = csv_of(tmp_path / "a.csv", "1", "0").read_bytes()
    with pa.CompressedOutputStream(str(tmp_path / "packed"), packing) as stream:
        stream.write(plain)
    assert imported(tmp_path / "packed", tmp_path / "lake").landed == 2


def test_a_packed_file_that_was_cut_is_an_error(tmp_path: Path) -> None:
    """Half of it is not taken for all of it."""
    packed = gzip.compress(csv_of(tmp_path / "a.csv", *map(str, range(5000))).read_bytes())
    with pytest.raises(LabelFileError, match=r"cannot read .*a\.gz"):
        imported(written(tmp_path / "a.gz", packed[:-500]), tmp_path / "lake")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (HEADER.encode("utf-16"), "UTF-16"),
        (b"PK\x03\x04" + bytes(40), "a spreadsheet"),
        (b"PAR1 and nothing else", "damaged Parquet"),
        (gzip.compress(b"PAR1", mtime=0), "unpack it first"),
        (b'[{"request_id": "r1"}]', "one in each line"),
    ],
)
def test_a_file_that_is_none_is_a_sentence(tmp_path: Path, content: bytes, words: str) -> None:
    """It names the file and what is wrong with it."""
    with pytest.raises(LabelFileError, match=words):
        imported(written(tmp_path / "a.csv", content), tmp_path / "lake")


def test_a_file_that_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    """And so is a folder."""
    with pytest.raises(LabelFileError, match=r"cannot read .*nowhere: No such file"):
        imported(tmp_path / "nowhere", tmp_path / "lake")
    with pytest.raises(LabelFileError, match="is a folder"):
        imported(tmp_path, tmp_path / "lake")


@pytest.mark.parametrize(
    ("header", "options", "words"),
    [
        ("id,label,observed_at", {}, "no column 'request_id' .*--request-id-column.* 'id', 'label'"),
        ("request_id;label;observed_at", {}, "several in one.* --delimiter"),
        ("request_id,label,label,observed_at", {}, "more than one column 'label'"),
        ("request_id,label", {}, "--observed-at-column, or one time for all with --observed-at"),
        ("request_id,label,observed_at", {"model_column": "m"}, "no column 'm' for the model"),
        ("request_id,label,observed_at", {"name_column": "n"}, "no column 'n' for the name"),
    ],
)
def test_a_column_that_is_not_there_is_named_beside_those_that_are(
    tmp_path: Path, header: str, options: dict[str, Any], words: str
) -> None:
    """With the option that says which it is."""
    with pytest.raises(SettingsError, match=words):
        imported(written(tmp_path / "a.csv", header + "\n"), tmp_path / "lake", **options)


def test_other_delimiters_and_columns(tmp_path: Path) -> None:
    """Each part of a label may stand in a column of any name."""
    content = "when\twhose\tid\twhat\tvalue\n2026-03-01T12:00:00+02:00\tfraud\tr1\tclick\tyes\n"
    done = imported(
        written(tmp_path / "a.tsv", content),
        tmp_path / "lake",
        delimiter="\t",
        observed_at_column="when",
        model_column="whose",
        request_id_column="id",
        name_column="what",
        label_column="value",
        source="survey",
    )
    assert done.kinds == {"click": "label"}
    columns = (
        "request_id, name, label_label, model, epoch_us(observed_at) // 1_000_000, date::VARCHAR, source"
    )
    assert landed(tmp_path / "lake", columns) == [
        ("r1", "click", "yes", "fraud", 1_772_359_200, "2026-03-01", "survey")
    ]
