"""Calls over the network: the two clients, and everything that decides how a call is made.

All I/O of the client side happens here, over httpx2. ``Client``, ``AsyncClient``, ``ClientOptions``
and ``Endpoint`` are what others use; they stand in :mod:`dashscope_oss` too.
"""
