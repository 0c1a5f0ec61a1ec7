"""Runs a gateway: in this process's main thread, or in a thread for tests and notebooks."""

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

_MAX_PORT = 65535
_MAX_HEAD_BYTES = 65_536
_BACKLOG = 2048
# Load balancers keep a connection for 60 seconds. Closing it earlier would hit calls that a
# balancer is just sending.
_KEEP_ALIVE_SECONDS = 75
_START_POLL_SECONDS = 0.005
_STOP_SECONDS = 10


def serve(
    app: Gateway,
    *,
    host: str,
    port: int,
    on_ready: Callable[[str], None],
    grace: int = 30,
) -> None:
    """Serve ``app`` until the process gets SIGTERM or SIGINT.

    From then on no new connection is accepted, and calls under way are finished. A second signal
    ends the process at once.

    Args:
        app: what to serve.
        host: the address to listen on.
        port: 0 picks a free one.
        on_ready: is called with the base URL once calls are answered.
        grace: seconds for calls under way; later ones then get "model unavailable".

    Raises:
        ConfigurationError: if the address cannot be used, or the engine did not start.
        KeyboardInterrupt: at the end, after SIGINT.
    """
    with bind_socket(host, port) as listener:
        config = _config(app, grace=grace)
        server = _SignalledServer(config, on_ready=lambda: on_ready(_base_url(listener)))
        _run(server, listener)
        if server.was_interrupted:
            raise KeyboardInterrupt
        if not server.started and not server.was_stopped:
            raise _start_error(app)


@contextmanager
def serve_in_thread(app: Gateway, *, host: str = "127.0.0.1", port: int = 0) -> Iterator[str]:
    """Serve ``app`` in a thread while the context lasts; its value is the base URL.

    Args:
        app: what to serve.
        host: the address to listen on.
        port: 0 picks a free one.

    Raises:
        ConfigurationError: if the address cannot be used, or the engine did not start.
    """
    with bind_socket(host, port) as listener:
        # Callers get the errors that the server would log.
        server = uvicorn.Server(_config(app, log_level="critical"))
        thread = threading.Thread(target=_run, args=(server, listener), daemon=True)
        thread.start()
        try:
            _wait_for_start(server, thread, app)
            yield _base_url(listener)
        finally:
            server.should_exit = True
            thread.join(timeout=_STOP_SECONDS)


@contextmanager
def bind_socket(host: str, port: int) -> Iterator[socket.socket]:
    """Give a listening socket, which is closed at the end.

    Raises:
        ConfigurationError: if the address cannot be used; the text says why.
    """
    if not 0 <= port <= _MAX_PORT:
        raise ConfigurationError(f"cannot listen on port {port}: ports go from 0 to {_MAX_PORT}")
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except (OSError, ValueError) as error:  # ValueError: no host name can be written like this
        raise ConfigurationError(_describe_bind_error(host, port, error)) from error
    with listener:
        yield listener


class _SignalledServer(uvicorn.Server):
    """A server that says when it is ready, and by which signal it was stopped."""

    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_ready = on_ready
        self.was_stopped = False
        self.was_interrupted = False

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        if self.started:
            self._on_ready()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self.should_exit:  # pragma: no cover - it ends the process, and what measures it
            # Nothing may delay the end now, not even a thread of an engine.
            signal.signal(sig, signal.SIG_DFL)
            signal.raise_signal(sig)
        self.should_exit = self.was_stopped = True
        self.was_interrupted = sig == signal.SIGINT


def _run(server: uvicorn.Server, listener: socket.socket) -> None:
    # If the engine did not start, newer versions of uvicorn raise SystemExit; older ones return.
    with suppress(SystemExit):
        server.run(sockets=[listener])


def _config(app: Gateway, *, grace: int = 5, log_level: str | None = None) -> uvicorn.Config:
    guard = SlowClientGuard(app, app.usage_limits.limits.slow_client_seconds)
    config = uvicorn.Config(
        guard,
        loop="uvloop" if importlib.util.find_spec("uvloop") else "asyncio",
        # Not httptools: of a request that offers to change the protocol, as every call of Java's
        # HTTP client does, it loses the body (uvicorn's issue 2722).
        http="h11",
        h11_max_incomplete_event_size=_MAX_HEAD_BYTES,
        ws="none",
        lifespan="on",
        log_config=None,
        log_level=log_level,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=grace,
    )
    config.load()
    config.http_protocol_class = guard.around(config.http_protocol_class)
    return config


def _wait_for_start(server: uvicorn.Server, thread: threading.Thread, app: Gateway) -> None:
    # Without a time limit: an engine may first fetch its weights, and shows its progress.
    while not server.started:
        if not thread.is_alive():
            raise _start_error(app)
        time.sleep(_START_POLL_SECONDS)


def _start_error(app: Gateway) -> ConfigurationError:
    return ConfigurationError(f"the gateway did not start: {app.start_error or 'unknown reason'}")


def _base_url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    url_host = f"[{host}]" if ":" in host else host
    return f"http://{url_host}:{port}{BASE_PATH}"


def _describe_bind_error(host: str, port: int, error: OSError | ValueError) -> str:
    if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
        return (
            f"port {port} of {host} is in use: stop what uses it, or pass --port 0 for a free one"
        )
    if isinstance(error, OSError) and error.errno == errno.EACCES:
        return f"cannot listen on port {port}: this user may not; take one from 1024 upwards"
    return (
        f"cannot listen on {host}:{port}: {error}; name an address of this machine, or 0.0.0.0 "
        "for all of them"
    )
