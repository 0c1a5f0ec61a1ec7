"""Parses the command line, runs the command that it names and reports what went wrong."""

from __future__ import annotations

import argparse
import io
import os
import sys
import warnings
from collections.abc import Sequence
from importlib import import_module

from dashscope_oss._version import __version__
from dashscope_oss.errors import DashScopeError

COMMANDS = {
    "models": "list the known models, show all about one, or compare them with other lists",
    "doctor": "find out why calls fail, and what to change",
    "ask": "ask a model one question; the answer streams",
    "batch": "answer a file of prompts into another file; goes on where it was stopped",
    "serve": "run the gateway",
    "key": "make a key for callers of the gateway",
    "fetch": "download the embedded model's file now (98 MB), not at the first start",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status.

    0: success. 1: the service or the network failed. 2: wrong use, or a package is missing.
    130: interrupted. ``batch``, ``models --compare`` and ``doctor`` have statuses of their own.
    """
    _prepare_stdout()
    arguments = _parse(sys.argv[1:] if argv is None else argv)
    warnings.showwarning = _show_warning  # type: ignore[assignment] # it needs the text only
    try:
        status: int | None = arguments.run(arguments)
        # So that a closed pipe shows here, not when the interpreter ends. A process may have been
        # started without stdout; print() takes that.
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        # Whoever reads the output (`head`, say) has seen enough.
        _discard_output()
        return 0
    except KeyboardInterrupt:
        return 130
    except (DashScopeError, ImportError) as error:
        print(f"dashscope-oss: {error}", file=sys.stderr)
        return 2 if isinstance(error, ValueError | ImportError) else 1
    except OSError as error:  # a full disk, say
        _discard_output()
        what = f"cannot use {error.filename}" if error.filename else "cannot write the output"
        print(f"dashscope-oss: {what}: {error.strerror or error}", file=sys.stderr)
        return 1
    return status or 0


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="dashscope-oss", description="DashScope's open-weight language models."
    )
    parser.add_argument("--version", action="version", version=__version__)
    subparsers = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for name, help in COMMANDS.items():
        subparser = subparsers.add_parser(name, help=help)
        if name in argv[:1]:
            module = import_module(f"dashscope_oss.cli.{name}")
            module.add_arguments(subparser)
            subparser.set_defaults(run=module.run)
    return parser.parse_args(argv or ["--help"])


def _prepare_stdout() -> None:
    """Let stdout spell out what its encoding lacks, as stderr does: no text is lost."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def _discard_output() -> None:
    if sys.stdout is not None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _show_warning(message: Warning | str, *_: object) -> None:
    print(f"dashscope-oss: warning: {message}", file=sys.stderr)
