"""Answers of real models: each is read as it was meant, or asked for again, and none is misread."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

from pydantic import create_model

from dashscope_oss.protocol.structured_output import read_object

TYPES = {"str": str, "int": int, "float": float, "bool": bool, "list": list, "dict": dict}
ANSWERS = tomllib.loads(Path(__file__).with_name("answers.toml").read_text("utf-8"))["answer"]


def fits(fields):
    """What takes objects that have these fields."""
    form = create_model("Form", **{name: (TYPES[kind], ...) for name, kind in fields.items()})
    return lambda values: values if form.model_validate(values) else None


ASKED_AGAIN = "asked for again"


def test_each_answer_of_a_real_model_is_read_as_it_was_meant_or_asked_for_again():
    misread = {answer["text"]: read(answer) for answer in ANSWERS if read(answer) != meant(answer)}
    assert misread == {}


def meant(answer):
    return ASKED_AGAIN if answer.get("asks") else json.loads(answer["meant"])


def read(answer):
    try:
        return read_object(answer["text"], fits(answer["fields"]))
    except ValueError:  # pydantic's too
        return ASKED_AGAIN


def test_most_answers_are_real():
    assert sum(answer["source"] != "ours" for answer in ANSWERS) >= 60
