"""The access log: one line of JSON for each request."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from datetime import UTC, datetime

from pydantic_core import to_json

from dashscope_oss.gateway.http.request import HttpRequest
from dashscope_oss.gateway.http.response import HttpResponse

CLIENT_CLOSED_REQUEST = 499
"""The status of a call whose caller left before its end, as web servers log it."""

_MAX_CHARACTERS = 200
_log = logging.getLogger("dashscope_oss.access")


@dataclass(slots=True)
class AccessLogEntry:
    """What is known of one request. It never holds a prompt, an answer or a key.

    Attributes:
        request: the request.
        response: its answer.
        stream: whether the caller wants events.
        key_name: the name of the caller's key; "" if the gateway asks for none.
        model: the requested model, once it is known that it is served.
        upstream: who answers, if the engine has several upstreams.
        estimated_tokens: of prompt and answer; only filled where a limit needs it.
        seconds: how long the request took; 0 until it has ended.
    """

    request: HttpRequest
    response: HttpResponse
    stream: bool = False
    key_name: str = ""
    model: str = ""
    upstream: str = ""
    estimated_tokens: int = 0
    seconds: float = 0.0

    def stop_clock(self) -> None:
        """Set ``seconds``: the request has ended."""
        self.seconds = time.perf_counter() - self.request.began_at

    @property
    def status(self) -> int:
        """The true status: that of an error event, and 499 if the caller left before the end."""
        if self.request.disconnected or self.response.status is None:
            return CLIENT_CLOSED_REQUEST
        return self.response.status

    @property
    def first_piece_seconds(self) -> float | None:
        """Seconds until the engine gave its first piece, if it gave one."""
        first_piece_at = self.response.first_piece_at
        return None if first_piece_at is None else first_piece_at - self.request.began_at

    @property
    def input_tokens(self) -> int | None:
        """Tokens of the prompt as the engine counts them, if it does."""
        usage = self.response.usage
        return None if usage is None else usage.input_tokens

    @property
    def output_tokens(self) -> int | None:
        """Tokens of the answer as the engine counts them, if it does."""
        usage = self.response.usage
        return None if usage is None else usage.output_tokens

    @property
    def used_tokens(self) -> int:
        """Tokens to charge: those that the engine reported, else an estimate."""
        if self.input_tokens is None or self.output_tokens is None:
            return self.estimated_tokens
        return self.input_tokens + self.output_tokens


def write_entry(entry: AccessLogEntry) -> None:
    """Write the entry to the logger ``dashscope_oss.access``, at INFO."""
    if _log.isEnabledFor(logging.INFO):
        _log.info("%s", format_entry(entry))


def format_entry(entry: AccessLogEntry) -> str:
    """Return the entry as one line of JSON; what does not apply is left out."""
    request, response = entry.request, entry.response
    fields = {
        "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "request_id": request.request_id,
        "client": request.client_address or None,
        "forwarded_for": request.headers.get("x-forwarded-for", "")[:_MAX_CHARACTERS] or None,
        "key": entry.key_name or None,
        "method": request.method,
        "path": request.path[:_MAX_CHARACTERS],
        "model": entry.model or None,
        "stream": entry.stream if entry.model else None,
        "status": entry.status,
        "code": response.code or None,
        "seconds": _rounded(entry.seconds),
        "first_token_seconds": _rounded(entry.first_piece_seconds),
        "input_tokens": entry.input_tokens,
        "output_tokens": entry.output_tokens,
        "upstream": entry.upstream or None,
        "served_by": response.served_by,
    }
    applicable = {name: value for name, value in fields.items() if value is not None}
    return to_json(applicable, inf_nan_mode="null").decode()


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 4)
