"""The LangChain half: prompt | model | parser, streamed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from langchain_core.callbacks import BaseCallbackHandler, UsageMetadataCallbackHandler
from langchain_core.output_parsers import StrOutputParser
from langchain_core.outputs import LLMResult
from langchain_core.prompts import ChatPromptTemplate, PromptTemplate

from dashscope_oss.demo import MAX_TOKENS, Outcome, Plan, ask, heading, show
from langchain_dashscope_oss import ChatDashScopeOSS, DashScopeOSSLLM

_CITY = "Hangzhou"
_CHAT = ChatPromptTemplate.from_messages(
    [
        ("system", "You are a tour guide. Answer in one or two sentences."),
        ("human", "What is {city} known for?"),
    ]
)
_TEXT = PromptTemplate.from_template("Name three things to see in {city}.")


class _Weights(BaseCallbackHandler):
    """Notes which weights answered, and the usage of text models."""

    def __init__(self) -> None:
        self.served_by = "not said"
        self.tokens: tuple[int, int] | None = None

    def on_llm_end(self, response: LLMResult, **kwargs: Any) -> None:  # noqa: ANN401 - LangChain's
        generation = response.generations[0][0]
        message = getattr(generation, "message", None)
        info = (message.response_metadata if message else generation.generation_info) or {}
        self.served_by = info.get("served_by") or self.served_by
        if usage := info.get("token_usage"):
            self.tokens = (usage["prompt_tokens"], usage["completion_tokens"])


def run(plan: Plan) -> Iterator[Outcome]:
    """Ask each chat and text model; yield what was counted."""
    heading("LangChain: prompt | model | parser, streamed")
    for model in plan.chat_models:
        yield _chat(plan, model)
    for model in plan.text_models:
        yield _text(plan, model)


def _chat(plan: Plan, model: str) -> Outcome:
    usage, weights = UsageMetadataCallbackHandler(), _Weights()
    llm = ChatDashScopeOSS(
        model=model, base_url=plan.base_url, temperature=0.2, seed=1, max_tokens=MAX_TOKENS
    )
    chain = _CHAT | llm | StrOutputParser()
    ask(model, _CHAT.messages[-1].format(city=_CITY).text)
    for piece in chain.stream({"city": _CITY}, config={"callbacks": [usage, weights]}):
        show(piece)
    print()
    counted = usage.usage_metadata.get(model)
    return Outcome(
        model,
        "LangChain chat",
        counted["input_tokens"] if counted else None,
        counted["output_tokens"] if counted else None,
        weights.served_by,
    )


def _text(plan: Plan, model: str) -> Outcome:
    weights = _Weights()
    llm = DashScopeOSSLLM(
        model=model, base_url=plan.base_url, temperature=0.2, seed=1, max_tokens=MAX_TOKENS
    )
    chain = _TEXT | llm | StrOutputParser()
    ask(model, _TEXT.format(city=_CITY))
    for piece in chain.stream({"city": _CITY}, config={"callbacks": [weights]}):
        show(piece)
    print()
    tokens_in, tokens_out = weights.tokens or (None, None)
    return Outcome(model, "LangChain text", tokens_in, tokens_out, weights.served_by)
