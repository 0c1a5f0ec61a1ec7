"""DashScope's protocol from the server's side: request bodies in, answers out. No I/O.

``parse_request`` makes an :class:`EngineRequest` of a request's body or raises the error that the
service would send; ``response_encoder`` writes what an engine generates; ``model_list`` writes
``GET /api/v1/models``.
"""
