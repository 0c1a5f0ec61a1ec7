"""The command ``dashscope-oss``: one file a command, each loaded only when it is called.

``command`` holds :func:`main`, where every command starts and ends. A new command is an entry of
``COMMANDS`` there, and a file with ``add_arguments`` and ``run``.
"""

from dashscope_oss.cli.command import main

__all__ = ["main"]
