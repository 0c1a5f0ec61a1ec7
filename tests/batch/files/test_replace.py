"""A file has its name only once it is whole."""

import pytest

from dashscope_oss import DashScopeError
from dashscope_oss.batch.files.replace import replacing


def test_the_name_is_given_at_the_end(tmp_path):
    path = tmp_path / "out"
    path.write_text("before")
    with replacing(path) as aside:
        aside.write_text("after")
        assert path.read_text() == "before"

    assert path.read_text() == "after"
    assert [*tmp_path.iterdir()] == [path]


def test_whatever_goes_wrong_leaves_what_was_there(tmp_path):
    path = tmp_path / "out"
    path.write_text("before")
    with pytest.raises(TypeError), replacing(path) as aside:
        aside.write_bytes("half")

    assert [(each.name, each.read_text()) for each in tmp_path.iterdir()] == [("out", "before")]


def test_a_full_disk_is_told(tmp_path):
    with (
        pytest.raises(DashScopeError, match=r"out: No space left on device.*give the same command"),
        replacing(tmp_path / "out"),
    ):
        raise OSError(28, "No space left on device")
