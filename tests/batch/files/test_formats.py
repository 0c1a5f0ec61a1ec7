"""Files of rows, in each format: read and written row by row."""

import os
import sys
from datetime import date

import pytest

from dashscope_oss import ConfigurationError, DashScopeError
from dashscope_oss.batch.files.formats import first_row, open_reader, prepare_writer
from dashscope_oss.batch.files.jsonl import json_type

ROWS = [
    {"id": "1", "prompt": "床前明月光,\n疑是地上霜", "note": None},
    {"id": "2", "prompt": 'say "hi"', "note": "x" * 200_000},
]


def written(path, rows, source=None, answer_columns=()):
    """Write rows, as the answers to those of another file."""
    writer = prepare_writer(path, source, answer_columns)(path)
    for row in rows:
        writer.write(row)
    writer.close()
    return open_reader(path)


@pytest.fixture
def jsonl(tmp_path):
    return written(tmp_path / "rows.jsonl", ROWS)


def read(reader):
    """The rows by number; a faulty one as its message."""
    return {n: v.message if isinstance(v, DashScopeError) else v for n, v in reader.rows()}


@pytest.mark.parametrize("ending", ["jsonl", "ndjson", "csv", "parquet", "CSV"])
def test_rows_come_back_as_they_were_written(ending, tmp_path, jsonl):
    reader = written(tmp_path / f"copy.{ending}", ROWS, jsonl)

    empty = "" if ending.lower() == "csv" else None
    assert read(reader) == {1: {**ROWS[0], "note": empty}, 2: ROWS[1]}
    assert (reader.count(), reader.columns()) == (2, ["id", "prompt", "note"])


def test_parquet_keeps_the_types_of_parquet(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table({"id": pa.array([1, None], pa.int8()), "at": pa.array([0, 1], pa.date32())})
    pq.write_table(table, tmp_path / "in.parquet")
    reader = open_reader(tmp_path / "in.parquet")

    written(tmp_path / "out.parquet", [values for _, values in reader.rows()], reader)

    assert pq.read_table(tmp_path / "out.parquet").equals(table)


def test_answers_have_types_of_their_own_in_parquet(tmp_path, jsonl):
    import pyarrow.parquet as pq

    rows = [{**ROWS[0], "answer": None, "answer_input_tokens": None}]
    columns = ["answer", "answer_input_tokens"]

    written(tmp_path / "out.parquet", rows, jsonl, columns)

    schema = pq.read_schema(tmp_path / "out.parquet")
    assert [str(schema.field(name).type) for name in columns] == ["string", "int64"]


def test_many_rows_are_written_in_parts(tmp_path, jsonl):
    import pyarrow.parquet as pq

    rows = [{"id": str(n)} for n in range(20_000)]

    reader = written(tmp_path / "out.parquet", rows, jsonl)

    assert [values["id"] for _, values in reader.rows()] == [row["id"] for row in rows]
    assert pq.ParquetFile(tmp_path / "out.parquet").num_row_groups == 2


@pytest.mark.parametrize(
    "rows",
    [[{"a": "text"}, {"a": {"b": 1}}], [{"a": {}}], [{"a": 2**70}]],
    ids=["two kinds", "an object without fields", "a huge number"],
)
def test_what_has_no_type_of_parquet_is_told_before_the_calls(tmp_path, rows):
    reader = written(tmp_path / "in.jsonl", rows)

    with pytest.raises(ConfigurationError, match=r"no common types.*Write JSONL instead"):
        prepare_writer(tmp_path / "out.parquet", reader, ())


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_columns_of_answers_are_no_columns_of_rows(tmp_path, ending):
    reader = written(tmp_path / "in.jsonl", [{"a": 1}, {"answer": 2}])

    with pytest.raises(ConfigurationError, match="already have a column answer"):
        prepare_writer(tmp_path / f"out.{ending}", reader, ["answer"])


def test_lists_and_objects_are_json_in_a_table(tmp_path, jsonl):
    reader = written(tmp_path / "out.csv", [{"id": [1, {"a": "杭州"}]}], jsonl)

    assert read(reader)[1]["id"] == '[1,{"a":"杭州"}]'


@pytest.mark.parametrize("ending", ["jsonl", "csv"])
def test_bytes_are_written_as_base64(tmp_path, jsonl, ending):
    """An image of a Parquet file, say."""
    reader = written(tmp_path / f"out.{ending}", [{"id": b"\xff\x00"}], jsonl)

    assert read(reader)[1]["id"].strip('"') == "_wA="


def test_faulty_lines_of_json_have_their_number(tmp_path):
    path = tmp_path / "in.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"a": 1}\n\n{"a": \n[1]\n{"a": "\xff"}\n{"a": 2}')

    rows = read(open_reader(path))

    assert (rows[1], rows[6]) == ({"a": 1}, {"a": 2})
    assert (open_reader(path).count(), open_reader(path).columns()) == (5, ["a"])
    assert [n for n in rows if isinstance(rows[n], str)] == [3, 4, 5]
    assert "the line is not JSON" in rows[3]
    assert "the line is not UTF-8" in rows[5]
    assert rows[4] == "the line holds a list, not an object {…} with the columns"


def test_faulty_rows_of_a_table_have_their_number(tmp_path):
    path = tmp_path / "in.csv"
    path.write_bytes("﻿a,b\n1,2\n\n1\n".encode() + "杭,州\n".encode("gbk") + b'x,y\n1,"2\n')

    rows = read(open_reader(path))

    assert (rows[1], rows[4]) == ({"a": "1", "b": "2"}, {"a": "x", "b": "y"})
    assert rows[2] == "the row has 1 fields, the header has 2"
    assert "the row is not UTF-8; save it as UTF-8" in rows[3]
    assert "the row is not CSV" in rows[5]


@pytest.mark.parametrize("mark", [b"\xef\xbb\xbf", b""])
def test_a_table_that_excel_wrote_is_answered_in_one_that_excel_can_read(tmp_path, mark):
    """Without the mark of UTF-8 it shows Chinese as something else."""
    path = tmp_path / "in.csv"
    path.write_bytes(mark + "评论\n很好\n".encode())
    rows = [values for _, values in open_reader(path).rows()]

    written(tmp_path / "out.csv", rows, open_reader(path), ["answer"])

    assert (tmp_path / "out.csv").read_bytes().startswith(mark + "评论".encode())


def test_columns_of_later_rows_are_columns_of_parquet(tmp_path):
    reader = written(tmp_path / "in.jsonl", [{"a": 1}, {"b": "x"}])

    rows = read(written(tmp_path / "out.parquet", [values for _, values in reader.rows()], reader))

    assert rows == {1: {"a": 1, "b": None}, 2: {"a": None, "b": "x"}}


@pytest.mark.parametrize(
    ("header", "fault"),
    [
        (b"", "no first line with the names"),
        (b"a,a\n1,2\n", "names a column twice"),
        ("编号,b\n1,2\n".encode("gbk"), "is not UTF-8"),
    ],
)
def test_a_table_needs_a_header(tmp_path, header, fault):
    (tmp_path / "in.csv").write_bytes(header)

    with pytest.raises(ConfigurationError, match=fault):
        open_reader(tmp_path / "in.csv").columns()


def test_what_is_no_parquet_is_told(tmp_path):
    (tmp_path / "in.parquet").write_text("a,b")

    with pytest.raises(ConfigurationError, match="as Parquet"):
        open_reader(tmp_path / "in.parquet").count()


def test_a_damaged_page_is_told(tmp_path):
    """The file can be opened, and its end is whole."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = tmp_path / "in.parquet"
    pq.write_table(pa.table({"a": [f"{n}" for n in range(9000)]}), path, use_dictionary=False)
    content = bytearray(path.read_bytes())
    content[500:900] = bytes(400)
    path.write_bytes(content)
    reader = open_reader(path)

    assert reader.count() == 9000
    with pytest.raises(ConfigurationError, match=r"cannot read .*in\.parquet as Parquet"):
        read(reader)


def test_two_columns_of_one_name_are_no_rows(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"])], names=["a", "a"])
    pq.write_table(table, tmp_path / "in.parquet")

    with pytest.raises(ConfigurationError, match="more than one column a"):
        open_reader(tmp_path / "in.parquet").columns()


class TestSeveralParquetFiles:
    """They are read as one, as Ray Data would."""

    @pytest.fixture
    def folder(self, tmp_path):
        """With an unfinished file of another program, and a column that is a folder's name."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        for name, table in (
            ("of/language=%E4%B8%AD/b.parquet", {"id": ["2"], "size": [1.5]}),
            ("a.parquet", {"id": ["1"], "size": [1]}),
            ("_temporary/c.parquet", {"id": ["?"]}),
        ):
            path = tmp_path / "rows" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(pa.table(table), path)
        return tmp_path / "rows"

    def test_a_folder(self, folder):
        reader = open_reader(folder)

        assert read(reader) == {
            1: {"id": "1", "size": 1},
            2: {"id": "2", "size": 1.5, "language": "中"},
        }
        assert (reader.count(), reader.columns()) == (2, ["id", "size", "language"])
        assert str(reader.schema().field("size").type) == "double"

    def test_a_list(self, folder, monkeypatch):
        monkeypatch.chdir(folder.parent)
        files = (folder / "a.parquet", *folder.relative_to(folder.parent).glob("of/*/*"))

        reader = open_reader(*files)

        assert [values["id"] for values in read(reader).values()] == ["1", "2"]
        assert reader.columns() == ["id", "size", "language"]

    def test_files_without_common_types(self, folder):
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.table({"id": [{"a": 1}]}), folder / "c.parquet")

        with pytest.raises(ConfigurationError, match="rows have no common types"):
            open_reader(folder).columns()

    def test_other_formats(self, tmp_path, jsonl):
        with pytest.raises(ConfigurationError, match=r"rows\.jsonl: of several files each must be"):
            open_reader(jsonl.path, jsonl.path)
        with pytest.raises(ConfigurationError, match=r"has no \.parquet file"):
            open_reader(tmp_path)


def test_other_endings_and_missing_files_are_told(tmp_path):
    (tmp_path / "in.txt").write_text("hello")

    with pytest.raises(ConfigurationError, match=r"must end with its format, one of \.jsonl"):
        open_reader(tmp_path / "in.txt")
    with pytest.raises(ConfigurationError, match="there is no file"):
        open_reader(tmp_path / "in.jsonl")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no such files")
def test_a_pipe_is_told(tmp_path):
    os.mkfifo(tmp_path / "in.jsonl")

    with pytest.raises(ConfigurationError, match="no regular file"):
        open_reader(tmp_path / "in.jsonl")


def test_a_file_in_which_nothing_can_be_read_is_told(tmp_path):
    (tmp_path / "in.jsonl").write_text("no\nnothing\n")

    with pytest.raises(ConfigurationError, match="no row that can be read; row 1: the line is not"):
        first_row(open_reader(tmp_path / "in.jsonl"))


def test_parquet_without_its_package_names_the_extra(tmp_path, monkeypatch):
    (tmp_path / "in.parquet").write_text("")
    monkeypatch.delitem(sys.modules, "dashscope_oss.batch.files.parquet", raising=False)
    monkeypatch.setitem(sys.modules, "pyarrow", None)

    with pytest.raises(ImportError, match=r'pip install "dashscope-oss\[batch\]"'):
        open_reader(tmp_path / "in.parquet")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "null"),
        (True, "true or false"),
        (1, "a number"),
        (1.5, "a number"),
        ("", "a text"),
        ([], "a list"),
        ({}, "an object"),
        (b"", "bytes"),
        (date(2026, 1, 1), "something else"),  # of a Parquet file
    ],
)
def test_what_a_column_holds_is_said_in_the_words_of_json(value, words):
    assert json_type(value) == words
