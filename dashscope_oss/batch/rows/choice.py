"""Which form the rows of a file have: what the caller says, else what the first row looks like."""

from __future__ import annotations

from pathlib import Path

from dashscope_oss.batch.rows.columns import (
    DEFAULT_MESSAGES_COLUMN,
    DEFAULT_PROMPT_COLUMN,
    Columns,
)
from dashscope_oss.batch.rows.form import Form
from dashscope_oss.batch.rows.openai_form import OpenAIForm, is_openai_form
from dashscope_oss.errors import ConfigurationError
from dashscope_oss.messages import Json, Message, Options
from dashscope_oss.protocol.request import chat_request
from dashscope_oss.registry.model_info import ModelInfo


def choose_form(
    first_row: Json,
    model_info: ModelInfo | None,
    options: Options,
    *,
    prompt: str | None = None,
    messages: str | None = None,
    image: str | None = None,
    folder: Path = Path(),
    system: str | None = None,
    answer: str = "answer",
) -> Form:
    """Return the form of rows like ``first_row``.

    Args:
        first_row: the first row that can be read.
        model_info: the model; rows of a batch file may name their own.
        options: parameters of every call.
        prompt: column with the prompt.
        messages: column with the messages.
        image: column with images.
        folder: where the paths of images begin.
        system: a system message before each prompt.
        answer: column for the answer.

    Raises:
        ConfigurationError: if there is no model, or no such column.
        UnsupportedInputError: for parameters that the model does not take.
    """
    if prompt is None and messages is None and is_openai_form(first_row):
        if system or image:
            raise ConfigurationError(
                "--system and --image-column have no use for a batch file, whose rows have both"
            )
        return OpenAIForm(model_info, options)
    if model_info is None:
        raise ConfigurationError("--model is missing: the rows name none")
    if prompt is not None and messages is not None:
        raise ConfigurationError("--prompt-column and --messages-column exclude each other")
    if prompt is None and messages is None:
        messages = DEFAULT_MESSAGES_COLUMN if DEFAULT_MESSAGES_COLUMN in first_row else None
    if messages is None:
        prompt = prompt or DEFAULT_PROMPT_COLUMN
    elif system or image:
        raise ConfigurationError(
            "--system and --image-column have no use beside a column of messages: put both there"
        )
    form = Columns(model_info, options, prompt, messages, image, folder, system, answer)
    _check_columns(form, first_row)
    # Parameters are every row's: a wrong one is told before the first call.
    chat_request(model_info, [Message("user", "?")], options)
    return form


def _check_columns(form: Columns, first_row: Json) -> None:
    needed = (form.messages or form.prompt, form.image)
    if missing := [name for name in needed if name is not None and name not in first_row]:
        names = ", ".join(first_row)
        raise ConfigurationError(
            f"there is no column {', '.join(missing)} in the first row, whose columns are {names}; "
            "name the right one with --prompt-column, --messages-column or --image-column"
            f"{_separator_advice(first_row)}"
        )
    if taken := [name for name in form.answer_columns() if name in first_row]:
        raise ConfigurationError(
            f"the input already has a column {', '.join(taken)}; give the answers another name "
            "with --answer-column"
        )


def _separator_advice(first_row: Json) -> str:
    """Say what to do if the fields of a table do not seem to be separated by commas."""
    (name, *more) = first_row or [""]
    separators = [separator for separator in (";", "\t", "|") if separator in name]
    if more or not separators:
        return ""
    return f". If {separators[0]!r} separates the fields, save the table with commas instead"
