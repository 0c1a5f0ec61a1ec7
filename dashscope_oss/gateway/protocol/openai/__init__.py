"""OpenAI's chat completions from the server's side, as DashScope's own second door speaks them.

- :mod:`.parse_request`: makes the same :class:`EngineRequest` of a body that the native protocol
  makes; :mod:`.parse_messages` writes messages as that protocol has them, whose checks then hold.
- :mod:`.completion` writes a whole answer, :mod:`.chunks` a streamed one, :mod:`.errors` errors.
- :mod:`.model_list`: writes ``GET /compatible-mode/v1/models``.

Source: the vendor's page "OpenAI Chat" (help.aliyun.com/zh/model-studio/qwen-api-via-openai-chat-
completions) and answers of the service in public bug reports.
"""
