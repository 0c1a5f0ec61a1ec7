"""The tables of `docs/frameworks/conversations.md` are the code's, and say what is really sent."""

import re
from itertools import product

import pytest

from dashscope_oss import Message, find_model
from dashscope_oss.protocol.conversation.steps import OUTCOMES, STEPS
from dashscope_oss.protocol.request import Request
from dashscope_oss.registry.lookup import all_models
from tests.docs.conversations import (
    AS_IT_IS,
    EXAMPLES,
    MEDIA,
    MODEL_KINDS,
    PAGE,
    REFUSED,
    media_outcome,
    outcome,
    request,
    tables,
)
from tests.docs.pages import read
from tests.protocol.conversation.strict_checker import text_of


def test_the_pages_tables_are_the_codes():
    """`python -m tests.docs.conversations` writes them anew."""
    marked = re.findall(r"<!-- (\w+) -->\n(.*?)\n<!-- /\1 -->", read(PAGE), re.DOTALL)
    assert dict(marked) == tables()


def test_every_outcome_has_an_example_and_an_explanation():
    assert {kind for step in STEPS for kind in step.outcomes} - EXAMPLES.keys() == set()
    assert {outcome for step in STEPS for outcome in step.outcomes.values()} == OUTCOMES.keys()


def test_every_model_is_of_one_kind():
    for model_info in all_models():
        assert len([kind for kind in MODEL_KINDS if kind.is_for(model_info)]) == 1
    for kind in MODEL_KINDS:
        assert kind.is_for(find_model(kind.example))


@pytest.mark.parametrize("model_kind", MODEL_KINDS, ids=lambda kind: kind.name)
def test_a_message_is_sent_as_it_is_just_where_the_table_says_so(model_kind, subtests):
    for kind, messages in EXAMPLES.items():
        with subtests.test(kind):
            sent = request(kind, model_kind)
            words = outcome(kind, model_kind)
            assert (sent is None) is (words == REFUSED)
            if sent is not None:
                role = "system" if kind.startswith("system") else None
                assert is_unchanged(sent, messages, role) is (words == AS_IT_IS)


def test_a_file_is_sent_just_to_the_models_whose_record_has_its_kind():
    models = map(find_model, ("glm-5", "qwen3.5-27b", "qwen2.5-omni-7b", "llama3-8b-instruct"))
    for model, kind in product(models, MEDIA):
        assert (media_outcome(kind, model) == AS_IT_IS) is (kind in model.modalities)


def is_unchanged(sent: Request, messages: list[Message], role: str | None) -> bool:
    """Whether the turns of a role, or all, are the conversation's; a prompt has no turns."""
    after = map(as_sent, sent.body["input"].get("messages", ()))
    before = map(as_given, messages)
    return [t for t in after if role in (None, t[0])] == [t for t in before if role in (None, t[0])]


def as_sent(turn: dict) -> tuple:
    functions = [(call["id"], call["function"]) for call in turn.get("tool_calls", ())]
    calls = [(id, function["name"], function["arguments"]) for id, function in functions]
    return turn["role"], text_of(turn), calls, turn.get("tool_call_id")


def as_given(message: Message) -> tuple:
    calls = [(call.id, call.name, call.arguments) for call in message.tool_calls]
    return message.role, message.content, calls, message.tool_call_id
