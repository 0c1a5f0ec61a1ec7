"""The LangChain half: prompt | model | parser, streamed."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle
from typing import Any

from langchain_core.callbacks import BaseCallbackHandler, UsageMetadataCallbackHandler
from langchain_core.output_parsers import StrOutputParser
from langchain_core.outputs import LLMResult
from langchain_core.prompts import ChatPromptTemplate, PromptTemplate

from dashscope_oss.demo.plan import MAX_TOKENS, Outcome, Plan, ask, heading, show
from langchain_dashscope_oss import ChatDashScopeOSS, DashScopeOSSLLM

_TOPICS = ("a rainbow", "the tide", "an echo")
_CHAT_QUESTION = "Explain in one or two sentences what {topic} is."
_TEXT_QUESTION = "Describe {topic} to a child in one sentence."
_CHAT = ChatPromptTemplate.from_messages(
    [("system", "You are a patient teacher."), ("human", _CHAT_QUESTION)]
)
_TEXT = PromptTemplate.from_template(_TEXT_QUESTION)


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
            self.tokens = (usage["input_tokens"], usage["output_tokens"])


def run(plan: Plan) -> Iterator[Outcome]:
    """Ask each chat and text model; yield what was counted."""
    heading("LangChain: prompt | model | parser, streamed")
    for model, topic in zip(plan.chat_models, cycle(_TOPICS)):
        yield _chat(plan, model, topic)
    for model in plan.text_models:
        yield _text(plan, model, _TOPICS[0])


def _chat(plan: Plan, model: str, topic: str) -> Outcome:
    usage, weights = UsageMetadataCallbackHandler(), _Weights()
    llm = ChatDashScopeOSS(
        model=model, base_url=plan.base_url, temperature=0.2, seed=1, max_tokens=MAX_TOKENS
    )
    chain = _CHAT | llm | StrOutputParser()
    ask(model, _CHAT_QUESTION.format(topic=topic))
    for piece in chain.stream({"topic": topic}, config={"callbacks": [usage, weights]}):
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


def _text(plan: Plan, model: str, topic: str) -> Outcome:
    weights = _Weights()
    llm = DashScopeOSSLLM(
        model=model, base_url=plan.base_url, temperature=0.2, seed=1, max_tokens=MAX_TOKENS
    )
    chain = _TEXT | llm | StrOutputParser()
    ask(model, _TEXT_QUESTION.format(topic=topic))
    for piece in chain.stream({"topic": topic}, config={"callbacks": [weights]}):
        show(piece)
    print()
    tokens_in, tokens_out = weights.tokens or (None, None)
    return Outcome(model, "LangChain text", tokens_in, tokens_out, weights.served_by)
