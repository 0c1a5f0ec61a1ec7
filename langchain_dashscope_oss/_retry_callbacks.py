"""LangChain's ``on_retry``: the callbacks of a run are told of each new try of its call.

The client calls a function of ours before each retry. LangChain's callbacks expect tenacity's
``RetryCallState``, and belong to a run. ``_stream`` is not handed its run, so that is remembered
from the last place where LangChain names it: the start of the run, or ``_should_stream``.
"""

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
from langchain_dashscope_oss.errors.conversion import as_langchain_error

if TYPE_CHECKING:
    from langchain_core.messages import BaseMessage

_Manager = TypeVar("_Manager")
_current_run: ContextVar[RunListener | None] = ContextVar("_current_run", default=None)
_tasks: set[asyncio.Task[None]] = set()


class RunListener(BaseCallbackHandler):
    """Learns which run a stream belongs to when LangChain starts it."""

    # Else LangChain calls it in a context of its own for an async run, and what it sets is lost.
    run_inline = True

    def __init__(self, handlers: list[BaseCallbackHandler]) -> None:
        self.run: dict[str, Any] = {"handlers": handlers, "inheritable_handlers": []}

    @property
    def ignore_llm(self) -> bool:
        """Only the start of a chat model is of interest, not its tokens."""
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
        """Remember this run as the one that ``_stream`` will serve."""
        self.run.update(run_id=run_id, parent_run_id=parent_run_id, tags=tags, metadata=metadata)
        _current_run.set(self)


def with_run_listener(config: RunnableConfig | None, callbacks: Callbacks) -> RunnableConfig:
    """Return ``config`` with a listener, if there is any callback to tell of a retry."""
    whole = ensure_config(config)
    both = [*_handlers(whole.get("callbacks")), *_handlers(callbacks)]
    handlers = list({id(handler): handler for handler in both}.values())
    return merge_configs(whole, {"callbacks": [RunListener(handlers)]}) if handlers else whole


def remember_run(manager: CallbackManagerForLLMRun | AsyncCallbackManagerForLLMRun | None) -> None:
    """Remember the run that may be streamed next in this context, or that there is none."""
    listener = RunListener(list(manager.handlers)) if manager else None
    if listener and manager:
        listener.run.update(
            run_id=manager.run_id, parent_run_id=manager.parent_run_id, tags=manager.tags
        )
    _current_run.set(listener)


def retry_callback(manager: CallbackManagerForLLMRun | None) -> OnRetry | None:
    """Return the client's ``on_retry`` that tells the callbacks of a run; ``None`` without a run.

    Args:
        manager: the run's; ``None`` takes the remembered run.
    """
    remembered = _forget_run(CallbackManagerForLLMRun)
    run = manager or remembered
    if run is None:
        return None
    return lambda attempt, error, wait: run.on_retry(_retry_state(attempt, error, wait))


def async_retry_callback(manager: AsyncCallbackManagerForLLMRun | None) -> OnRetry | None:
    """Return the same for an async run; its callbacks run while the client waits to try again."""
    remembered = _forget_run(AsyncCallbackManagerForLLMRun)
    run = manager or remembered
    if run is None:
        return None

    def on_retry(attempt: int, error: DashScopeError, wait: float) -> None:
        state = _retry_state(attempt, error, wait)
        task = asyncio.get_running_loop().create_task(run.on_retry(state))
        _tasks.add(task)  # the loop itself keeps only weak references
        task.add_done_callback(_tasks.discard)

    return on_retry


def _forget_run(kind: Callable[..., _Manager]) -> _Manager | None:
    """Return the remembered run as a manager of this kind; no later call finds it."""
    listener = _current_run.get()
    _current_run.set(None)
    return kind(**listener.run) if listener else None


def _handlers(callbacks: Callbacks) -> list[BaseCallbackHandler]:
    if isinstance(callbacks, BaseCallbackManager):
        return list(callbacks.handlers)
    return list(callbacks or ())


def _retry_state(attempt: int, error: DashScopeError, wait: float) -> RetryCallState:
    """Return what tenacity would hand to callbacks: LangChain's ``on_retry`` takes nothing else."""
    state = RetryCallState(Retrying(), None, (), {})
    raised = as_langchain_error(error)
    state.attempt_number = attempt
    state.set_exception((type(raised), raised, error.__traceback__))
    state.next_action = RetryAction(wait)
    state.upcoming_sleep = wait
    return state
