"""The command ``dashscope-oss``: one file a command, each loaded only when it is called.

- :mod:`.command`: :func:`main`, where every command starts and ends.
- :mod:`.models`, :mod:`.ask`, :mod:`.batch`, :mod:`.serve`, :mod:`.fetch`, :mod:`.key`,
  :mod:`.doctor`: the commands of these names.

A new command is an entry of ``COMMANDS`` in ``command``, and a file with ``add_arguments`` and
``run``.
"""

from dashscope_oss.cli.command import main

__all__ = ["main"]
