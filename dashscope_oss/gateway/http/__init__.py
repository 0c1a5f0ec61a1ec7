"""HTTP in, HTTP out, over ASGI: requests, responses, callers that leave, clients that are slow.

What stands in bodies is the matter of ``gateway/protocol``.
"""
