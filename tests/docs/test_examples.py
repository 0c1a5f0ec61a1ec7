"""Every example of the documentation runs as it stands, with a scripted gateway as the service."""

import asyncio

import pytest

from dashscope_oss import ToolCall
from dashscope_oss.gateway import Answer
from tests.docs.pages import EXAMPLES, FAMILY_EXAMPLES, GUIDES, Example, blocks

LOCAL = "http://127.0.0.1:8000/api/v1"


@pytest.mark.usefixtures("own_tokenizer", "closed_loop")
@pytest.mark.parametrize("example", [*EXAMPLES, *FAMILY_EXAMPLES], ids=str)
def test_an_example_runs(example: Example, gateway, monkeypatch, capsys):
    """At the address of a gateway of this machine, and at that of the hosted service."""
    answers = eval(example.answers, {"Answer": Answer, "ToolCall": ToolCall})
    engine = gateway(answers)
    monkeypatch.setenv("DASHSCOPE_HTTP_BASE_URL", engine.base_url)
    monkeypatch.setenv("DASHSCOPE_API_KEY", "sk-example")

    names = {"__name__": "example"}
    exec(example.code.replace(LOCAL, engine.base_url), names)
    if "main" in names:
        asyncio.run(names["main"]())
    for name, thing in [*names.items()]:
        if name.startswith("test_"):
            thing(gateway)

    assert capsys.readouterr().out or "print" not in example.code


def test_every_block_of_python_is_an_example():
    """None is left out because of how it is written."""
    assert len(EXAMPLES) == sum(len(blocks(page, "python")) for page in GUIDES)
