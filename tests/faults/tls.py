"""The fault server behind TLS, and a proxy that leads to it."""

from __future__ import annotations

import socket
import ssl
import threading
from contextlib import suppress

import trustme

from .server import WAIT, RawServer


class SecureServer(RawServer):
    """The fault server behind TLS."""

    def __init__(self, certificate: trustme.LeafCert, *answers) -> None:
        super().__init__(*answers)
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate.configure_cert(self._tls)
        self.port = self._listener.getsockname()[1]
        self.base_url = f"https://127.0.0.1:{self.port}/api/v1"

    def _serve(self, connection: socket.socket) -> None:
        try:
            secured = self._tls.wrap_socket(connection, server_side=True)
        except OSError:
            connection.close()
            return
        super()._serve(secured)


class TunnelProxy(RawServer):
    """A proxy that connects to one port of this machine, wherever it is asked to connect.

    ``lines`` holds the first line of each request.
    """

    def __init__(self, port: int) -> None:
        super().__init__(b"")
        self._port = port
        self.lines: list[str] = []

    def _serve(self, connection: socket.socket) -> None:
        with connection, socket.create_connection(("127.0.0.1", self._port)) as target:
            self._open.append(target)
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                head += connection.recv(1)
            self.lines.append(head.decode().split("\r\n")[0])
            connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            answers = threading.Thread(target=_copy, args=(target, connection))
            answers.start()
            _copy(connection, target)
            answers.join(WAIT)


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)
