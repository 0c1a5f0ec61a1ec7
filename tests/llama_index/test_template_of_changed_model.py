"""A model object keeps the prompt template in a field; the template follows the model."""

from __future__ import annotations

from llama_index.core.prompts import PromptTemplate

from llama_index_dashscope_oss import DashScopeOSS

ZIYA, BELLE = "ziya-llama-13b-v1", "belle-llama-13b-2m-v1"
QUESTION = PromptTemplate("question")


def test_the_template_follows_a_model_that_is_set_later(make):
    llm = make(ZIYA)
    llm.predict(QUESTION)
    llm.model = BELLE
    llm.predict(QUESTION)
    assert [request.body["input"]["prompt"] for request in make.requests] == [
        "<human>:question\n<bot>:",
        "Human:question\n\nAssistant:",
    ]


def test_a_copy_for_another_model_has_the_template_of_that_model(make):
    llm = make(ZIYA)
    llm.model = BELLE
    llm.model_copy(update={"model": "llama3-8b-instruct"}).predict(QUESTION)
    assert "Human:" not in str(make.requests[0].body["input"])


def test_a_template_of_the_users_own_stays():
    llm = DashScopeOSS(
        model=ZIYA,
        base_url="http://127.0.0.1:1/api/v1",
        completion_to_prompt=lambda text: f"own {text}",
    )
    llm.model = BELLE
    assert llm.completion_to_prompt("question") == "own question"
