"""Prompts of models that take no messages: their family's template, or a function of the user's."""

import pytest
from llama_index.core.llms import ChatMessage
from llama_index.core.prompts import ChatPromptTemplate, PromptTemplate

from dashscope_oss import DashScopeWarning
from llama_index_dashscope_oss import DashScopeOSS
from tests.llama_index.examples import LOCAL, PROMPT_ONLY


def test_a_prompt_only_model_gets_its_familys_template(make):
    llm = make(PROMPT_ONLY)
    llm.complete("你好")
    llm.complete("<human>:a\n<bot>:b</s><human>:c\n<bot>:", formatted=True)
    llm.chat([ChatMessage("be kind", role="system"), ChatMessage("你好")])
    assert [request.body["input"] for request in make.requests] == [
        {"prompt": "<human>:你好\n<bot>:"},
        {"prompt": "<human>:a\n<bot>:b</s><human>:c\n<bot>:"},
        {"prompt": "<human>:be kind\n\n你好\n<bot>:"},
    ]


def test_a_message_in_the_models_own_prompt_form_is_not_wrapped_without_a_word(make):
    with pytest.warns(DashScopeWarning, match="once more"):
        make(PROMPT_ONLY).chat([ChatMessage("<human>:hi\n<bot>:")])
    assert make.body["input"]["prompt"].count("<human>") == 1


def test_predict_on_a_prompt_only_model_renders_the_template_once(make):
    llm = make(PROMPT_ONLY, system_prompt="be kind")
    assert llm.predict(PromptTemplate("say {word}"), word="hi") == "You said: be kind\n\nsay hi"
    turns = [ChatMessage("You are {who}.", role="system"), ChatMessage("hi")]
    llm.predict(ChatPromptTemplate(turns), who="Ziya")
    assert [request.body["input"]["prompt"] for request in make.requests] == [
        "<human>:be kind\n\nsay hi\n<bot>:",
        "<human>:be kind\n\nYou are Ziya.\n\nhi\n<bot>:",
    ]


def test_prompt_functions_of_the_users_own_win(make):
    llm = make(
        PROMPT_ONLY,
        completion_to_prompt=lambda prompt: f"[{prompt}]",
        messages_to_prompt=lambda messages: f"({len(messages)})",
    )
    llm.complete("hi")
    llm.complete("hi", formatted=True)
    llm.chat([ChatMessage("hi")])
    llm.predict(PromptTemplate("hi"))
    sent = [request.body["input"]["prompt"] for request in make.requests]
    assert sent == ["[hi]", "hi", "(1)", "[hi]"]


def test_a_completion_function_alone_wins_in_predict_too(make):
    llm = make(PROMPT_ONLY, completion_to_prompt=lambda prompt: f"[{prompt}]")
    llm.predict(PromptTemplate("hi"))
    assert make.body["input"]["prompt"] == "[hi]"


def test_a_familys_template_is_there_for_one_question_too():
    """What reads ``completion_to_prompt`` gets the model's own form."""
    llm = DashScopeOSS(model=PROMPT_ONLY, base_url=LOCAL)
    assert llm.completion_to_prompt("hi") == "<human>:hi\n<bot>:"
