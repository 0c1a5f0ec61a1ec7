"""``dashscope-oss ask``: one question to one model."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable

from dashscope_oss.errors import ConfigurationError
from dashscope_oss.messages import Delta, Message, Options, Usage
from dashscope_oss.protocol.request import chat_request
from dashscope_oss.registry.lookup import find_model
from dashscope_oss.transport.client import Client
from dashscope_oss.transport.endpoint import REGIONS, Endpoint


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    parser.add_argument("model", help="a model's id")
    parser.add_argument("question", help="the text to send; - reads it from stdin")
    parser.add_argument("--system", help="a system message")
    parser.add_argument("--base-url", help="ends in /api/v1; default: DASHSCOPE_HTTP_BASE_URL")
    parser.add_argument("--region", choices=REGIONS)
    parser.add_argument("--max-tokens", type=int)


def run(arguments: argparse.Namespace) -> None:
    """Print the answer as it streams; on stderr, the token usage and the weights that answered."""
    endpoint = Endpoint.resolve(base_url=arguments.base_url, region=arguments.region)
    question = _read_stdin() if arguments.question == "-" else arguments.question
    messages = [Message("user", question)]
    if arguments.system:
        messages.insert(0, Message("system", arguments.system))
    options = Options(max_tokens=arguments.max_tokens)
    request = chat_request(find_model(arguments.model), messages, options, stream=True)
    with Client(endpoint) as client:
        last = _print_text(client.stream(request))
    served_by = f"; answered by {last.served_by}" if last.served_by else ""
    print(f"[{_tokens(last.usage)}{served_by}]", file=sys.stderr)


def _read_stdin() -> str:
    if sys.stdin is None:
        raise ConfigurationError("stdin is closed; give the question as an argument")
    try:
        return sys.stdin.read().strip()
    except UnicodeDecodeError as error:
        raise ConfigurationError(
            f"the question on stdin is not {error.encoding}; convert it, or name its encoding in "
            "PYTHONIOENCODING"
        ) from None


def _print_text(deltas: Iterable[Delta]) -> Delta:
    """Print the text as it comes, and return the last piece."""
    first = last = Delta()
    try:
        for last in deltas:
            print(last.text, end="", flush=True)
    except BaseException:
        if last is not first:  # what ends an answer early is told in a line of its own
            print()
        raise
    print()
    return last


def _tokens(usage: Usage | None) -> str:
    if usage is None:
        return "no usage reported"
    return f"{usage.input_tokens} tokens in, {usage.output_tokens} out"
