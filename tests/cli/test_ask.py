"""``dashscope-oss ask``: one question, the answer as it streams, and who gave it."""

import io
import os
import subprocess

from dashscope_oss.gateway import Answer, Fault
from dashscope_oss.messages import Usage
from tests.cli.conftest import PROGRAM


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


def test_a_dash_reads_the_question_from_stdin(command, gateway, monkeypatch):
    engine = gateway(Answer("Hangzhou."))
    monkeypatch.setattr("sys.stdin", io.StringIO("The capital\nof Zhejiang?\n"))

    status, _, _ = command("ask", "llama3-8b-instruct", "-", "--base-url", engine.base_url)

    assert status == 0
    (message,) = engine.requests[0].body["input"]["messages"]
    assert message["content"] == "The capital\nof Zhejiang?"


def test_a_question_in_another_encoding_is_refused(command, monkeypatch):
    """It is not guessed which."""
    latin1 = io.TextIOWrapper(io.BytesIO(b"caf\xe9"), encoding="utf-8")
    monkeypatch.setattr("sys.stdin", latin1)

    status, _, complaint = command("ask", "glm-5", "-", "--base-url", "http://127.0.0.1:9/api/v1")

    assert status == 2
    assert complaint.startswith("dashscope-oss: the question on stdin is not utf-8; convert it")


def test_a_closed_stdin_holds_no_question(command, monkeypatch):
    monkeypatch.setattr("sys.stdin", None)

    status, _, complaint = command("ask", "glm-5", "-", "--base-url", "http://127.0.0.1:9/api/v1")

    assert (status, complaint[:31]) == (2, "dashscope-oss: stdin is closed;")


def test_the_error_of_an_answer_that_breaks_off_stands_in_its_own_line(command, gateway):
    engine = gateway(Fault(500, "InternalError", "x", after=1))

    status, out, complaint = command("ask", "glm-5", "hi", "--base-url", engine.base_url)

    assert (status, out) == (1, "piece 1 \n")
    assert complaint.startswith("dashscope-oss: glm-5: ")


def test_a_character_that_the_encoding_of_stdout_lacks_is_spelled_out(gateway):
    """Where the output of Windows goes into a file, say: the answer is not lost."""
    command = (*PROGRAM, "ask", "glm-5", "hi", "--base-url", gateway(Answer("西湖")).base_url)
    process = subprocess.run(
        command,
        capture_output=True,
        check=True,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )

    assert process.stdout.split() == [b"\\u897f\\u6e56"]
