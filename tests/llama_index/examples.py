"""Models, addresses and faults that many tests use."""

import pytest
from llama_index.core.base.llms import types

from dashscope_oss.gateway import Fault

LOCAL = "http://127.0.0.1:9/api/v1"
"""Where nobody answers, for objects that make no call."""

CHAT = "llama3-8b-instruct"
"""Takes messages in a strict order, and knows no tools."""
PROMPT_ONLY = "ziya-llama-13b-v1"
"""Takes one prompt of 2,048 tokens, and reports no usage."""
WITH_TOOLS = "deepseek-v4-pro"
"""Takes messages in any order, calls tools, and thinks."""
MODELS = (CHAT, "baichuan2-7b-chat-v1", PROMPT_ONLY, "belle-llama-13b-2m-v1", WITH_TOOLS)
"""One of each kind."""

ALL_METHODS = pytest.mark.parametrize(
    "ask",
    [
        *("chat", "stream_chat", "achat", "astream_chat"),
        *("complete", "stream_complete", "acomplete", "astream_complete"),
    ],
    indirect=True,
)
"""For what each of the eight methods does by itself."""
STREAMS = ("stream_chat", "astream_chat", "stream_complete", "astream_complete")
"""The methods that stream."""

EXPIRED = Fault(401, "InvalidApiKey", "Invalid API-key provided.")
BROKEN = Fault(500, "InternalError", "An internal error has occurred.", after=2)
"""An error in a stream, after "piece 1 piece 2 "."""
KEY = "sk-0123456789abcdef-sentinel"
"""A key that must show up nowhere."""

WITH_BLOCKS = pytest.mark.skipif(
    not hasattr(types, "ThinkingBlock"), reason="llama-index-core 0.14.0 has no blocks for these"
)
"""For tests of thoughts and tool calls in blocks of their own."""

TEXTS = {
    "en": "The keeper wrote in his book that the sea was calm and the lamp burned all night. ",
    "zh": "守塔人在本子里写道，海面平静，灯整夜亮着；第二天清晨，渔船依次出港，直到黄昏才回来。",
}
QUESTIONS = {"en": "What did the keeper write?", "zh": "守塔人写了什么？"}

AGENT_WARNINGS = [
    # llama_index_workflows reads every attribute of an agent, pydantic's deprecated ones too;
    # ReActAgent asks what it need not.
    pytest.mark.filterwarnings("ignore:The `__fields:pydantic.warnings.PydanticDeprecatedSince20"),
    pytest.mark.filterwarnings(
        "ignore:Accessing the 'model_:pydantic.warnings.PydanticDeprecatedSince211"
    ),
    pytest.mark.filterwarnings("ignore:is_running called from within a step:DeprecationWarning"),
]
"""LlamaIndex's own warnings, which tests of agents meet."""
