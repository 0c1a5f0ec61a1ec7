"""From the arguments of a call to its answer: what may be said, the request, the account's limits.

``requests.RequestLLM`` is what the model class is built on; ``call_guard`` and ``rate_limiter``
stand around its calls. Users import ``RateLimits`` from the package itself.
"""
