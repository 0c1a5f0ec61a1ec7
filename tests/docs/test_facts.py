"""Tables and lists of the documentation say what the code says."""

import inspect
import re

import pytest
from langchain_core.language_models import BaseChatModel
from llama_index.core.llms.function_calling import FunctionCallingLLM

import dashscope_oss
from dashscope_oss.cli import main
from dashscope_oss.errors import DashScopeError, DashScopeWarning
from dashscope_oss.registry.lookup import all_models
from dashscope_oss.transport.endpoint import REGIONS
from langchain_dashscope_oss import ChatDashScopeOSS, DashScopeOSSLLM
from llama_index_dashscope_oss import DashScopeOSS
from tests.docs.pages import ROOT, name_of, names_in_code, read
from tests.house import PATHS


def test_the_table_of_models_is_the_commands(capsys):
    """Between the markers stands what `dashscope-oss models --markdown` prints."""
    table = re.search(
        r"<!-- models -->\n(.*?)<!-- /models -->", read("docs/models/index.md"), re.DOTALL
    )
    assert main(["models", "--markdown"]) == 0
    assert table
    assert table[1].strip() == capsys.readouterr().out.strip()


def test_the_readme_counts_the_models():
    assert f"each of {len(all_models())} models" in read("README.md")


SETTINGS = {
    *(ChatDashScopeOSS.model_fields.keys() - BaseChatModel.model_fields.keys()),
    *(DashScopeOSSLLM.model_fields.keys() - BaseChatModel.model_fields.keys()),
    *(DashScopeOSS.model_fields.keys() - FunctionCallingLLM.model_fields.keys()),
}


def test_every_setting_is_described():
    assert SETTINGS - names_in_code("docs/settings.md") == set()


def test_every_region_is_named():
    assert set(REGIONS) - names_in_code("docs/settings.md") == set()


@pytest.mark.parametrize("page", ["docs/settings.md"])
def test_every_environment_variable_is_described(page):
    """All that the code names; a Chinese word may touch the name."""
    variables = {
        name
        for path in PATHS.values()
        for name in re.findall(r"\"(DASHSCOPE_[A-Z_]+)\"", path.read_text("utf-8"))
    }
    assert variables - names_in_code(page) == set()


def test_every_error_and_warning_is_described():
    classes = {
        name
        for name, thing in vars(dashscope_oss.errors).items()
        if inspect.isclass(thing) and issubclass(thing, (DashScopeError, DashScopeWarning))
    }
    page = read("docs/errors.md")
    assert [name for name in sorted(classes) if name not in page] == []


def test_every_target_of_make_that_a_page_names_is_one():
    makefile = (ROOT / "Makefile").read_text("utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]
    named = {
        (name_of(page), target)
        for page in pages
        for target in re.findall(r"(?:`|^)make ([a-z]+)", read(page), re.MULTILINE)
    }
    assert {(page, target) for page, target in named if target not in targets} == set()
