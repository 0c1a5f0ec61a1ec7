"""The settings of a ``DashScopeOSS``, what is made of them, and its copies and pickles.

``copying.CopyableLLM`` is the whole of it, built up from ``fields`` and ``derived``;
``aliases`` knows each setting by all its names.
"""
