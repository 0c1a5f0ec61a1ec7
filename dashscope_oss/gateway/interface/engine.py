"""What an engine is: the one interface between the gateway and what answers."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Protocol

from dashscope_oss.gateway.interface.engine_request import EngineRequest
from dashscope_oss.messages import Delta
from dashscope_oss.registry.model_info import ModelInfo


class Engine(Protocol):
    """Something that answers requests. A subclass need not inherit from it."""

    async def start(self) -> None:
        """Get ready to answer; the gateway calls it once, before it listens.

        An engine whose start fails has released whatever it had opened.
        """

    async def aclose(self) -> None:
        """Release everything that the engine holds."""

    def find_model(self, model: str) -> ModelInfo | None:
        """Return how ``model`` is served, or ``None`` if this engine does not serve it."""

    def models(self) -> list[ModelInfo]:
        """Return the models that are listed as served."""

    def weights_name(self, model_info: ModelInfo) -> str:
        """Return the name of the weights that really answer for this model."""

    def generate(self, request: EngineRequest) -> AsyncGenerator[Delta, None]:
        """Yield the answer in pieces; the last has ``last=True`` and the finish reason.

        Raises:
            APIError: if the engine cannot answer; it holds the vendor's status, code and text.
            DropConnection: if the caller's connection is to be cut.
        """


class DropConnection(Exception):
    """Tells the gateway to cut the caller's connection without an answer."""
