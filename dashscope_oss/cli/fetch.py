"""``dashscope-oss fetch``: the embedded model's file, before it is needed."""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command takes no arguments."""
    parser.description = "Downloads the embedded model's file into the cache and prints its path."


def run(_: argparse.Namespace) -> None:
    """Print where the file is."""
    from dashscope_oss.gateway.engines import weights  # noqa: PLC0415 - needs the extra gateway

    print(weights.fetch())
