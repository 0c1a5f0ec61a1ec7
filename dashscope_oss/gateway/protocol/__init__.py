"""The two protocols from the server's side: request bodies in, answers out. No I/O.

- ``native``: DashScope's own, below ``/api/v1``.
- ``openai``: that of OpenAI's chat completions as DashScope speaks it, below
  ``/compatible-mode/v1``.
- :mod:`.wire_protocol`: what differs between them, as one value each. HTTP imports only this.
"""
