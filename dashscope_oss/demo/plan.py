"""What the demo's halves share: the plan, the outcomes and the printing."""

from __future__ import annotations

from dataclasses import dataclass

MAX_TOKENS = 120


@dataclass(frozen=True, slots=True)
class Plan:
    """Which models the demo asks, and where (``None``: the hosted service)."""

    base_url: str | None
    chat_models: tuple[str, ...]
    text_models: tuple[str, ...]
    rag_models: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a framework's own callbacks counted for one model, and who answered."""

    model: str
    framework: str
    tokens_in: int | None
    tokens_out: int | None
    served_by: str


def heading(text: str) -> None:
    """Print a section's title."""
    print(f"\n=== {text} ===", flush=True)


def ask(model: str, question: str) -> None:
    """Print the question that a model is about to answer."""
    print(f"\n[{model}] {question}\n  ", end="", flush=True)


def show(piece: str) -> None:
    """Print a piece of an answer as it arrives."""
    print(piece.replace("\n", "\n  "), end="", flush=True)
