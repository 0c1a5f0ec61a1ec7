"""What traces and callbacks are told of a run."""

from __future__ import annotations

import pytest
from langchain_core.exceptions import ModelRateLimitError
from langchain_core.runnables import RunnableBinding
from langchain_core.tracers.run_collector import RunCollectorCallbackHandler

from dashscope_oss.gateway import Answer, Fault

from .calling import PATHS, Seen, call, text_of

pytestmark = pytest.mark.versions

OK = Answer(pieces=("o", "k"))


def traced(details):
    """What LangSmith reads of a run's metadata."""
    return {name: v for name, v in details["metadata"].items() if name.startswith("ls_")}


@pytest.mark.parametrize("stop", ["x", ["x"]])
async def test_a_run_names_service_model_kind_sampling_and_versions(either, stop):
    llm, _ = either(OK, temperature=0.5, max_tokens=9, stop=stop)
    seen = Seen()
    llm.invoke("Hi", {"callbacks": [seen]})
    ls = traced(seen.starts[0])
    ls.pop("ls_integration", None)  # LangChain adds it to chat models
    assert ls == {
        "ls_provider": "dashscope_oss",
        "ls_model_type": "chat" if "chat" in llm._llm_type else "llm",
        "ls_model_name": "llama3-8b-instruct",
        "ls_temperature": 0.5,
        "ls_max_tokens": 9,
        "ls_stop": ["x"],
    }
    assert set(seen.starts[0]["metadata"]["lc_versions"]) >= {"langchain-core", "dashscope-oss"}


async def test_the_arguments_of_a_call_win_in_traces(either):
    llm, _ = either(OK, temperature=0.5)
    seen = Seen()
    arguments = {"model_name": "llama3-70b-instruct", "temperature": 0.2, "stop": ["now"]}
    llm.invoke("Hi", {"callbacks": [seen]}, **arguments)
    ls = traced(seen.starts[0])
    assert (ls["ls_model_name"], ls["ls_temperature"]) == ("llama3-70b-instruct", 0.2)
    assert ls["ls_stop"] == ["now"]


async def test_ids_of_tokens_as_stop_are_not_traced_for_traces_know_texts_only(either):
    llm, _ = either(OK, stop=[5, 6], model="deepseek-v4-pro")
    seen = Seen()
    llm.invoke("Hi", {"callbacks": [seen]})
    assert "ls_stop" not in traced(seen.starts[0])


@PATHS
async def test_callbacks_see_start_tokens_and_end(either, path):
    llm, _ = either(OK)
    seen = Seen()
    await call(llm, path, config={"callbacks": [seen], "tags": ["t"]}, temperature=0.5)
    assert seen.starts[0]["metadata"]["ls_temperature"] == 0.5
    assert seen.starts[0]["tags"] == ["t"]
    assert seen.result.generations[0][0].text == "ok"
    if "stream" in path:
        assert "".join(seen.tokens) == "ok"


@PATHS
async def test_a_failed_run_is_no_empty_answer(either, path):
    llm, _ = either(Fault(), max_retries=0)
    seen, runs = Seen(), RunCollectorCallbackHandler()
    with pytest.raises(ModelRateLimitError) as caught:
        await call(llm, path, config={"callbacks": [seen, runs]})
    assert seen.error is caught.value
    assert seen.result is None
    assert "429" in runs.traced_runs[0].error


async def test_the_older_event_streams_begin_stream_and_end(either):
    llm, _ = either(OK)
    events = [event["event"] async for event in llm.astream_events("Hi", version="v2")]
    prefix = events[0].removesuffix("_start")
    assert events == [f"{prefix}_start", *[f"{prefix}_stream"] * (len(events) - 2), f"{prefix}_end"]
    assert len(events) > 3


async def test_bound_arguments_are_sent(either):
    llm, engine = either(OK)
    bound = llm.bind(temperature=0.5)
    assert isinstance(bound, RunnableBinding)
    assert text_of(bound.invoke("Hi")) == "ok"
    assert engine.requests[-1].body["parameters"]["temperature"] == 0.5
