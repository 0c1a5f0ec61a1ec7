"""Calls: which arguments they may have, the request, the answer, the account's rate limits.

``requests.RequestLLM`` is what the model class is built on; ``call_guard`` and ``rate_limiter``
stand around its calls. Users import ``RateLimits`` from the package itself.
"""
