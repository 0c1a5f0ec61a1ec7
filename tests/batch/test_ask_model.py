"""The class for Ray's `map_batches`, called as an actor calls it."""

import subprocess
import sys

import pytest

from dashscope_oss import AuthenticationError, ConfigurationError, DashScopeError
from dashscope_oss.gateway import Answer, Fault

MODEL = "llama3-8b-instruct"


@pytest.fixture
async def ask_model():
    """Make an actor: ``ask_model(engine, prompt_column="text")``."""
    from dashscope_oss.batch.ray import AskModel

    actors = []

    def make(engine, **settings):
        actors.append(AskModel(MODEL, base_url=engine.base_url, **settings))
        return actors[-1]

    yield make
    for actor in actors:
        await actor.aclose()


def table(*prompts):
    import pyarrow as pa

    return pa.table({"id": [*range(len(prompts))], "prompt": [*prompts]})


async def test_a_batch_gets_the_columns_of_the_answers(ask_model, gateway):
    engine = gateway(Answer("four"))
    batch = await ask_model(engine, parameters={"max_tokens": 9}, system="Brief.")(table("2+2?"))

    (row,) = batch.to_pylist()
    assert (row["id"], row["answer"], row["answer_error"]) == (0, "four", None)
    assert engine.requests[0].body["parameters"]["max_tokens"] == 9
    assert engine.requests[0].body["input"]["messages"][0]["content"] == "Brief."


async def test_rows_without_an_answer_say_why(ask_model, gateway):
    engine = gateway(Answer("a"), Fault(status=400, code="Bad", message="no"))

    batch = await ask_model(engine, concurrency=1)(table("one", "two", " "))

    good, refused, empty = batch.to_pylist()
    assert (good["answer"], refused["answer"], empty["answer"]) == ("a", None, None)
    assert refused["answer_error"].startswith("InvalidRequestError: ")
    assert "the prompt or user message is empty" in empty["answer_error"]


async def test_every_batch_has_the_same_columns(ask_model, gateway):
    engine = gateway(Fault(status=400, code="Bad"))
    failed = await ask_model(engine)(table("one"))
    answered = await ask_model(gateway())(table("one"))

    assert failed.schema == answered.schema


async def test_what_would_fail_every_row_ends_the_job(ask_model, gateway):
    engine = gateway(Fault(status=401, code="InvalidApiKey"))

    with pytest.raises(AuthenticationError):
        await ask_model(engine)(table("one", "two"))


async def test_a_batch_of_another_form_is_told(ask_model, gateway):
    with pytest.raises(ConfigurationError, match="pass batch_format='pyarrow' to map_batches"):
        await ask_model(gateway())({"prompt": ["one"]})


async def test_a_batch_that_has_such_a_column_already_is_told(ask_model, gateway):
    engine = gateway()

    with pytest.raises(ConfigurationError, match="rows already have a column answer; give"):
        await ask_model(engine)(table("one").append_column("answer", [["precious"]]))
    assert engine.requests == []


async def test_a_refused_call_is_made_again(ask_model, gateway):
    engine = gateway(Fault(), Answer("yes"))

    batch = await ask_model(engine)(table("one"))

    assert batch["answer"].to_pylist() == ["yes"]


def test_limits_are_divided_over_the_actors():
    from dashscope_oss.batch.calls.pace import part_of_limits

    limits = part_of_limits(600, None, 4)

    assert (limits.requests_per_minute, limits.tokens_per_minute) == (150, None)


def test_an_error_of_ray_itself_says_that_nothing_is_lost():
    import ray.exceptions

    from dashscope_oss.batch.cluster.ray_job import _plain_errors

    with pytest.raises(DashScopeError, match=r"What was answered is kept"), _plain_errors():
        raise ray.exceptions.RayError("the machine is gone")


@pytest.mark.filterwarnings("ignore::DeprecationWarning:ray")
def test_a_machine_that_is_in_no_cluster_is_told(monkeypatch):
    """Ray itself looks for one where no address has a port."""
    import ray

    from dashscope_oss.batch.cluster.ray_job import connected

    def init(*_, **__):
        raise ConnectionError("no running instance")

    monkeypatch.setattr(ray, "init", init)

    with (
        pytest.raises(ConfigurationError, match="no Ray cluster at auto: no running instance"),
        connected("auto"),
    ):
        pass


@pytest.mark.parametrize("module", ["ray", "cluster.ray_job"])
def test_without_ray_the_extra_is_named(module):
    code = f"import sys; sys.modules['ray'] = None; import dashscope_oss.batch.{module}"

    child = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )

    assert child.stderr.splitlines()[-1] == (
        'ImportError: ray is missing: pip install "dashscope-oss[ray]"'
    )
