"""Running a gateway: in this process's main thread, or beside it for tests and notebooks."""

from __future__ import annotations

import errno
import importlib.util
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

import uvicorn

from dashscope_oss.errors import ConfigurationError
from dashscope_oss.gateway.app import BASE_PATH, Gateway
from dashscope_oss.gateway.http.slow_clients import SlowClientGuard

_LAST_PORT = 65535
_MAX_HEAD_BYTES = 65_536
# Seconds: longer than load balancers keep a connection (60), or they use it as it is closed.
_KEEP_ALIVE = 75


def serve(
    app: Gateway,
    *,
    host: str,
    port: int,
    on_ready: Callable[[str], None],
    grace: int = 30,
) -> None:
    """Serve ``app`` until the process is told to stop, by SIGTERM or SIGINT.

    From then on nobody new is let in, and what is under way is finished. A second signal ends the
    process at once.

    Args:
        host: address to bind to.
        port: 0 picks a free one.
        on_ready: told the base URL once calls are answered.
        grace: seconds for what is under way; the rest is then told that the model is unavailable.

    Raises:
        ConfigurationError: if the address cannot be had, or the engine did not start.
        KeyboardInterrupt: at the end, if SIGINT asked for it.
    """
    with bind_socket(host, port) as listener:
        config = _config(app, grace=grace)
        server = _Server(config, on_ready=lambda: on_ready(_url(listener)))
        _run(server, listener)
        if server.interrupted:
            raise KeyboardInterrupt
        if not server.started and not server.told_to_stop:
            raise ConfigurationError(f"the gateway did not start: {app.start_error or 'unknown'}")


@contextmanager
def serve_in_thread(app: Gateway, *, host: str = "127.0.0.1", port: int = 0) -> Iterator[str]:
    """Serve ``app`` in a thread; the context's value is its base URL.

    Raises:
        ConfigurationError: if the address cannot be had, or the engine did not start.
    """
    with bind_socket(host, port) as listener:
        # What the server itself would complain of is told by the callers' errors.
        server = uvicorn.Server(_config(app, log_level="critical"))
        thread = threading.Thread(target=_run, args=(server, listener), daemon=True)
        thread.start()
        try:
            _await_start(server, thread, app)
            yield _url(listener)
        finally:
            server.should_exit = True
            thread.join(timeout=10)


@contextmanager
def bind_socket(host: str, port: int) -> Iterator[socket.socket]:
    """Bind a listening socket, or say why it cannot be had."""
    if not 0 <= port <= _LAST_PORT:
        raise ConfigurationError(f"cannot listen on port {port}: ports go from 0 to {_LAST_PORT}")
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.create_server((host, port), family=family, backlog=2048)
    except (OSError, ValueError) as error:  # ValueError: no name can be written so
        raise ConfigurationError(_why_not(host, port, error)) from error
    with listener:
        yield listener


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_ready = on_ready
        self.told_to_stop = False
        self.interrupted = False

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        if self.started:
            self._on_ready()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self.should_exit:  # pragma: no cover - it ends the process, and what measures it
            # Nothing may hold it up now, not even a thread of an engine.
            signal.signal(sig, signal.SIG_DFL)
            signal.raise_signal(sig)
        self.should_exit = self.told_to_stop = True
        self.interrupted = sig == signal.SIGINT


def _run(server: uvicorn.Server, listener: socket.socket) -> None:
    # Newer versions of uvicorn leave by SystemExit if the engine did not start; older ones return.
    with suppress(SystemExit):
        server.run(sockets=[listener])


def _config(app: Gateway, *, grace: int = 5, log_level: str | None = None) -> uvicorn.Config:
    guard = SlowClientGuard(app, app.access.limits.slow_client_seconds)
    config = uvicorn.Config(
        guard,
        loop="uvloop" if importlib.util.find_spec("uvloop") else "asyncio",
        # Not httptools: it loses the body of a request that offers to change the protocol, as
        # each of Java's HTTP client does.
        http="h11",
        h11_max_incomplete_event_size=_MAX_HEAD_BYTES,
        ws="none",
        lifespan="on",
        log_config=None,
        log_level=log_level,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=_KEEP_ALIVE,
        timeout_graceful_shutdown=grace,
    )
    config.load()
    config.http_protocol_class = guard.around(config.http_protocol_class)
    return config


def _await_start(server: uvicorn.Server, thread: threading.Thread, app: Gateway) -> None:
    # No limit: an engine may have to fetch its weights over a slow line first, and says so.
    while not server.started:
        if not thread.is_alive():
            raise ConfigurationError(f"the gateway did not start: {app.start_error or 'unknown'}")
        time.sleep(0.005)


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{port}{BASE_PATH}"


def _why_not(host: str, port: int, error: OSError | ValueError) -> str:
    if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
        return (
            f"port {port} of {host} is in use: stop what uses it, or pass --port 0 for a free one"
        )
    return f"cannot listen on {host}:{port}: {error}"
