"""What a record answers by itself."""

from dataclasses import replace

import pytest

from dashscope_oss import ModelInfo

MODEL = ModelInfo(id="m", family="f", maker="x")


def test_a_record_of_ones_own_is_cautious():
    assert (MODEL.status, MODEL.inputs, MODEL.tools) == ("self-hosted", ("messages",), False)
    assert (MODEL.takes_messages, MODEL.takes_prompt) == (True, False)
    assert MODEL.input_limit is None


def test_the_input_limit_is_the_stated_one_or_the_whole_window():
    assert replace(MODEL, context_window=4096).input_limit == 4096
    assert replace(MODEL, context_window=4096, max_input=2048).input_limit == 2048


# thinking, by default, the call's switch: thinks, can be forced
THINKING = [
    ("none", False, None, False, True),
    ("none", False, True, False, True),
    ("unknown", False, None, False, True),
    ("always", False, None, True, False),
    ("hybrid", True, None, True, True),
    ("hybrid", False, None, False, True),
    ("hybrid", True, False, False, True),
    ("hybrid", False, True, True, False),
]


@pytest.mark.parametrize(("thinking", "by_default", "switch", "thinks", "can_be_forced"), THINKING)
def test_whether_a_call_thinks_and_can_be_forced(
    thinking, by_default, switch, thinks, can_be_forced
):
    """Nothing is forced while a model thinks; one that nobody told to think is told not to."""
    model = replace(MODEL, thinking=thinking, thinks_by_default=by_default)
    assert model.thinks(switch) is thinks
    assert model.can_be_forced(switch) is can_be_forced
