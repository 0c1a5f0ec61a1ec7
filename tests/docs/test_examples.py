"""Every example of the documentation runs as it stands, with a scripted gateway as the service."""

import asyncio

import pytest

from dashscope_oss import ToolCall
from dashscope_oss.gateway import Answer
from tests.docs.pages import EXAMPLES, FAMILY_EXAMPLES, GUIDES, Example, blocks

LOCAL = "http://127.0.0.1:8000/api/v1"


pytestmark = pytest.mark.usefixtures("own_tokenizer", "closed_loop")


@pytest.fixture
def service(gateway, monkeypatch):
    """``service(answers)``: a gateway at the address that the hosted service has by default."""

    def start(answers: str) -> str:
        engine = gateway(eval(answers, {"Answer": Answer, "ToolCall": ToolCall}))
        monkeypatch.setenv("DASHSCOPE_HTTP_BASE_URL", engine.base_url)
        monkeypatch.setenv("DASHSCOPE_API_KEY", "sk-example")
        return engine.base_url

    return start


def run(example: Example, url: str) -> dict:
    """Run it against this gateway, and return what it defines."""
    names = {"__name__": "example"}
    exec(example.code.replace(LOCAL, url), names)
    if "main" in names:
        asyncio.run(names["main"]())
    return names


@pytest.mark.parametrize("example", EXAMPLES, ids=str)
def test_an_example_runs(example, service, gateway, capsys):
    """At the address of a gateway of this machine, and at that of the hosted service."""
    names = run(example, service(example.answers))
    for test in [thing for name, thing in names.items() if name.startswith("test_")]:
        test(gateway)
    assert capsys.readouterr().out or "print" not in example.code


def test_the_examples_of_each_familys_page_run(service, capsys, subtests):
    (answers,) = {example.answers for example in FAMILY_EXAMPLES}
    url = service(answers)
    for example in FAMILY_EXAMPLES:
        with subtests.test(str(example)):
            run(example, url)
            assert capsys.readouterr().out == "In Hangzhou.\n"


def test_every_block_of_python_is_an_example():
    """None is left out because of how it is written."""
    assert len(EXAMPLES) == sum(len(blocks(page, "python")) for page in GUIDES)
