"""One call of a run with its further tries: what an error means for it, and for all others."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from inspect import isawaitable
from typing import Generic, TypeGuard, TypeVar

import httpx2

from dashscope_oss.batch.calls.pace import Pace
from dashscope_oss.errors import (
    APIConnectionError,
    AuthenticationError,
    ConfigurationError,
    DashScopeError,
    ModelNotFoundError,
    PermissionDeniedError,
    QuotaExhaustedError,
    RateLimitError,
)
from dashscope_oss.messages import Reply
from dashscope_oss.protocol.request import Request
from dashscope_oss.tokens import estimates
from dashscope_oss.transport import retry

MAX_REFUSALS = 10
"""How often the server may refuse one and the same call before its row has failed. The waits
between them double up to a minute, so the last comes some three minutes after the first."""
MAX_UNCONNECTED_PAUSES = 6
"""After how many pauses calls are given up if none was ever answered and there is no connection:
the address is wrong, or nothing runs there. The pauses take some thirty seconds."""
_SERVICE_UNAVAILABLE = 503
_NO_SUCH_ADDRESS = (404, 405)

Question = TypeVar("Question")
Answer = TypeVar("Answer")


class MisuseError(ConfigurationError):
    """The program calls the wrong thing, or in a wrong way; no single row is at fault."""


@dataclass
class Tries(Generic[Question, Answer]):
    """Makes calls, each with its further tries.

    Attributes:
        call: makes one try.
        pace: says when it may go out.
        max_retries: further tries after errors of the call's own that waiting may cure.
    """

    call: Callable[[Question], Awaitable[Answer]]
    pace: Pace
    max_retries: int

    async def answer(
        self, question: Question, set_under_way: Callable[[bool], None]
    ) -> Answer | Exception:
        """Return the answer, or the error of the last try.

        Args:
            question: what is passed to ``call``.
            set_under_way: is told when a try begins, and when the call waits for another one.

        Raises:
            MisuseError: if ``call`` is no async function.
        """
        failures = refusals = 0
        num_tokens = input_tokens(question) if self.pace.counts_tokens else 0
        while True:
            period = await self.pace.begin(num_tokens)
            set_under_way(True)
            outcome = await self._outcome(question)
            if not isinstance(outcome, Exception):
                self.pace.has_answers = True
                self.pace.grant(period, used_tokens(outcome, num_tokens) - num_tokens)
                return outcome
            pauses = 0
            if is_refusal(outcome):
                refusals += 1
                pauses = self.pace.refuse(period, outcome, num_tokens)
                self.pace.on_refusal(outcome)
            else:
                failures += 1
                self.pace.grant(period, -num_tokens)
            wait = wait_before_retry(outcome, failures, refusals, self.max_retries)
            if wait is None or (
                pauses > MAX_UNCONNECTED_PAUSES and self._never_got_through(outcome)
            ):
                return outcome
            set_under_way(False)
            await asyncio.sleep(wait)

    def _never_got_through(self, error: Exception) -> bool:
        return not self.pace.has_answers and _is_unconnected(error)

    async def _outcome(self, question: Question) -> Answer | Exception:
        """Make one try; return its answer or its error."""
        try:
            return await _checked(self.call(question))
        except MisuseError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever a chain raises is its row's error
            return error
        except asyncio.CancelledError as error:
            if _is_cancelled():
                raise
            cancelled = DashScopeError("the call was cancelled from inside, not by the run")
            cancelled.__cause__ = error
            return cancelled


def wait_before_retry(
    error: Exception, failures: int, refusals: int, max_retries: int
) -> float | None:
    """Return the seconds that a call waits for another try, ``None`` if its row has failed.

    A refused call waits with all others for the pace, and not by itself.

    Args:
        error: of the last try.
        failures: tries that failed for reasons of the call's own.
        refusals: tries that the server refused because of all calls together.
        max_retries: most further tries after failures.
    """
    wait: float | None = None
    if is_refusal(error):
        wait = 0.0 if refusals < MAX_REFUSALS else None
    elif isinstance(error, DashScopeError):
        wait = retry.delay(failures, error, max_retries=max_retries)
    if wait is None and isinstance(error, DashScopeError):
        retry.given_up(error, failures + refusals, None)
    return wait


def ends_run(error: Exception, *, has_answers: bool) -> bool:
    """Whether an error ends the run, because every other row would fail with it too.

    Args:
        error: of the last try of a row.
        has_answers: whether any row was answered so far. If so, a model that does not exist or
            must not be used concerns some rows only, and a server that cannot be reached now may
            come back.
    """
    if isinstance(error, AuthenticationError | QuotaExhaustedError | ConfigurationError):
        return True
    if has_answers:
        return False
    if isinstance(error, ModelNotFoundError | PermissionDeniedError) or _is_unconnected(error):
        return True
    return isinstance(error, DashScopeError) and error.status_code in _NO_SUCH_ADDRESS


def is_refusal(error: Exception) -> TypeGuard[DashScopeError]:
    """Whether the server takes no calls at all for the moment."""
    if not isinstance(error, DashScopeError) or not error.retryable:
        return False
    if isinstance(error, APIConnectionError):
        return _is_unconnected(error)
    return isinstance(error, RateLimitError) or error.status_code == _SERVICE_UNAVAILABLE


def _is_unconnected(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout):
            return True
        error = error.__cause__
    return False


def _checked(answering: Awaitable[Answer]) -> Awaitable[Answer]:
    if isawaitable(answering):
        return answering
    raise MisuseError(
        f"what is called is no async function: it gave {type(answering).__name__}. Pass "
        "chain.ainvoke, not chain.invoke"
    )


def _is_cancelled() -> bool:
    """Whether somebody cancels the task that runs: what it calls may raise the same by itself."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def input_tokens(question: object) -> int:
    """Return about how many tokens a request has; 0 if it is not a request."""
    if not isinstance(question, Request):
        return 0
    return estimates.estimate(question.text, question.model_info.tokenizer)


def used_tokens(answer: object, at_least: int) -> int:
    """Return the tokens that an answer reports, or ``at_least`` if it reports fewer or none."""
    usage = answer.usage if isinstance(answer, Reply) else None
    return max((usage and usage.total_tokens) or 0, at_least)


def tokens_of(request: Request, reply: Reply) -> int:
    """Return the tokens of a call; an estimate where the service reported none."""
    if reply.usage is not None and reply.usage.total_tokens is not None:
        return reply.usage.total_tokens
    return input_tokens(request) + estimates.estimate(reply.text, request.model_info.tokenizer)
