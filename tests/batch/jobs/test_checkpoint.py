"""The checkpoint: what was answered, kept beside the output."""

import shutil
import sqlite3
import subprocess
import sys

import pytest

from dashscope_oss import ConfigurationError, DashScopeError
from dashscope_oss.batch.jobs.checkpoint import Checkpoint, Known, Progress
from dashscope_oss.batch.rows.settings import differences

SETTINGS = {"model": "a", "parameters": {"temperature": 0.2}, "system": None}


@pytest.fixture
def opened(tmp_path):
    """Open the checkpoint of a run: ``opened(settings)``."""

    def open_checkpoint(settings=SETTINGS, source="in.jsonl", folder=tmp_path):
        return Checkpoint(folder / "out.jsonl", folder / source, settings)

    return open_checkpoint


def record(checkpoint, row, *, failed=False, tokens=5):
    digest, outcome = f"d{row}".encode(), f"outcome {row}".encode()
    checkpoint.record(row, digest, outcome, failed=failed, tokens=tokens)


def test_what_was_recorded_is_known_when_it_is_opened_again(opened):
    with opened() as checkpoint:
        record(checkpoint, 2)
        record(checkpoint, 1, failed=True)
        checkpoint.record(3, b"", b"unreadable", failed=True, tokens=0)

    with opened() as checkpoint:
        assert checkpoint.known(1) == Known(b"d1", failed=True)
        assert checkpoint.known(2) == Known(b"d2", failed=False)
        assert checkpoint.known(4) is None
        assert [*checkpoint.outcomes()] == [
            (1, b"outcome 1"),
            (2, b"outcome 2"),
            (3, b"unreadable"),
        ]
        assert checkpoint.progress() == Progress(answered=1, failed=1, tokens=10)
        assert not checkpoint.changes


def test_a_row_in_a_gap_is_not_known(opened):
    with opened() as checkpoint:
        record(checkpoint, 9)

    with opened() as checkpoint:
        assert checkpoint.known(5) is None


def test_other_settings_make_another_run_and_keep_the_first(opened):
    with opened() as checkpoint:
        record(checkpoint, 1)

    with opened({**SETTINGS, "parameters": {"temperature": 0.7}}) as checkpoint:
        assert checkpoint.known(1) is None
        assert checkpoint.changes == ["parameters.temperature: 0.2, now 0.7"]
    with opened() as checkpoint:
        assert checkpoint.known(1)


def test_settings_are_the_same_in_any_order(opened):
    with opened() as checkpoint:
        record(checkpoint, 1)

    with opened(dict(reversed(SETTINGS.items()))) as checkpoint:
        assert checkpoint.known(1)


def test_differences_are_told_in_words():
    before = {"model": "a", "parameters": {}, "system": None}
    after = {"model": "b", "parameters": {"stop": "x" * 100}, "system": None}

    assert differences(before, after) == [
        "model: a, now b",
        f"parameters.stop: not set, now {'x' * 60}",
    ]


def test_it_remembers_whose_the_output_is(opened):
    with opened() as checkpoint:
        assert not checkpoint.wrote_output
        checkpoint.note_output()
        assert checkpoint.wrote_output

    with opened({"model": "b"}) as checkpoint:
        assert not checkpoint.wrote_output
        checkpoint.note_output()
    with opened() as checkpoint:
        assert not checkpoint.wrote_output


def test_the_checkpoint_of_another_input_is_left_alone(opened):
    with opened() as checkpoint:
        record(checkpoint, 1)

    with pytest.raises(ConfigurationError, match=r"run over in\.jsonl, not over other\.jsonl"):
        opened(source="other.jsonl")
    with opened() as checkpoint:
        assert checkpoint.known(1)


def test_a_folder_with_input_output_and_checkpoint_can_be_moved(opened, tmp_path):
    with opened() as checkpoint:
        record(checkpoint, 1)
    moved = tmp_path / "moved"
    moved.mkdir()
    shutil.move(checkpoint.path, moved)

    with opened(folder=moved) as checkpoint:
        assert checkpoint.known(1)


def test_one_process_at_a_time(opened):
    with opened(), pytest.raises(ConfigurationError, match="is in use: another run"):
        opened()


@pytest.mark.parametrize(
    "content", [b"hello, this is a note" * 100, b"SQLite format 3\0" + b"x" * 999]
)
def test_what_is_no_checkpoint_is_left_alone(opened, tmp_path, content):
    path = tmp_path / "out.jsonl.checkpoint"
    path.write_bytes(content)

    with pytest.raises(ConfigurationError, match="is not a checkpoint, or is damaged"):
        opened()
    assert path.read_bytes() == content


@pytest.mark.parametrize("statement", ["PRAGMA application_id = 7", "PRAGMA user_version = 99"])
def test_another_programs_database_or_a_later_version_is_left_alone(opened, statement):
    with opened() as checkpoint:
        pass
    database = sqlite3.connect(checkpoint.path)
    database.execute(statement)
    database.close()

    with pytest.raises(ConfigurationError, match="not a checkpoint that this version can read"):
        opened()


def test_an_empty_file_is_a_beginning(opened, tmp_path):
    """A process may be killed before it has written anything."""
    (tmp_path / "out.jsonl.checkpoint").touch()

    with opened() as checkpoint:
        record(checkpoint, 1)


FILL = """
import resource, sys
from pathlib import Path
from dashscope_oss.batch.jobs.checkpoint import Checkpoint
folder = Path(sys.argv[1])
with Checkpoint(folder / "out.jsonl", folder / "in.jsonl", {}) as checkpoint:
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
    for row in range(1, 10_000):
        checkpoint.record(row, b"d", b"x" * 1000, failed=False, tokens=0)
        print(row, flush=True)
"""


def test_when_the_disk_is_full_what_was_recorded_is_safe(opened, tmp_path):
    """The disk is a limit of the size of files; the error is the same."""
    filled = subprocess.run(
        [sys.executable, "-c", FILL, str(tmp_path)], capture_output=True, text=True, check=False
    )

    assert "DashScopeError: cannot write the checkpoint" in filled.stderr
    assert "free space, and give the same command again" in filled.stderr
    with opened({}) as checkpoint:
        rows = [row for row, _ in checkpoint.outcomes()]
        assert rows == [*range(1, len(filled.stdout.split()) + 1)]
        record(checkpoint, 10_000)


def test_a_place_that_cannot_be_written_is_told(tmp_path):
    with pytest.raises(DashScopeError, match="cannot write the checkpoint"):
        Checkpoint(tmp_path / "no" / "out.jsonl", tmp_path / "in.jsonl", {})
