"""HTTP in, HTTP out, over ASGI: requests, responses, callers that leave, clients that are slow.

- :mod:`.asgi`: the types of ASGI.
- :mod:`.request`, :mod:`.response`: one request as it arrives, and the answer to it.
- :mod:`.disconnect`: stops the work for a caller that has left.
- :mod:`.slow_clients`: closes connections of clients that do not send, or do not read.
- :mod:`.coalesce`: joins pieces that are ready at the same time.

The content of bodies is read and written in ``gateway/protocol``.
"""
