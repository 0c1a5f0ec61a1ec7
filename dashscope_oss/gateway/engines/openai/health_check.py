"""Checks in the background whether an upstream is healthy."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from http import HTTPStatus

from dashscope_oss.gateway.engines.openai.upstream import HealthCheck, Upstream
from dashscope_oss.gateway.engines.openai.upstream_client import UpstreamClient
from dashscope_oss.gateway.engines.openai.upstream_error import (
    describe,
    error_text,
    one_line,
    wrong_base_url,
)
from dashscope_oss.gateway.engines.openai.upstream_response import listed_model_ids
from dashscope_oss.gateway.engines.openai.upstream_status import UpstreamStatus

_MAX_SHOWN_NAMES = 5
_log = logging.getLogger("dashscope_oss.gateway")


class HealthChecker:
    """Checks an upstream at intervals and keeps the result in its status.

    Each check opens a connection of its own, so it also shows that the server accepts new ones.
    """

    def __init__(
        self, upstream: Upstream, health_check: HealthCheck, status: UpstreamStatus
    ) -> None:
        self._upstream = upstream
        self._health_check = health_check
        self._status = status
        self._client = UpstreamClient(upstream, keep_alive=False)
        self._task: asyncio.Task[None] | None = None
        self._compared_names = False

    async def start(self) -> None:
        """Check once, then go on in the background; a server that is down is no error."""
        await self.check()
        self._task = asyncio.create_task(self._check_regularly())

    async def aclose(self) -> None:
        """Stop checking."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        await self._client.aclose()

    async def _check_regularly(self) -> None:
        while True:
            await asyncio.sleep(self._health_check.interval)
            await self.check()

    async def check(self) -> None:
        """Check once, and keep the result."""
        try:
            # For the whole answer: the client's own limits are for single reads.
            async with asyncio.timeout(self._health_check.timeout):
                error = await self._find_error()
        except TimeoutError:
            error = f"no answer in {self._health_check.timeout:g} s"
        except Exception as failure:  # noqa: BLE001 - no failure may end the later checks
            error = describe(failure)
        self._status.record_check(error)

    async def _find_error(self) -> str:
        """Return what the server's answer says is wrong; "" if nothing."""
        status, body, redirect = await self._client.get(self._health_check.path)
        self._compare_names(body)
        if 200 <= status < 300:
            return ""
        hint = wrong_base_url(self._upstream.url) if status == HTTPStatus.NOT_FOUND else ""
        return f"HTTP {status}: {error_text(body)}{hint}{redirect}"

    def _compare_names(self, body: bytes) -> None:
        """Warn, once, if the server lists its models and a configured name is not among them."""
        listed = listed_model_ids(body)
        # llama.cpp answers by any name.
        if self._compared_names or not listed or self._upstream.kind == "llama.cpp":
            return
        self._compared_names = True
        names = (*self._upstream.names.values(), self._upstream.default)
        configured = {name for name in names if name is not None}
        for name in sorted(configured - listed):
            examples = one_line(", ".join(sorted(listed)[:_MAX_SHOWN_NAMES]))
            _log.warning(
                "%s does not list the model %r, only %s: check the name in the configuration",
                *(self._upstream.name, name, examples),
            )
