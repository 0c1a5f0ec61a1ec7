"""DashScope's own protocol from the server's side.

- :mod:`.parse_request`: makes an :class:`EngineRequest` of a request's body, or raises the error
  that the service would send; :mod:`.parse_input`, :mod:`.parse_content` and :mod:`.parameters`
  read the parts of the body.
- :mod:`.response_encoder`: writes what an engine generates, with :mod:`.body_writer` and
  :mod:`.call_numbers`; :mod:`.echo` is what some models repeat of their prompt.
- :mod:`.model_list`: writes ``GET /api/v1/models``.

The other protocol takes its checks from here: what a model can do does not depend on how it is
asked.
"""
