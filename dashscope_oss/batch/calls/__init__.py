"""Many calls at once: the window that holds them, their common pace, their further tries.

- :mod:`.window`: ``run``, which every batch goes through.
- :mod:`.pace`: ``Pace``: when the next call may go out, for all calls together.
- :mod:`.adaptive_rate`: what a server's refusals say of the rate that it grants.
- :mod:`.tries`: one call with its retries.
"""
