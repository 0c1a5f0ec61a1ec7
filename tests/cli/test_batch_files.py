"""The files that a batch writes: whole or not at all, and over nobody else's."""

from pathlib import Path

import pytest

from dashscope_oss.gateway import Answer
from tests.batch.cluster import rows as cluster_rows
from tests.cli.batch_rows import numbered, read_rows, write_rows


@pytest.mark.parametrize("source", ["a.jsonl", "a.jsonl.failed.jsonl"])
def test_a_run_over_its_own_files_is_refused(batch, gateway, source):
    write_rows(*numbered(1), path=source)

    status, _, err = batch(gateway(), source, "./a.jsonl")

    assert (status, "IN and OUT are the same file" in err) == (2, True)
    assert read_rows(source) == [*numbered(1)]


def test_an_output_in_the_folder_of_the_input_is_refused(batch, gateway):
    """The next start would read it."""
    Path("in").mkdir()
    cluster_rows.write_rows(Path("in/a.parquet"), ["a"], block_rows=1)

    status, _, err = batch(gateway(), "in", "in/out.parquet")
    assert (status, "in/out.parquet would be in the folder in" in err) == (2, True)

    status, _, _ = batch(gateway(), "in/a.parquet", "in/out.parquet")
    assert (status, len(cluster_rows.read_rows("in/out.parquet"))) == (0, 1)


@pytest.mark.parametrize("path", ["out.jsonl", "out.jsonl.failed.jsonl"])
def test_files_of_somebody_else_are_left_alone(batch, gateway, path):
    write_rows(*numbered(1))
    Path(path).write_text("precious")

    status, _, err = batch(gateway(), "in.jsonl", "out.jsonl")

    assert (status, Path(path).read_text()) == (2, "precious")
    assert f"{path} is there already, and not from this run" in err


def test_an_output_that_cannot_be_is_told_before_the_calls(batch, gateway):
    write_rows(*numbered(1))
    Path("folder.jsonl").mkdir()

    for output, fault in (
        ("folder.jsonl", "folder.jsonl is a folder"),
        ("no/out.jsonl", "there is no folder"),
    ):
        status, _, err = batch(gateway(), "in.jsonl", output, "--overwrite")
        assert (status, fault in err) == (2, True)


def test_an_output_elsewhere_is_written_through_its_link(batch, gateway):
    """As on a disk that has more room."""
    Path("disk").mkdir()
    Path("out.jsonl").symlink_to("disk/rows.jsonl")
    write_rows(*numbered(2))

    batch(gateway(), "in.jsonl", "out.jsonl")

    assert Path("out.jsonl").is_symlink()
    assert len(read_rows("disk/rows.jsonl")) == 2


def test_a_run_that_is_killed_while_it_names_its_files_can_be_given_again(
    batch, gateway, monkeypatch
):
    write_rows({"prompt": "a"}, {"text": "b"})

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("pathlib.Path.replace", killed)
        assert batch(gateway(), "in.jsonl", "out.jsonl")[0] == 130
    Path("out.jsonl.failed.jsonl").touch()

    assert batch(gateway(), "in.jsonl", "out.jsonl")[0] == 1
    assert len(read_rows()) == 1


def test_a_file_that_changes_meanwhile_gives_no_output(batch, gateway):
    def entry(request):
        write_rows(*numbered(3))
        return Answer("a")

    write_rows(*numbered(2))

    status, _, err = batch(gateway(entry), "in.jsonl", "out.jsonl")

    assert (status, Path("out.jsonl").exists()) == (1, False)
    assert "in.jsonl has changed since the run began" in err
