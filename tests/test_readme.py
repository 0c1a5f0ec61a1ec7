"""What the README shows works as it stands."""

import re
from pathlib import Path

import pytest

from dashscope_oss.cli import main
from dashscope_oss.gateway import Answer

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```", README, flags=re.DOTALL | re.MULTILINE)


def test_there_are_examples():
    """The README shows both frameworks, moving over, the core, the registry and the gateway."""
    assert len(BLOCKS) == 6


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.split("\n")[-2][:40])
def test_an_example_runs(block, gateway, capsys):
    """Each example runs against a scripted gateway in place of the one on port 8000."""
    engine = gateway(Answer("In Hangzhou."))

    exec(block.replace("http://127.0.0.1:8000/api/v1", engine.base_url), {})

    shown = capsys.readouterr().out
    assert "Hangzhou" in shown or "print" not in block


def test_the_models_are_those_of_the_registry(capsys):
    """The table between the markers is what `dashscope-oss models --markdown` prints."""
    table = re.search(r"<!-- models -->\n(.*?)<!-- /models -->", README, re.DOTALL)
    assert main(["models", "--markdown"]) == 0
    assert table
    assert table[1].strip() == capsys.readouterr().out.strip()
