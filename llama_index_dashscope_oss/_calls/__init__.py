"""Calls: which arguments they may have, the request, and what limits the account.

``requests.RequestLLM`` is what the model class is built on; ``call_guard`` stands around its calls.
"""
