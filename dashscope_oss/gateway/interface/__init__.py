"""What the gateway's two sides agree on: requests, errors, and what an engine is.

HTTP stands on one side, the engines on the other; neither knows the other, and both import from
here. Whoever writes an engine of their own needs ``Engine``, ``EngineRequest`` and ``APIError``.

- :mod:`.engine`: what an engine is.
- :mod:`.engine_request`: what it is asked, checked already.
- :mod:`.api_error`: what callers get instead of an answer.
- :mod:`.served_models`: variants of a model's record under which a gateway serves it.
"""
