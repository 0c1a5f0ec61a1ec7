"""The scripted engine, and its scripts as JSON."""

import json
import threading

import pytest

from dashscope_oss import ConfigurationError, Message, ToolCall, find_model
from dashscope_oss.gateway import Answer, APIError, EngineRequest, Fault, ScriptedEngine
from dashscope_oss.gateway.engines.health import is_ready, upstream_states
from dashscope_oss.gateway.engines.script import load_script, to_script_entry
from dashscope_oss.gateway.interface.engine import DropConnection
from dashscope_oss.messages import Usage
from dashscope_oss.protocol.streaming.deltas import join_deltas
from tests.gateway.engines.openai.calls import PROMPT_MODEL, deltas_of, engine_request


async def text_of(engine, request=None):
    return join_deltas(await deltas_of(engine, request)).text


async def test_each_request_gets_the_next_entry_and_the_last_repeats():
    """An entry may also be a function of the request."""
    engine = ScriptedEngine([Answer("one"), lambda request: Answer(request.model_info.id)])

    texts = [await text_of(engine) for _ in range(3)]

    assert texts == ["one", "llama3-8b-instruct", "llama3-8b-instruct"]


@pytest.mark.parametrize(
    ("request_", "question"),
    [
        (engine_request(), "hi"),
        (engine_request(PROMPT_MODEL), "hi"),
        (EngineRequest(model_info=find_model("baichuan-7b-v1"), prompt="Once"), "Once"),
        (
            EngineRequest(
                model_info=find_model("llama3-8b-instruct"),
                messages=(Message("user", "a"), Message("assistant", "b"), Message("user", "c")),
            ),
            "c",
        ),
    ],
    ids=["messages", "a prompt in its family's form", "a bare prompt", "several turns"],
)
async def test_without_a_script_the_last_question_comes_back(request_, question):
    """Read out of the prompt where a family has a form of its own."""
    assert await text_of(ScriptedEngine(), request_) == f"You said: {question}"


async def test_an_answer_comes_in_pieces_of_eight_characters_or_as_it_says():
    """Thinking comes first, tool calls last."""
    call = ToolCall("c1", "add", "{}", 0)
    answer = Answer("0123456789", reasoning="Hm.", tool_calls=(call,))

    deltas = await deltas_of(ScriptedEngine([answer]))
    pieces = await deltas_of(ScriptedEngine([Answer(pieces=("a", "b"), finish_reason="length")]))

    assert [(d.reasoning, d.text, d.tool_calls) for d in deltas[:-1]] == [
        ("Hm.", "", ()),
        ("", "01234567", ()),
        ("", "89", ()),
        ("", "", (call,)),
    ]
    assert (deltas[-1].last, deltas[-1].finish_reason) == (True, "tool_calls")
    assert [delta.text for delta in pieces] == ["a", "b", ""]
    assert pieces[-1].finish_reason == "length"


async def test_usage_is_the_answers_own_or_an_estimate():
    """Every piece carries it."""
    own = await deltas_of(ScriptedEngine([Answer("Hi", usage=Usage(1, 2, 3))]))
    estimated = (await deltas_of(ScriptedEngine([Answer("Hi")])))[-1].usage

    assert {delta.usage for delta in own} == {Usage(1, 2, 3)}
    assert estimated.input_tokens > 0
    assert estimated.output_tokens > 0
    assert estimated.total_tokens == estimated.input_tokens + estimated.output_tokens


async def test_the_last_piece_is_held_back_until_its_event_is_set():
    """After a pause before each piece but the first."""
    hold = threading.Event()
    answer = Answer(pieces=("a", "b"), pause=0.001, hold=hold)
    deltas = ScriptedEngine([answer]).generate(engine_request())

    assert (await anext(deltas)).text == "a"
    hold.set()
    assert [delta.text async for delta in deltas] == ["b", ""]


async def test_a_fault_comes_after_its_pieces():
    """By default at once, and as too many requests."""
    late = ScriptedEngine([Fault(500, "InternalError", "no", after=2)]).generate(engine_request())

    assert [(await anext(late)).text for _ in range(2)] == ["piece 1 ", "piece 2 "]
    with pytest.raises(APIError) as caught:
        await anext(late)
    assert (caught.value.status, caught.value.code) == (500, "InternalError")
    with pytest.raises(APIError) as caught:
        await deltas_of(ScriptedEngine([Fault()]))
    assert (caught.value.status, caught.value.code) == (429, "Throttling.RateQuota")
    with pytest.raises(DropConnection):
        await deltas_of(ScriptedEngine([Fault(cut=True)]))


async def test_a_scripted_engine_is_always_ready_and_serves_every_known_model():
    """It has no upstreams, and nothing to open."""
    engine = ScriptedEngine()
    await engine.start()

    assert (upstream_states(engine), is_ready(engine)) == ([], True)
    assert engine.find_model("unknown") is None
    assert engine.find_model("llama3-8b-instruct") in engine.models()
    assert engine.weights_name(find_model("llama3-8b-instruct")) == "none (scripted)"
    await engine.aclose()


def test_a_script_file_lists_answers_and_faults(tmp_path):
    """What an entry leaves out has the default of its class."""
    file = tmp_path / "script.json"
    file.write_text(json.dumps([{"text": "Hi", "pause": 0.5}, {"status": 503}, {"cut": True}]))

    assert load_script(file) == [Answer("Hi", pause=0.5), Fault(503), Fault(cut=True)]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "Expecting property name"),
        ("{}", "{} is not a list"),
        ("[5]", "5 is not an object"),
        ('[{"txt": "Hi"}]', "txt: Extra inputs are not permitted"),
        ('[{"text": 5}]', "text: Input should be a valid string"),
        ('[{"text": "a", "pause": -1}]', "pause: Input should be greater than or equal to 0"),
        ('[{"text": "a", "pause": 1e999}]', "pause: Input should be a finite number"),
        ('[{"status": "429"}]', "status: Input should be a valid integer"),
        ('[{"status": 200}]', "status: Input should be greater than or equal to 400"),
        ("[" * 100_000, "recursion"),
    ],
)
def test_a_script_file_that_cannot_be_used_says_why(tmp_path, text, reason):
    """With an example of the form that it must have."""
    file = tmp_path / "script.json"
    file.write_text(text)

    with pytest.raises(
        ConfigurationError, match=f"cannot use the script .*{reason}.*JSON list"
    ) as caught:
        load_script(file)

    assert "pydantic" not in str(caught.value)


def test_an_entry_may_be_an_object_or_a_dict_of_the_same_form():
    """So users of the pytest fixture need not import the classes."""
    answer = Answer("Hi")

    assert to_script_entry(answer) is answer
    assert to_script_entry({"text": "Hi"}) == answer
    with pytest.raises(ConfigurationError, match=r"cannot use the entry .*txt"):
        to_script_entry({"txt": "Hi"})
