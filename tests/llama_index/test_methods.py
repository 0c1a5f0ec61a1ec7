"""All eight methods answer, for every kind of model, and tell observers of it."""

import pytest
from llama_index.core.instrumentation.events.exception import ExceptionEvent
from llama_index.core.llms import ChatMessage, MessageRole

from dashscope_oss import DashScopeError
from llama_index_dashscope_oss import DashScopeOSS
from tests.llama_index.examples import (
    ALL_METHODS,
    BROKEN,
    CHAT,
    EXPIRED,
    KEY,
    LOCAL,
    MODELS,
    PROMPT_ONLY,
    STREAMS,
)
from tests.llama_index.mock_service import message, model_over, whole


@ALL_METHODS
def test_all_eight_methods_answer(make, ask):
    """As the model said it; deltas are never None and join to it."""
    for model in MODELS:
        called = ask(make(model), "你好，世界！")
        assert called.text == "You said: 你好，世界！"
        if "stream" in ask.name:
            assert len(called.deltas) > 1
            assert "".join(called.deltas) == called.text
        if "chat" in ask.name:
            assert called.last.message.role is MessageRole.ASSISTANT


@pytest.mark.parametrize("output", [{"text": "hello"}, message("hello", "stop")])
@pytest.mark.parametrize("model", ["llama2-7b-chat-v2", CHAT, PROMPT_ONLY])
def test_both_shapes_of_answers_are_read(model, output):
    """``output.text`` and ``output.choices``, whichever the model's page shows."""
    llm = model_over(whole(output), model)
    assert llm.complete("hi").text == "hello"
    assert llm.chat([ChatMessage("hi")]).message.content == "hello"


async def test_blocking_calls_work_inside_a_running_loop(make):
    """As in a notebook."""
    assert make(PROMPT_ONLY).complete("hi").text == "You said: hi"


@ALL_METHODS
def test_every_call_has_one_start_and_one_end_event(make, ask, events):
    """The start says what is called and how."""
    ask(make(PROMPT_ONLY, temperature=0.7), "hi")
    names = [type(event).__name__ for event in events]
    kind = "LLMChat" if "chat" in ask.name else "LLMCompletion"
    others = [name for name in names if not name.endswith("InProgressEvent")]
    assert others == [f"{kind}StartEvent", f"{kind}EndEvent"]
    payload = {"class_name": "DashScopeOSS", "model": PROMPT_ONLY, "temperature": 0.7}
    assert payload.items() <= events[0].model_dict.items()


def test_a_payload_is_name_model_temperature_and_metadata():
    """Nothing less, and nothing more that could be a secret."""
    llm = DashScopeOSS(model=PROMPT_ONLY, base_url=LOCAL, api_key=KEY, temperature=0.7)
    payload = {"class_name": "DashScopeOSS", "model": PROMPT_ONLY, "temperature": 0.7}
    assert llm.to_payload() == {**payload, **llm.metadata.model_dump()}


@pytest.mark.parametrize("fault", [BROKEN, EXPIRED], ids=["in the middle", "at once"])
@pytest.mark.parametrize("ask", STREAMS, indirect=True)
def test_a_stream_that_fails_tells_observers_the_cause_once(make, ask, events, fault):
    """One ExceptionEvent with the error itself, and no end."""
    with pytest.raises(DashScopeError) as failed:
        ask(make(CHAT, fault), "hi")
    (told,) = [event for event in events if isinstance(event, ExceptionEvent)]
    assert told.exception is failed.value
    assert not [event for event in events if type(event).__name__.endswith("EndEvent")]
