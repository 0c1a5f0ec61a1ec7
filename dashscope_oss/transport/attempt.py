"""One try of a call: what is sent, how long it may take, which error it ends in. Does no I/O."""

from __future__ import annotations

import logging
import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache

import httpx2

from dashscope_oss._version import __version__
from dashscope_oss.errors import (
    APIConnectionError,
    APITimeoutError,
    ConfigurationError,
    DashScopeError,
)
from dashscope_oss.messages import Reply
from dashscope_oss.protocol.assembler import Assembler, reply_in
from dashscope_oss.protocol.request import Request, headers
from dashscope_oss.protocol.response import INCREMENTAL_HEADER, SERVED_BY_HEADER
from dashscope_oss.transport import retry
from dashscope_oss.transport.endpoint import Endpoint
from dashscope_oss.transport.http.deadlines import Deadline, WaitLimit
from dashscope_oss.transport.http.redaction import redact, secrets_in
from dashscope_oss.transport.http_errors import error_of_exception, error_of_response
from dashscope_oss.transport.options import ClientOptions
from dashscope_oss.transport.retirement import add_advice

END_OF_BODY_SECONDS = 0.2
"""How long the end of a stream's body may take after its last event; then the connection is closed.
Almost always both arrive at once, and the connection serves the next call."""

_log = logging.getLogger("dashscope_oss")
_MAX_ID_LENGTH = 200
_parsed_url = lru_cache(maxsize=32)(httpx2.URL)
USER_AGENT = f"dashscope-oss/{__version__}"


@dataclass(repr=False, eq=False)
class Attempt:
    """One try of a call.

    Attributes:
        limits: how long its steps may take.
        growth_seconds: how long only signs of life may come.
        all_connections: those that it may use, as an error names them.
        is_raw: whether its answer comes with no client in between.
    """

    request: Request
    number: int
    deadline: Deadline
    endpoint: Endpoint
    limits: httpx2.Timeout
    growth_seconds: float | None
    all_connections: str
    http_headers: dict[str, str]
    status: int | None = None
    request_id: str | None = None
    is_raw: bool = False
    response_headers: Mapping[str, str] = field(default_factory=dict)
    started_at: float = field(default_factory=time.monotonic)
    grew_at: float = field(default_factory=time.monotonic)

    @property
    def model(self) -> str:
        """The id of the model asked."""
        return self.request.model_info.id

    @property
    def url(self) -> str:
        """The address that is called."""
        return self.endpoint.url(self.request.path)

    @property
    def parsed_url(self) -> httpx2.URL:
        """The address that is called, parsed once a process."""
        return _parsed_url(self.url)

    @property
    def is_success(self) -> bool:
        """Whether the head of the answer promises one."""
        return self.status is not None and 200 <= self.status < 300

    def time_limits(self) -> dict[str, float]:
        """Return the seconds of this try's steps; none lasts beyond the deadline of the call."""
        limits = self.limits
        return {
            "connect": WaitLimit(self.deadline.cap(limits.connect), self.deadline),
            "read": WaitLimit(limits.read, self.deadline),
            "write": WaitLimit(limits.write, self.deadline),
            "pool": self.deadline.cap(limits.pool),
        }

    def _stated_limits(self) -> dict[str, object]:
        limits = self.limits.as_dict()
        return {"timeout": {step: seconds for step, seconds in limits.items() if seconds}}

    def http_request(self) -> httpx2.Request:
        """Return the HTTP request of this try."""
        return httpx2.Request(
            "POST",
            self.parsed_url,
            content=self.request.content,
            headers=self.http_headers,
            extensions={"timeout": self.time_limits()},
        )

    def note_head(self, response: httpx2.Response, *, is_raw: bool) -> None:
        """Keep what the head of an answer says; the vendor's support asks for status and id."""
        self.is_raw = is_raw
        self.status = response.status_code
        self.response_headers = dict(response.headers.items())
        self.request_id = self.response_headers.get("x-request-id")

    def begin_stream(self, assembler: Assembler) -> None:
        """Tell ``assembler`` what the head of the answer says."""
        assembler.begin(*self._stated())
        self.grew_at = time.monotonic()

    def reply(self, response: httpx2.Response, body: bytes) -> Reply:
        """Return the reply in a whole body.

        Raises:
            DashScopeError: if it holds an error, or nothing that can be read.
        """
        if not self.is_success:
            raise error_of_response(response, body, self.model)
        reply = reply_in(self.request, body, *self._stated())
        self.request_id = reply.request_id or self.request_id
        return reply

    def is_over(self, assembler: Assembler) -> bool:
        """Whether a stop text made the rest of a stream useless; else check the limits."""
        if assembler.finished:
            self.deadline.shorten(END_OF_BODY_SECONDS)  # only the end of the body is to come
        self.deadline.check()
        self._check_growth(assembler)
        return assembler.cut

    def _stated(self) -> tuple[str | None, str | None, str]:
        """What the head of the answer says: who answers, what events hold, the content type."""
        head = self.response_headers
        return (
            head.get(SERVED_BY_HEADER),
            head.get(INCREMENTAL_HEADER),
            head.get("content-type", ""),
        )

    def _check_growth(self, assembler: Assembler) -> None:
        """Raise if only signs of life have come for longer than the next piece may take."""
        now = time.monotonic()
        if assembler.grew:
            self.grew_at = now
        elif self.growth_seconds is not None and now - self.grew_at > self.growth_seconds:
            raise httpx2.ReadTimeout("", request=httpx2.Request("POST", self.url))

    @contextmanager
    def errors(self, assembler: Assembler | None = None) -> Iterator[None]:
        """Turn what fails inside into this package's errors, complete and without secrets."""
        outcome = "stopped"
        try:
            yield
            outcome = ""
        except (httpx2.HTTPError, TimeoutError, ssl.SSLError) as failure:
            if assembler and assembler.finished:
                outcome = ""
                return  # the answer was whole; that its connection then broke harms nobody
            error = self._error_of(failure, assembler.so_far() if assembler else "")
            outcome = type(error).__name__
            raise self._finished(error) from failure
        except DashScopeError as error:
            outcome = type(error).__name__
            self._finished(error)
            raise
        finally:
            self._log(outcome)

    def _error_of(self, failure: httpx2.HTTPError | OSError, text: str) -> DashScopeError:
        if isinstance(failure, ssl.SSLError):  # httpcore2 lets it through in asyncio
            failure = httpx2.ReadError(str(failure))
        if isinstance(failure, httpx2.HTTPError):
            # Not every layer sets the request. This one has no headers: they hold the key.
            failure.request = httpx2.Request("POST", self.url, extensions=self._stated_limits())
            error = self._http_error(failure, text)
        else:
            error = self.deadline.error()
            error.partial_text = text or None
        error.__cause__ = failure
        return error

    def _http_error(self, failure: httpx2.HTTPError, text: str) -> DashScopeError:
        limit = self.limits.read or 0.0
        error = error_of_exception(failure, self.model, limit, text, began=self.status is not None)
        if isinstance(error, APITimeoutError) and not self.deadline.left():
            of_total = self.deadline.error()
            error.message, error.hint = of_total.message, of_total.hint
        elif isinstance(failure, httpx2.PoolTimeout):
            error.retryable = False
            error.hint = f"All {self.all_connections} are busy: raise max_connections or timeout."
        elif _is_untrusted_certificate(failure):
            error.retryable = False
            error.hint = _CERTIFICATE_ADVICE
        return error

    def _finished(self, error: DashScopeError) -> DashScopeError:
        """Add to an error what is known of the call, and take out what it must not show."""
        error.model = error.model or self.model
        error.status_code = error.status_code or self.status
        is_of_service = error.retryable and not isinstance(error, APIConnectionError)
        if error.retry_after is None and is_of_service:
            # An error inside an answer of status 200.
            error.retry_after = retry.retry_after(self.response_headers, time.time())
        self.request_id = error.request_id = error.request_id or self.request_id
        redact(error, secrets_in(self.http_headers))
        add_advice(error, self.request.model_info, self.url)
        return error

    def _log(self, outcome: str) -> None:
        """Log how the try ended; never what was asked or answered."""
        if not _log.isEnabledFor(logging.DEBUG):
            return
        _log.debug(
            "model %s: attempt %d, status %s, request id %s, %.3f s%s",
            self.model,
            self.number,
            self.status,
            self._shown_request_id(),
            time.monotonic() - self.started_at,
            outcome and f", {outcome}",
        )

    def _shown_request_id(self) -> str:
        # It comes from outside and may repeat the key.
        key = self.http_headers.get("Authorization", "").removeprefix("Bearer ")
        text = str(self.request_id)
        return ascii((text.replace(key, "[key]") if key else text)[:_MAX_ID_LENGTH])[1:-1]


def request_headers(
    request: Request, endpoint: Endpoint, options: ClientOptions, *, stream: bool
) -> dict[str, str]:
    """Return the headers of a call, the key among them.

    Raises:
        ConfigurationError: if there is no key that can be sent.
    """
    try:
        key = endpoint.key()
    except ConfigurationError as error:
        error.model = request.model_info.id
        raise
    return headers(
        stream=stream,
        key=key,
        workspace=endpoint.workspace,
        extra=options.default_headers or {},
        agent=USER_AGENT,
        oss_addresses=request.has_oss_addresses,
    )


_CERTIFICATE_ADVICE = (
    "The server's certificate is not trusted. If it is your own, set the environment variable "
    "SSL_CERT_FILE to the certificate file of its authority, or pass a client of your own."
)


def _is_untrusted_certificate(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        error = error.__cause__ or error.__context__
    return False
