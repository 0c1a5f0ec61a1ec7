"""``compare``: every model on every prompt, and the answers side by side."""

import re
import sys

import matplotlib as mpl
import pytest

from dashscope_oss import InvalidRequestError, Message, UnsupportedInputError, Usage, find_model
from dashscope_oss.batch import compare
from dashscope_oss.gateway import Answer, Fault

LLAMA, ZIYA = "llama3-8b-instruct", "ziya-llama-13b-v1"


@pytest.fixture
def comparison(gateway):
    """Two models and two prompts; Ziya's second call fails."""
    engine = gateway(
        Answer("A <b>drink</b>.\nHot."),
        Answer("Leaves."),
        Answer("A plant."),
        Fault(400, "InvalidParameter", "No."),
    )
    prompts = ["What is tea?", "And a tree?"]
    return compare([LLAMA, find_model(ZIYA)], prompts, base_url=engine.base_url, concurrency=1)


def test_every_model_is_asked_every_prompt(comparison):
    """Prompt after prompt; a failure stands in its place."""
    assert comparison.models == (LLAMA, ZIYA)
    assert [(answer.prompt, answer.model) for answer in comparison.answers] == [
        ("What is tea?", LLAMA),
        ("What is tea?", ZIYA),
        ("And a tree?", LLAMA),
        ("And a tree?", ZIYA),
    ]
    *answered, failed = comparison.answers
    assert [answer.reply.text for answer in answered] == [
        "A <b>drink</b>.\nHot.",
        "Leaves.",
        "A plant.",
    ]
    assert all(answer.seconds > 0 for answer in answered)
    assert isinstance(failed.error, InvalidRequestError)
    assert failed.seconds is None


def test_options_are_those_of_all_and_of_one(gateway):
    """A conversation is as good as a text."""
    engine = gateway(Answer("a"))
    models = {LLAMA: {}, "deepseek-v4-flash": {"enable_thinking": False}}
    talk = [Message("user", "Hi"), Message("assistant", "Yes?"), Message("user", "Tea?")]

    result = compare(models, [talk], base_url=engine.base_url, concurrency=1, max_tokens=9)

    parameters = [request.body["parameters"] for request in engine.requests]
    assert [each["max_tokens"] for each in parameters] == [9, 9]
    assert ["enable_thinking" in each for each in parameters] == [False, True]
    assert [answer.prompt for answer in result.answers] == ["Tea?", "Tea?"]


def test_what_cannot_be_sent_is_an_error_of_its_own_call(gateway):
    engine = gateway(Answer("a"))
    odd = [Message("user", "Hi"), Message("assistant", "Yes?")]

    result = compare([ZIYA], ["Hello", odd], base_url=engine.base_url)

    assert result.answers[0].text == "a"
    assert isinstance(result.answers[1].error, UnsupportedInputError)


async def test_it_works_where_a_loop_runs_and_shows_how_far_it_is(gateway, capsys):
    """As in a notebook. Where there is no terminal, the counts are a line."""
    engine = gateway(Answer("a"))

    result = compare([LLAMA], ["Hello"], base_url=engine.base_url)

    assert result.answers[0].text == "a"
    assert "1 of 1 rows" in capsys.readouterr().err


def test_no_prompts_and_no_models_are_an_empty_table(gateway):
    url = gateway(Answer("a")).base_url
    assert compare([LLAMA], [], base_url=url).rows == []
    assert compare([], ["Hello"], base_url=url).rows == []


def test_as_text_the_answers_stand_below_their_prompt(comparison):
    first, second = str(comparison).split("\n\n")[:2]
    assert first == f"> What is tea?\n[{LLAMA}] A <b>drink</b>.\nHot.\n[{ZIYA}] Leaves."
    assert second.startswith(f"> And a tree?\n[{LLAMA}] A plant.\n[{ZIYA}] InvalidRequestError: ")


def test_a_notebook_shows_a_column_for_each_model(comparison):
    """Texts are no markup; tokens that nobody reported are no number."""
    html = comparison._repr_html_()
    head, first, second = re.findall("<tr>(.*?)</tr>", html)
    assert re.findall("<th[^>]*>(.*?)</th>", head) == ["", LLAMA, ZIYA]
    assert "A &lt;b&gt;drink&lt;/b&gt;.<br>Hot." in first
    assert "tokens, by none (scripted)" in first
    assert "tokens not reported" in first
    assert "<em>InvalidRequestError: " in second


def test_a_long_answer_is_cut_in_the_table_only(gateway):
    result = compare([LLAMA], ["Hello"], base_url=gateway(Answer("x" * 600)).base_url)
    assert f"{'x' * 500} …" in result._repr_html_()
    assert result.to_pandas()["answer"][0] == "x" * 600


def test_a_data_frame_has_a_row_for_each_answer(comparison):
    frame = comparison.to_pandas()
    assert frame["model"].tolist() == [LLAMA, ZIYA] * 2
    assert frame["answer"].tolist()[1:3] == ["Leaves.", "A plant."]
    assert frame["output_tokens"].isna().tolist() == [False, True, False, True]
    assert frame["finish_reason"][0] == "stop"
    assert isinstance(frame["error"][3], InvalidRequestError)


def test_a_picture_has_a_row_for_each_model_and_a_colour_for_each_prompt(comparison):
    mpl.use("agg")
    axes = comparison.plot()
    assert [len(dots.get_offsets()) for dots in axes.collections] == [2, 1]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [
        "What is tea?",
        "And a tree?",
    ]
    mpl.pyplot.close(axes.figure)


@pytest.mark.parametrize(
    ("package", "module", "method"),
    [("pandas", "pandas", "to_pandas"), ("matplotlib", "matplotlib.pyplot", "plot")],
)
def test_what_is_not_installed_is_named(comparison, monkeypatch, package, module, method):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=rf"{method}\(\) needs {package}: pip install {package}"):
        getattr(comparison, method)()


def test_a_model_that_reports_no_usage_has_none(comparison):
    assert comparison.answers[1].usage == Usage()
    assert comparison.answers[3].usage == Usage()
    assert comparison.answers[3].figures == ""
