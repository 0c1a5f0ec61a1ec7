"""The demo: a LangChain chain and a LlamaIndex query engine, each over several models.

It stands above the adapters and needs the extra ``demo``. Without a key it starts a gateway with
the embedded model; with ``DASHSCOPE_API_KEY`` set it asks the hosted service.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from dashscope_oss.cli.table import aligned
from dashscope_oss.demo.plan import Outcome, Plan, heading
from dashscope_oss.registry.lookup import find_model
from dashscope_oss.transport.endpoint import KEY_VARIABLE

LOCAL = Plan(
    base_url="",
    chat_models=("llama3-8b-instruct", "baichuan2-7b-chat-v1", "ziya-llama-13b-v1"),
    text_models=("belle-llama-13b-2m-v1",),
    rag_models=(
        "llama2-13b-chat-v2",
        "llama3-70b-instruct",
        "baichuan2-13b-chat-v1",
        "billa-7b-sft-v1",
    ),
)
HOSTED = Plan(
    base_url=None,
    chat_models=("deepseek-v4-flash",),
    text_models=(),
    rag_models=("deepseek-v4-flash",),
)


def run_demo() -> None:
    """Run the demo and print what happens."""
    try:
        from dashscope_oss.demo import chains, rag  # noqa: PLC0415 - only with the extra
    except ImportError as error:
        raise ImportError(
            f'the demo needs more packages: pip install "dashscope-oss[demo]" ({error})'
        ) from error
    _quiet()
    with _planned() as plan:
        outcomes = [*chains.run(plan), *rag.run(plan)]
    _print_table(outcomes)


@contextmanager
def _planned() -> Iterator[Plan]:
    if os.environ.get(KEY_VARIABLE):
        print(f"{KEY_VARIABLE} is set: the hosted service answers.")
        yield HOSTED
        return
    from dashscope_oss.gateway import EmbeddedEngine, Gateway, serving  # noqa: PLC0415

    print(f"{KEY_VARIABLE} is not set: a gateway on this machine answers, with a small model.")
    print("That model is a stand-in of 135M parameters for weights that need a large machine;")
    print("expect fluent English, not wisdom.", flush=True)
    with serving(Gateway(EmbeddedEngine())) as url:
        print(f"gateway listening on {url}")
        yield Plan(url, LOCAL.chat_models, LOCAL.text_models, LOCAL.rag_models)


def _print_table(outcomes: Sequence[Outcome]) -> None:
    heading("Token usage, as each framework's own callbacks collected it")
    rows = [("model", "framework", "in", "out", "weights that answered")]
    rows += [
        (o.model, o.framework, _count(o.tokens_in), _count(o.tokens_out), o.served_by)
        for o in outcomes
    ]
    print(aligned(rows, right=(2, 3)))
    silent = sorted({o.model for o in outcomes if not find_model(o.model).reports_usage})
    if silent:
        print(f"\n-: the service never reported usage for {', '.join(silent)}; no zero is made up.")


def _count(tokens: int | None) -> str:
    return "-" if tokens is None else str(tokens)


def _quiet() -> None:
    """Keep the frameworks' progress bars and tracing out of the demo's output."""
    os.environ.setdefault("LANGSMITH_TRACING", "false")
    os.environ.setdefault("TQDM_DISABLE", "1")
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
