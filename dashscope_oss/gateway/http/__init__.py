"""HTTP in, HTTP out, over ASGI: requests, responses, callers that leave, clients that are slow.

The content of bodies is read and written in ``gateway/protocol``.
"""
