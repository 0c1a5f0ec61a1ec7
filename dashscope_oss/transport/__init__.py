"""Calls over the network: the two clients, and everything that decides how a call is made.

- :mod:`.client`, :mod:`.async_client`: the clients; :mod:`.base_client`: what they share.
- :mod:`.attempt`: one try of a call; :mod:`.retry`: when there is another one.
- :mod:`.endpoint`, :mod:`.options`: where calls go, with which key, and how.
- :mod:`.http_errors`: which error a failed HTTP call is.
- :mod:`.retirement`: what is said of models that the service has retired.

All I/O of the client side happens here, over httpx2. ``Client``, ``AsyncClient``, ``ClientOptions``
and ``Endpoint`` are what others use; they stand in :mod:`dashscope_oss` too.
"""
