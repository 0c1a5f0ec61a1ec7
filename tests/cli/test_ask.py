"""``dashscope-oss ask``: one question, the answer as it streams, and who gave it."""

from dashscope_oss.gateway import Answer
from dashscope_oss.messages import Usage


def test_the_answer_goes_to_stdout_usage_and_weights_to_stderr(command, gateway):
    engine = gateway(Answer("Hangzhou.", usage=Usage(input_tokens=5, output_tokens=2)))

    status, out, note = command(
        *("ask", "llama3-8b-instruct", "The capital?", "--base-url", engine.base_url),
        *("--system", "Be brief.", "--max-tokens", "9"),
    )

    assert (status, out) == (0, "Hangzhou.\n")
    assert note == "[5 tokens in, 2 out; answered by none (scripted)]\n"
    body = engine.requests[0].body
    assert [m["role"] for m in body["input"]["messages"]] == ["system", "user"]
    assert body["parameters"]["max_tokens"] == 9


def test_no_usage_is_made_up_for_a_model_that_reports_none(command, gateway):
    engine = gateway(Answer("好"))

    _, _, note = command("ask", "ziya-llama-13b-v1", "你好", "--base-url", engine.base_url)

    assert note.startswith("[no usage reported;")
