"""Stops the work for a caller that has left."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from dashscope_oss.gateway.http.request import HttpRequest
from dashscope_oss.gateway.http.response import HttpResponse


async def run_until_disconnect(
    work: Coroutine[Any, Any, None], request: HttpRequest, response: HttpResponse
) -> None:
    """Await ``work``; cancel it if the caller leaves before the answer is complete."""
    worker = asyncio.current_task()
    watcher = asyncio.ensure_future(_cancel_on_disconnect(worker, request, response))
    try:
        await work
    except asyncio.CancelledError:
        # Only the watcher's cancellation ends here; the server's must go on.
        if not request.disconnected or worker is None or worker.uncancel() > 0:
            raise
    finally:
        watcher.cancel()


async def _cancel_on_disconnect(
    worker: asyncio.Task[Any] | None, request: HttpRequest, response: HttpResponse
) -> None:
    await request.wait_for_disconnect()
    # The end of a complete answer looks the same.
    if not response.is_complete and worker is not None:
        request.disconnected = True
        worker.cancel()
