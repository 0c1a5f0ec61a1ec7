"""The folder beside the output in which a run on a cluster keeps its blocks."""

import os

import pytest

from dashscope_oss import ConfigurationError, DashScopeError
from dashscope_oss.batch.files.formats import open_reader
from tests.batch.cluster.rows import write_rows

SETTINGS = {"model": "a", "parameters": {"temperature": 0.2}}


@pytest.fixture
def opened(tmp_path):
    """Open the folder of a run: ``opened(settings, source="in.parquet")``."""
    from dashscope_oss.batch.cluster.folder import BlockFolder

    write_rows(tmp_path / "in.parquet", ["a"], block_rows=1)

    def open_folder(settings=SETTINGS, source="in.parquet"):
        reader = open_reader(tmp_path / source)
        return BlockFolder.open(tmp_path / "out.parquet", reader, settings)

    return open_folder


def test_the_same_settings_have_the_same_folder(opened):
    first, second = opened(), opened(dict(reversed(SETTINGS.items())))

    assert first.files.folder == second.files.folder


def test_other_settings_have_another_folder_and_say_what_is_different(opened):
    first = opened()
    os.utime(first.files.folder / "settings.json", (0, 0))

    second = opened({**SETTINGS, "parameters": {"temperature": 0.7}})
    assert second.files.folder != first.files.folder
    assert second.changes == ["parameters.temperature: 0.2, now 0.7"]
    assert opened().changes == []


def test_it_remembers_whose_the_output_is(opened):
    first = opened()
    assert not first.wrote_output
    first.note_output()

    assert opened().wrote_output
    assert not opened({"model": "b"}).wrote_output


def test_the_folder_of_another_input_is_left_alone(opened, tmp_path):
    opened()
    write_rows(tmp_path / "other.parquet", ["a"], block_rows=1)

    with pytest.raises(ConfigurationError, match=r"other\.parquet is not the input of the run"):
        opened(source="other.parquet")


def test_an_input_that_has_changed_is_told(opened, tmp_path):
    """Blocks that are finished would no longer fit."""
    opened()
    write_rows(tmp_path / "in.parquet", ["a", "b"], block_rows=1)

    with pytest.raises(ConfigurationError, match=r"in\.parquet has changed since the run"):
        opened()


def test_the_checkpoint_of_one_machine_is_left_alone(opened, tmp_path):
    (tmp_path / "out.parquet.checkpoint").write_text("SQLite")

    with pytest.raises(ConfigurationError, match="belongs to a run without --ray"):
        opened()


def test_a_place_that_cannot_be_written_is_told(opened, tmp_path, monkeypatch):
    def no(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.mkdir", no)

    with pytest.raises(DashScopeError, match=r"cannot write .*No space left"):
        opened()
