"""Servers over TLS and behind a proxy, on real sockets."""

from __future__ import annotations

import socket
import ssl
import threading
from contextlib import suppress

import trustme

from tests.faults.server import WAIT, RawServer

AUTHORITY = trustme.CA()


class SecureServer(RawServer):
    """A raw server over TLS, with a certificate of AUTHORITY for 127.0.0.1."""

    def __init__(self, *answers) -> None:
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        AUTHORITY.issue_cert("127.0.0.1").configure_cert(self._tls)
        super().__init__(*answers)
        self.base_url = self.base_url.replace("http:", "https:")

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError):
            secured = self._tls.wrap_socket(connection, server_side=True)
            self._open.append(secured)
            super()._serve(secured)


class Tunnel(RawServer):
    """A proxy that connects every client with ``server``."""

    def __init__(self, server: RawServer) -> None:
        super().__init__(b"")
        self._address = ("127.0.0.1", int(server.origin.rpartition(":")[2]))

    def _serve(self, connection: socket.socket) -> None:
        with socket.create_connection(self._address) as far, connection, suppress(OSError):
            connection.recv(10_000)
            self.asked.set()
            connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            back = threading.Thread(target=_pass_on, args=(far, connection))
            back.start()
            _pass_on(connection, far)
            back.join(WAIT)


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(10_000):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)
