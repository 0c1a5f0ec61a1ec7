"""``dashscope-oss key``: a new key for a caller of the gateway."""

from __future__ import annotations

import argparse
import json
import sys


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    parser.description = (
        "Makes a key and prints it this one time, with the table for the gateway's configuration "
        "file, which holds only the key's hash."
    )
    parser.add_argument("name", help="the key's name in logs and metrics")


def run(arguments: argparse.Namespace) -> None:
    """Print a new key and its table; on stderr, what to do with them."""
    from dashscope_oss.gateway.security import api_keys  # noqa: PLC0415 - needs the extra gateway

    name, key = api_keys.check_key_name(arguments.name), api_keys.generate_key()
    print(key)
    print(
        f'\n[keys.{json.dumps(name) if "." in name else name}]\nhash = "{api_keys.hash_key(key)}"'
    )
    print(
        "\nThe key is not shown again: its caller sets it as DASHSCOPE_API_KEY. Add the table to "
        "the file that you pass to dashscope-oss serve --config.",
        file=sys.stderr,
    )
