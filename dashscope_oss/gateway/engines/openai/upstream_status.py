"""What is known of an upstream: its requests, its failures, and whether it is healthy."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from dashscope_oss.errors import shortened
from dashscope_oss.gateway.engines.openai.upstream import Upstream
from dashscope_oss.gateway.engines.openai.upstream_error import (
    base_url_hint,
    is_servers_fault,
    one_line,
)
from dashscope_oss.gateway.interface.api_error import APIError
from dashscope_oss.transport.http.redaction import redacted

# What looks like a key: a server may quote one that is not ours, of a server behind it.
_KEY = re.compile(r"\b(?:sk|hf|gsk)[-_][\w*-]{6,}|\bBearer\s+\S+")
_MAX_SHOWN_CHARACTERS = 500
_log = logging.getLogger("dashscope_oss.gateway")


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamState:
    """What is known of an upstream at one moment.

    Attributes:
        name: its name in the configuration.
        url: its base URL; it holds no key.
        kind: which server it is, if the configuration says so.
        healthy: whether its last health check or call went well; ``None`` before the first.
        last_error: what failed in the last health check or call; "" if nothing.
        under_way: requests that it is answering now.
        calls: requests that were sent to it so far.
        failures: those of them that failed through its fault.
    """

    name: str
    url: str
    kind: str | None = None
    healthy: bool | None = None
    last_error: str = ""
    under_way: int = 0
    calls: int = 0
    failures: int = 0


class UpstreamStatus:
    """Keeps count of an upstream's requests and of its health.

    Attributes:
        healthy: whether it can be used; ``None`` before its first health check or call.
        under_way: requests that it is answering now.
    """

    def __init__(self, upstream: Upstream) -> None:
        self.healthy: bool | None = None
        self.under_way = 0
        self._upstream = upstream
        self._calls = 0
        self._failures = 0
        self._check_error = ""
        self._call_error = ""
        self._logged: set[str] = set()

    def state(self) -> UpstreamState:
        """Return what is known now."""
        return UpstreamState(
            name=self._upstream.name,
            url=self._upstream.url,
            kind=self._upstream.kind,
            healthy=self.healthy,
            last_error=self._check_error or self._call_error,
            under_way=self.under_way,
            calls=self._calls,
            failures=self._failures,
        )

    def record_check(self, error: str) -> None:
        """Keep the result of a health check ("" if it passed); log it if that is a change."""
        error = self._shown(error)
        was_healthy = self.healthy is not False  # what was never checked is taken to be healthy
        self.healthy, self._check_error = not error, error
        if self.healthy is not was_healthy:
            result = f"down: {error}" if error else "up"
            _log.warning("%s at %s is %s", self._upstream.name, self._upstream.url, result)

    def log_once(self, text: str) -> None:
        """Log, the first time only, what is odd about the server or its requests."""
        if text not in self._logged:
            self._logged.add(text)
            _log.warning("%s at %s %s", self._upstream.name, self._upstream.url, text)

    @contextmanager
    def track_call(self, request_id: str) -> Iterator[None]:
        """Count one call; keep and log its error, and take secrets out of it.

        An upstream that could not be reached is down until its next health check.

        Args:
            request_id: the caller's, which the answer and the access log show too.
        """
        self.under_way += 1
        self._calls += 1
        try:
            yield
            self._call_error = ""
        except APIError as error:
            self._record_failure(error, request_id)
            raise
        finally:
            self.under_way -= 1

    def _record_failure(self, error: APIError, request_id: str) -> None:
        upstream = self._upstream
        error.message = self._shown(error.message)
        error.args = (error.message,)
        error.cause = self._shown(one_line(error.cause))
        text = (error.cause or one_line(error.message)) + base_url_hint(upstream.url)
        level = logging.INFO  # the caller's own fault, and the caller is told
        if is_servers_fault(error):
            level = logging.ERROR
            self._failures += 1
            self._call_error = text
        place = (upstream.name, upstream.url)
        _log.log(level, "request %s failed at %s, %s: %s", request_id, *place, text)
        if upstream.health_check is not None and error.status == 503:
            self.healthy = False

    def _shown(self, text: str) -> str:
        """Return a text without secrets, and not too long to be read."""
        keys = [self._upstream.api_key] if self._upstream.api_key else []
        return shortened(_KEY.sub("[key]", redacted(text, keys)), _MAX_SHOWN_CHARACTERS)
