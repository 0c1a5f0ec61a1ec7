"""What the gateway's two sides agree on: requests, errors, and what an engine is.

HTTP stands on one side, the engines on the other; neither knows the other, and both import from
here. Whoever writes an engine of their own needs ``Engine``, ``EngineRequest`` and ``APIError``.
"""
