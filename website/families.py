"""A page for each family of models, made from the registry's records."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import groupby

from dashscope_oss import Message, ModelInfo, all_models
from dashscope_oss.registry.catalog import SEED_IDS

LOCAL = "http://127.0.0.1:8000/api/v1"
CONVERSATION = (
    Message("system", "Be brief."),
    Message("user", "Where is West Lake?"),
    Message("assistant", "In Hangzhou."),
    Message("user", "And the Great Wall?"),
)
UNKNOWN = "?"
SMALL_WINDOW = 8192
"""Up to this many tokens, an example keeps room for the answer."""

HOSTED = "The hosted service answers; it wants `DASHSCOPE_API_KEY`."
SERVED = "A [gateway](../gateway/index.md) answers, in front of weights that you serve."
TEMPLATE = (
    "A model that takes only a prompt is sent a conversation in this form. You write messages."
)
SERVING = (
    "[Serving your own weights](../gateway/serving.md#the-five-families) names the weights of all "
    "retired models of the vendor's pages, and says how to run them."
)
IN_WORDS = {"none": "in words"}
"""Without help of the service, the schema stands in the prompt."""


def count(number: int | None) -> str:
    """Return a number with commas."""
    return UNKNOWN if number is None else f"{number:,}"


def price(model: ModelInfo) -> str:
    """Return both prices and what is free, as a page of the vendor states them, with its day."""
    known = model.price_in is not None and model.price_out is not None
    stated = f"{model.price_in:g}, {model.price_out:g}" if known else UNKNOWN
    dated = f"{stated} ({model.priced_on})" if known and model.priced_on else stated
    return f"{dated}; free: {model.free_quota}" if model.free_quota else dated


Columns = dict[str, Callable[[ModelInfo], str]]
ABILITIES: Columns = {
    "model": lambda model: f"`{model.id}`",
    "status": lambda model: f"retired {model.retired_on}" if model.retired_on else model.status,
    "takes": lambda model: " or ".join(model.inputs),
    "token usage": lambda model: "reported" if model.reports_usage else "not reported",
    "tools": lambda model: "yes" if model.tools else "no",
    "structured output": lambda model: IN_WORDS.get(model.structured, model.structured),
    "thinking": lambda model: model.thinking,
}
LIMITS: Columns = {
    "model": lambda model: f"`{model.id}`",
    "context window": lambda model: count(model.context_window),
    "longest input": lambda model: count(model.max_input),
    "longest answer": lambda model: count(model.max_output),
    "requests a minute": lambda model: count(model.requests_per_minute),
    "tokens a minute": lambda model: count(model.tokens_per_minute),
    "CNY for 1,000 tokens, in and out": price,
}


def families() -> dict[str, list[ModelInfo]]:
    """Return the models of each family, families in the order of the registry."""
    models = list(all_models())
    order = list(dict.fromkeys(model.family for model in models))
    models.sort(key=lambda model: order.index(model.family))
    return {name: list(group) for name, group in groupby(models, lambda model: model.family)}


def page(family: str, models: Sequence[ModelInfo]) -> str:
    """Return the family's page as Markdown."""
    sections = {
        f"# {title(family, models)}": summary(models),
        "## What they can do": table(ABILITIES, models),
        "## Limits": f"{table(LIMITS, models)}\n\n`{UNKNOWN}`: no source states it.",
        "## Ask one": examples(example_model(models)),
        "## Prompt template": templates(models),
        "## Weights": weights(models),
        "## What was decided": notes(models),
    }
    texts = (f"{heading}\n\n{text}" for heading, text in sections.items() if text)
    return "\n\n".join(texts) + "\n"


def title(family: str, models: Sequence[ModelInfo]) -> str:
    """Return the family's name, and who trained it."""
    return f"{family} ({models[0].maker})"


def summary(models: Sequence[ModelInfo]) -> str:
    """Return how many are hosted, when that was checked, and what the vendor names instead."""
    hosted = sum(model.status == "hosted" for model in models)
    number = "one model" if len(models) == 1 else f"{len(models)} models"
    text = f"The registry has {number} of this family; the hosted service has {hosted or 'none'}"
    checked = max((model.checked for model in models if model.checked), default=None)
    text += f" (as of {checked})." if checked else "."
    successors = sorted({id for model in models for id in model.successors})
    if successors:
        text += f" The vendor names as successors: {', '.join(f'`{id}`' for id in successors)}."
    return text


def table(columns: Columns, models: Sequence[ModelInfo]) -> str:
    """Return a table with a row for each model."""
    rows = [[cell(model) for cell in columns.values()] for model in models]
    lines = [[*columns], ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def example_model(models: Sequence[ModelInfo]) -> ModelInfo:
    """Return one that can be asked: a hosted model if the family has one."""
    return next((model for model in models if model.status == "hosted"), models[0])


def examples(model: ModelInfo) -> str:
    """Return the same question in both frameworks."""
    hosted = model.status == "hosted"
    arguments = [f'model="{model.id}"']
    arguments += [] if hosted else [f'base_url="{LOCAL}"']
    small = model.context_window is not None and model.context_window <= SMALL_WINDOW
    arguments += ["max_tokens=256"] if small else []
    return "\n\n".join(
        (
            HOSTED if hosted else SERVED,
            example("langchain_dashscope_oss", "ChatDashScopeOSS", arguments, "invoke"),
            example("llama_index_dashscope_oss", "DashScopeOSS", arguments, "complete"),
        )
    )


def example(package: str, model_class: str, arguments: Sequence[str], method: str) -> str:
    """Return one call as a block of Python."""
    lines = ",\n    ".join(arguments)
    return f"""```python
from {package} import {model_class}

llm = {model_class}(
    {lines},
)
print(llm.{method}("Where is West Lake?").text)
```"""


def templates(models: Sequence[ModelInfo]) -> str:
    """Return how the family writes a conversation; empty if that is not known."""
    known = {model.template.name: model.template for model in models if model.template}
    parts = [
        f"`{template.name}`, as in {template.source}. Engines stop at {marks(template.stop)}.\n\n"
        f"```text\n{template.render(CONVERSATION)}\n```"
        for template in known.values()
    ]
    return "\n\n".join([TEMPLATE, *parts]) if parts else ""


def marks(stop: Sequence[str]) -> str:
    """Return the texts as code, with line breaks that can be seen."""
    return " ".join(f"`{repr(text)[1:-1]}`" for text in stop) or "no text of their own"


def weights(models: Sequence[ModelInfo]) -> str:
    """Return where the open weights are; empty if no record says it."""
    known = [f"- `{model.id}`: `{model.weights}`" for model in models if model.weights]
    is_described = any(model.id in SEED_IDS for model in models)
    return "\n".join([*known, "", SERVING] if is_described else known).strip()


def notes(models: Sequence[ModelInfo]) -> str:
    """Return what was decided where sources contradict each other, and what none states."""
    lines = dict.fromkeys(note for model in models for note in model.notes)
    decided = [f"- {escaped(line)}" for line in lines]
    return "\n".join([*decided, *guesses(models)])


def guesses(models: Sequence[ModelInfo]) -> list[str]:
    """Return which facts follow from similar models, a line for each set of them."""
    by_fields: dict[tuple[str, ...], list[str]] = {}
    for model in models:
        if model.guessed:
            by_fields.setdefault(model.guessed, []).append(f"`{model.id}`")
    return [
        f"- No source states this of {', '.join(ids)}; it follows from similar models: "
        f"{', '.join(f'`{field}`' for field in fields)}."
        for fields, ids in by_fields.items()
    ]


def escaped(text: str) -> str:
    """Return text that Markdown shows as it is."""
    return re.sub(r"[\\`*_\[\]<>|]", r"\\\g<0>", text)
