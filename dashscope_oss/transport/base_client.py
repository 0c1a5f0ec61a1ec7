"""What the blocking and the asyncio client share: every step of a call that is not I/O."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

import httpx2

from dashscope_oss.errors import (
    APIConnectionError,
    ConfigurationError,
    DashScopeError,
    DashScopeWarning,
    warn,
)
from dashscope_oss.messages import Delta, Reply, Usage
from dashscope_oss.protocol.assembler import Assembler
from dashscope_oss.protocol.error_mapping import NEITHER_ENDPOINT, is_wrong_endpoint
from dashscope_oss.protocol.request import Request, at_other_endpoint
from dashscope_oss.transport import retry
from dashscope_oss.transport.attempt import Attempt, request_headers
from dashscope_oss.transport.endpoint import Endpoint
from dashscope_oss.transport.http.deadlines import Deadline
from dashscope_oss.transport.http.response_body import ResponseBody
from dashscope_oss.transport.options import ClientOptions, OnRetry
from dashscope_oss.transport.retirement import warn_if_retired

_log = logging.getLogger("dashscope_oss")


class BaseClient(ABC):
    """Settings of a client, and what is decided before and after each try."""

    _unshared: ClassVar[tuple[str, ...]] = ()
    """Attributes that a copy or a pickle does not get: connections and locks."""

    def __init__(self, endpoint: Endpoint, options: ClientOptions | None = None) -> None:
        self.endpoint = endpoint
        self.options = options or ClientOptions()
        self._at_other_endpoint: set[str] = set()
        self._limits = self.options.timeouts
        self._total_seconds = self.options.total_seconds

    @property
    @abstractmethod
    def _own_http(self) -> httpx2.Client | httpx2.AsyncClient | None:
        """The HTTP client that the caller passed, if any."""

    def _deadline(self, *, whole: bool = True) -> Deadline:
        return Deadline(self._total_seconds, whole=whole)

    def _attempt(
        self, request: Request, number: int, deadline: Deadline, *, stream: bool = False
    ) -> Attempt:
        warn_if_retired(request.model_info, self.endpoint)
        if request.model_info.id in self._at_other_endpoint:
            request = at_other_endpoint(request) or request
        own = self._own_http
        return Attempt(
            request,
            number,
            deadline,
            self.endpoint,
            own.timeout if own and self.options.timeout is None else self._limits,
            self._limits.read,
            "connections of the HTTP client" if own else str(self.options.max_connections),
            request_headers(request, self.endpoint, self.options, stream=stream),
        )

    def _answered(self, attempt: Attempt, reply: Reply) -> Reply:
        """Return a whole answer; whoever counts answers has then been told of it."""
        self._tell(attempt, reply.usage, reply.text)
        return reply

    def _piece(self, attempt: Attempt, assembler: Assembler, delta: Delta) -> Delta:
        """Return a piece of an answer; see :meth:`_answered`."""
        attempt.request_id = delta.request_id or attempt.request_id
        if delta.last:
            self._tell(attempt, delta.usage, assembler.so_far())
        return delta

    def _tell(self, attempt: Attempt, usage: Usage | None, text: str) -> None:
        options, request = self.options, attempt.request
        if options.usage_table is not None:
            options.usage_table.add(
                request.model_info,
                usage,
                framework=options.framework,
                is_billed=self.endpoint.is_vendor,
            )
        if options.on_answer is not None:
            options.on_answer(request, usage, text)

    def _request_by(
        self, http: httpx2.Client | httpx2.AsyncClient, attempt: Attempt
    ) -> httpx2.Request:
        """Return the HTTP request of a try as the caller's own client makes it."""
        return http.build_request(
            "POST",
            attempt.parsed_url,
            content=attempt.request.content,
            headers=attempt.http_headers,
            timeout=httpx2.Timeout(**attempt.time_limits()),
        )

    def _body(self, response: httpx2.Response, attempt: Attempt) -> ResponseBody:
        """Return what reads the body of a try's answer."""
        return ResponseBody(
            response,
            attempt.response_headers,
            attempt.deadline,
            is_success=attempt.is_success,
            is_raw=attempt.is_raw,
            is_timed=self._own_http is None,
        )

    def _unusable(self, error: RuntimeError) -> DashScopeError:
        """Return the error for what httpx2 and asyncio say of a closed client or event loop."""
        if self._own_http is None:
            return APIConnectionError(f"the model was closed during the call: {error}")
        return ConfigurationError(
            f"the HTTP client that was passed cannot be used: {error}",
            hint="Pass one that is open; an async one serves one event loop only.",
        )

    def _wait_before_retry(
        self,
        attempt: Attempt,
        error: DashScopeError,
        on_retry: OnRetry | None,
        assembler: Assembler | None = None,
        unseen: list[Delta] | None = None,
    ) -> float:
        """Return the seconds to wait before another try, or raise ``error``.

        It is raised at once if the caller has seen some of the answer; ``unseen`` is forgotten.
        """
        if assembler and assembler.handed_on and unseen is None:
            raise error
        if not unseen and self._moves(attempt, error):
            return 0.0
        wait = retry.delay(attempt.number, error, max_retries=self.options.max_retries)
        if wait is None or wait >= attempt.deadline.left():
            raise retry.given_up(error, attempt.number, wait)
        reason = (type(error).__name__, error.status_code, ascii(error.code or "")[1:-1])
        _log.debug(
            "model %s: again in %.3f s after %s, status %s, code %s", attempt.model, wait, *reason
        )
        for callback in (self.options.on_retry, on_retry):
            if callback is not None:
                callback(attempt.number, error, wait)
        if unseen:
            unseen.clear()
        return wait

    def _moves(self, attempt: Attempt, error: DashScopeError) -> bool:
        """Whether to call again at the other endpoint, which is then kept to for this model."""
        if not is_wrong_endpoint(error):
            return False
        if attempt.model in self._at_other_endpoint:
            self._at_other_endpoint.discard(attempt.model)
            error.hint = NEITHER_ENDPOINT
            return False
        other = at_other_endpoint(attempt.request)
        if other is None:
            return False
        self._at_other_endpoint.add(attempt.model)
        right = other.model_info.endpoint
        warn(
            f"{attempt.model}: the service says that {attempt.request.model_info.endpoint} is the "
            f"wrong endpoint. The model is called at {right} from now on; a model_info with "
            f"endpoint={right!r} saves the first call.",
            DashScopeWarning,
        )
        return True

    def __getstate__(self) -> Mapping[str, object]:
        return {name: v for name, v in self.__dict__.items() if name not in self._unshared}
