"""DashScope's protocol from the server's side: request bodies in, answers out. No I/O.

- :mod:`.parse_request`: makes an :class:`EngineRequest` of a request's body, or raises the error
  that the service would send; :mod:`.parse_input`, :mod:`.parse_content` and :mod:`.parameters`
  read the parts of the body.
- :mod:`.response_encoder`: writes what an engine generates, with :mod:`.body_writer`;
  :mod:`.echo` is what some models repeat of their prompt.
- :mod:`.model_list`: writes ``GET /api/v1/models``.
"""
