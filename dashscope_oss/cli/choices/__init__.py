"""What a command is to run, chosen by its options.

- :mod:`.engine`: the engine of ``serve``.
- :mod:`.batch`: the job of ``batch``.
"""
