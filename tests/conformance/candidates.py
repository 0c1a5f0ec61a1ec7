"""The class that the suite checks: the one that ``CONFORMANCE_LLM`` names."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from llama_index.core.llms.function_calling import FunctionCallingLLM

from llama_index_dashscope_oss import DashScopeOSS
from tests.conformance.server import Service

VARIABLE = "CONFORMANCE_LLM"
MODELS = {
    "tools": "deepseek-v4-pro",
    "small": "llama2-7b-chat-v2",
    "prompt": "ziya-llama-13b-v1",
}

Make: TypeAlias = Callable[..., FunctionCallingLLM]


@dataclass(frozen=True)
class Candidate:
    """One class.

    Attributes:
        make: builds it: ``make(service, kind, **settings)``.
        distribution: what to install for it, if its dependencies are to be checked too.
        native: whether it speaks DashScope's protocol; else OpenAI's.
    """

    make: Make
    distribution: str | None = None
    native: bool = True


def candidate(name: str) -> Candidate:
    """Find a class by a known name, or by ``module:function``.

    Raises:
        ValueError: it is neither.
        ImportError: there is no such module.
        AttributeError: there is no such function in it.
    """
    if name in KNOWN:
        return KNOWN[name]
    module, colon, function = name.partition(":")
    if not colon:
        known = ", ".join(KNOWN)
        raise ValueError(f"{VARIABLE} is module:function or one of {known}; it is {name!r}")
    make = getattr(importlib.import_module(module), function)
    return Candidate(make, getattr(make, "distribution", None), getattr(make, "native", True))


def _dashscope_oss(service: Service, kind: str, **settings: Any) -> FunctionCallingLLM:
    return DashScopeOSS(model=MODELS[kind], base_url=service.dashscope, **settings)


# The others are imported when they are used: no environment need have them.
def _dashscope(service: Service, kind: str, **settings: Any) -> FunctionCallingLLM:
    sdk: Any = importlib.import_module("dashscope")
    sdk.base_http_api_url = service.dashscope
    build: Make = importlib.import_module("llama_index.llms.dashscope").DashScope
    return build(model_name=MODELS[kind], **settings)


def _openai_like(service: Service, kind: str, **settings: Any) -> FunctionCallingLLM:
    build: Make = importlib.import_module("llama_index.llms.openai_like").OpenAILike
    abilities = {"is_chat_model": kind != "prompt", "is_function_calling_model": kind == "tools"}
    return build(model=MODELS[kind], api_base=service.openai, **abilities, **settings)


KNOWN = {
    "dashscope-oss": Candidate(_dashscope_oss, "dashscope-oss"),
    "dashscope": Candidate(_dashscope, "llama-index-llms-dashscope"),
    "openai-like": Candidate(_openai_like, "llama-index-llms-openai-like", native=False),
}
