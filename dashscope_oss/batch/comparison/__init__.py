"""Several models on the same prompts, side by side.

- :mod:`.compare`: ``compare``, which asks them all.
- :mod:`.comparison`: ``Comparison``, the answers as a table, a data frame and a picture.
"""
