"""Answers of real models: each is read as it was meant, or asked for again, and none is misread."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest
from pydantic import create_model

from dashscope_oss.protocol.structured_output import read_object

TYPES = {"str": str, "int": int, "float": float, "bool": bool, "list": list, "dict": dict}
ANSWERS = tomllib.loads(Path(__file__).with_name("answers.toml").read_text("utf-8"))["answer"]


def fits(fields):
    """What takes objects that have these fields."""
    form = create_model("Form", **{name: (TYPES[kind], ...) for name, kind in fields.items()})
    return lambda values: values if form.model_validate(values) else None


@pytest.mark.parametrize("answer", ANSWERS, ids=[answer["text"][:40] for answer in ANSWERS])
def test_an_answer_of_a_real_model(answer):
    if answer.get("asks"):
        with pytest.raises(ValueError):  # noqa: PT011 - pydantic's too
            read_object(answer["text"], fits(answer["fields"]))
    else:
        assert read_object(answer["text"], fits(answer["fields"])) == json.loads(answer["meant"])


def test_most_answers_are_real():
    assert sum(answer["source"] != "ours" for answer in ANSWERS) >= 60
