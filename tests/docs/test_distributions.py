"""The two thin distributions: one version, their examples run, their names are the adapter's."""

import json
import re
import sys

import pytest
import yaml

from dashscope_oss import ToolCall, __version__
from dashscope_oss.gateway import Answer
from tests.docs.pages import ROOT, blocks, read

LOCAL = "http://127.0.0.1:8000/api/v1"
ANSWER = Answer("In Hangzhou.")


@pytest.fixture
def llamahub(monkeypatch):
    """The package as it is installed: below LlamaIndex's own namespace."""
    monkeypatch.syspath_prepend(ROOT / "distributions" / "llama-index")
    yield
    for name in [name for name in sys.modules if name.startswith("llama_index.llms")]:
        del sys.modules[name]


def test_there_is_one_version():
    """Both read it from the core's file when they are built; the citation repeats it."""
    path = 'path = "../../dashscope_oss/_version.py"'
    assert path in read("distributions/langchain/pyproject.toml")
    assert path in read("distributions/llama-index/pyproject.toml")
    assert yaml.safe_load(read("CITATION.cff"))["version"] == __version__


@pytest.mark.usefixtures("llamahub")
def test_llamahubs_name_has_the_names_of_the_adapter():
    import llama_index.llms.dashscope_oss as thin

    import llama_index_dashscope_oss as adapter

    assert thin.__all__ == adapter.__all__
    assert thin.DashScopeOSS is adapter.DashScopeOSS


def run(code, engine, names):
    exec(code.replace(LOCAL, engine.base_url), names)


@pytest.mark.usefixtures("llamahub", "own_tokenizer", "closed_loop")
@pytest.mark.parametrize("folder", ["langchain", "llama-index"])
def test_the_examples_of_a_readme_run(folder, gateway, monkeypatch, capsys):
    engine = gateway(ANSWER)
    monkeypatch.setenv("DASHSCOPE_HTTP_BASE_URL", engine.base_url)
    monkeypatch.setenv("DASHSCOPE_API_KEY", "sk-example")
    for code in blocks(f"distributions/{folder}/README.md", "python"):
        run(code, engine, {})
    assert "In Hangzhou." in capsys.readouterr().out


@pytest.mark.usefixtures("llamahub", "own_tokenizer", "closed_loop")
def test_the_example_for_llamahub_runs(gateway, monkeypatch, capsys):
    engine = gateway(ANSWER)
    monkeypatch.setenv("DASHSCOPE_HTTP_BASE_URL", engine.base_url)
    monkeypatch.setenv("DASHSCOPE_API_KEY", "sk-example")

    names = {}
    for cell in json.loads(read("distributions/llama-index/example.ipynb"))["cells"]:
        code = "".join(cell["source"])
        if cell["cell_type"] == "code" and not code.startswith("%pip"):
            run(code, engine, names)

    assert capsys.readouterr().out.count("In Hangzhou.") == 3


def test_the_page_for_langchain_runs_from_top_to_bottom(gateway, monkeypatch, capsys):
    """Its blocks are one program, in the form of LangChain's template."""
    page = read("distributions/langchain/page.mdx")
    calls = (ToolCall("call_1", "weather", '{"city": "Hangzhou"}'),)
    answers = [ANSWER, ANSWER, ANSWER, Answer(tool_calls=calls), Answer("42", reasoning="6 x 7.")]
    engine = gateway(*answers)
    monkeypatch.setenv("DASHSCOPE_HTTP_BASE_URL", engine.base_url)
    monkeypatch.setenv("DASHSCOPE_API_KEY", "sk-example")

    names = {}
    for code in re.findall(r"^```python [^\n]*\n(.*?)^```$", page, re.DOTALL | re.MULTILINE):
        run(code, engine, names)

    printed = capsys.readouterr().out
    assert "'name': 'weather'" in printed
    assert "'reasoning': '6 x 7.'" in printed
    assert len(engine.requests) == len(answers)
