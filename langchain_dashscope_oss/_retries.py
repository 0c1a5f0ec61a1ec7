"""Telling LangChain's callbacks of retries: ``on_retry`` of the run that is tried again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

from langchain_core.callbacks import (
    AsyncCallbackManagerForLLMRun,
    BaseCallbackHandler,
    BaseCallbackManager,
    CallbackManagerForLLMRun,
    Callbacks,
)
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import ensure_config, merge_configs
from tenacity import RetryAction, RetryCallState, Retrying

from dashscope_oss.errors import DashScopeError
from dashscope_oss.transport.options import OnRetry
from langchain_dashscope_oss._errors import as_twin

if TYPE_CHECKING:
    from langchain_core.messages import BaseMessage

_Manager = TypeVar("_Manager")
_run: ContextVar[RunListener | None] = ContextVar("_run", default=None)
_tasks: set[asyncio.Task[None]] = set()


class RunListener(BaseCallbackHandler):
    """Learns the id of a streamed run, of which ``_stream`` is told nothing."""

    # Else an async run starts it in a context of its own.
    run_inline = True

    def __init__(self, handlers: list[BaseCallbackHandler]) -> None:
        self.facts: dict[str, Any] = {"handlers": handlers, "inheritable_handlers": []}

    @property
    def ignore_llm(self) -> bool:
        """Tokens are no concern of it."""
        return True

    def on_chat_model_start(
        self,
        serialized: dict[str, Any],
        messages: list[list[BaseMessage]],
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        tags: list[str] | None = None,
        metadata: dict[str, Any] | None = None,
        **kwargs: Any,  # noqa: ANN401 - as the base class has it
    ) -> None:
        """Take the run that starts for the one that ``_stream`` will be about."""
        self.facts.update(run_id=run_id, parent_run_id=parent_run_id, tags=tags, metadata=metadata)
        _run.set(self)


def listening(config: RunnableConfig | None, callbacks: Callbacks) -> RunnableConfig:
    """Return ``config`` with a listener, if there is anybody who could be told of a retry."""
    found = ensure_config(config)
    both = [*_handlers(found.get("callbacks")), *_handlers(callbacks)]
    handlers = list({id(handler): handler for handler in both}.values())
    return merge_configs(found, {"callbacks": [RunListener(handlers)]}) if handlers else found


def note(manager: CallbackManagerForLLMRun | AsyncCallbackManagerForLLMRun | None) -> None:
    """Remember the run that may be streamed next in this context; ``None``: of none is known."""
    listener = RunListener(list(manager.handlers)) if manager else None
    if listener and manager:
        listener.facts.update(
            run_id=manager.run_id, parent_run_id=manager.parent_run_id, tags=manager.tags
        )
    _run.set(listener)


def told(manager: CallbackManagerForLLMRun | None) -> OnRetry | None:
    """Return what tells the callbacks of a run of each retry."""
    noted = _noted(CallbackManagerForLLMRun)
    run = manager or noted
    if run is None:
        return None
    return lambda attempt, error, wait: run.on_retry(_state(attempt, error, wait))


def atold(manager: AsyncCallbackManagerForLLMRun | None) -> OnRetry | None:
    """Return what tells the callbacks of an async run; they run while the retry is waited for."""
    noted = _noted(AsyncCallbackManagerForLLMRun)
    run = manager or noted
    if run is None:
        return None

    def tell(attempt: int, error: DashScopeError, wait: float) -> None:
        task = asyncio.get_running_loop().create_task(run.on_retry(_state(attempt, error, wait)))
        _tasks.add(task)
        task.add_done_callback(_tasks.discard)

    return tell


def _noted(kind: Callable[..., _Manager]) -> _Manager | None:
    listener = _run.get()
    _run.set(None)
    return kind(**listener.facts) if listener else None


def _handlers(callbacks: Callbacks) -> list[BaseCallbackHandler]:
    if isinstance(callbacks, BaseCallbackManager):
        return list(callbacks.handlers)
    return list(callbacks or ())


def _state(attempt: int, error: DashScopeError, wait: float) -> RetryCallState:
    state = RetryCallState(Retrying(), None, (), {})
    twin = as_twin(error)
    state.attempt_number = attempt
    state.set_exception((type(twin), twin, error.__traceback__))
    state.next_action = RetryAction(wait)
    state.upcoming_sleep = wait
    return state
