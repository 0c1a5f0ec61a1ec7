"""What a ``DashScopeOSS`` can be told: its settings, what is made of them, copies and pickles.

``copying.CopyableSettings`` is the whole of it, built up from ``fields`` and ``derived``;
``aliases`` knows each setting by all its names.
"""
