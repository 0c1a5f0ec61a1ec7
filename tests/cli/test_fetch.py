"""``dashscope-oss fetch``: the embedded model's file ahead of the first start."""

from pathlib import Path


def test_the_path_of_the_file_is_printed(command, small_model):
    status, out, _ = command("fetch")

    assert status == 0
    assert Path(out.strip()).is_file()
