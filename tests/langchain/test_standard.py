"""LangChain's standard tests, for a model with tools and one without, over a scripted gateway."""

from __future__ import annotations

import pytest
from langchain_tests.integration_tests import ChatModelIntegrationTests
from langchain_tests.unit_tests import ChatModelUnitTests

from dashscope_oss import Usage
from dashscope_oss.gateway import Answer, Gateway, ScriptedEngine, serving
from langchain_dashscope_oss import ChatDashScopeOSS

NOWHERE = "http://127.0.0.1:1/api/v1"
WHY_NOT_LOADED = "langchain_core.load refuses classes of other packages unless they are named"


class Unit(ChatModelUnitTests):
    """What both have in common."""

    @property
    def chat_model_class(self):
        return ChatDashScopeOSS

    @property
    def supports_json_mode(self):
        return False

    @property
    def init_from_env_params(self):
        env = {"DASHSCOPE_API_KEY": "sk-of-the-environment"}
        return env, self.chat_model_params, {"model": self.chat_model_params["model"]}

    @pytest.mark.xfail(reason=WHY_NOT_LOADED, raises=ValueError)
    def test_serdes(self, model, snapshot):
        super().test_serdes(model, snapshot)


class TestLlama3Unit(Unit):
    """Messages, no tools."""

    @property
    def chat_model_params(self):
        return {"model": "llama3-8b-instruct", "base_url": NOWHERE}

    @property
    def has_tool_calling(self):
        return False

    @property
    def has_structured_output(self):
        return False


@pytest.mark.filterwarnings("ignore:.*cannot force a call of any of several tools")
class TestDeepSeekUnit(Unit):
    """Messages and tools."""

    @property
    def chat_model_params(self):
        return {"model": "deepseek-v4-pro", "base_url": NOWHERE}


@pytest.fixture(scope="module")
def address():
    """A gateway for all tests of a class: their model objects are made without fixtures."""
    engine = ScriptedEngine([Answer("Hello, how are you?", usage=Usage(7, 5, 12))])
    with serving(Gateway(engine)) as url:
        yield url


class TestLlama3(ChatModelIntegrationTests):
    """Messages, no tools, against a real socket."""

    @pytest.fixture(autouse=True)
    def _address(self, address):
        self.address = address

    @property
    def chat_model_class(self):
        return ChatDashScopeOSS

    @property
    def chat_model_params(self):
        return {"model": "llama3-8b-instruct", "base_url": self.address}

    @property
    def has_tool_calling(self):
        return False

    @property
    def has_structured_output(self):
        return False

    @property
    def supports_json_mode(self):
        return False

    @property
    def model_override_value(self):
        return "llama3-70b-instruct"
