"""The command: what it prints, and what it says of wrong use."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager

import pytest

from dashscope_oss.cli import main
from dashscope_oss.gateway import Answer
from dashscope_oss.messages import Usage
from dashscope_oss.registry.catalog import SEED_IDS
from dashscope_oss.registry.lookup import all_models

COMMAND = (sys.executable, "-m", "dashscope_oss")


def run(capsys, *arguments):
    """Run the command; return its status and what it printed and complained of."""
    status = main(arguments)
    return (status, *capsys.readouterr())


def test_models_lists_every_model_as_a_table(capsys):
    """One line a model, columns lined up."""
    status, out, _ = run(capsys, "models")

    lines = out.splitlines()
    assert status == 0
    assert len(lines) == 1 + len(all_models())
    assert lines[0].split()[:3] == ["MODEL", "STATUS", "INPUT"]
    assert {line.index("retired 2025-07-02") for line in lines[1:11]} == {lines[0].index("STATUS")}


def test_models_as_json_and_by_status(capsys):
    """The same for programs; only some of them."""
    _, out, _ = run(capsys, "models", "--json", "--status", "hosted")

    found = json.loads(out)
    assert {row["status"] for row in found} == {"hosted"}
    assert "deepseek-v4-pro" in {row["id"] for row in found}


@pytest.mark.parametrize("id", SEED_IDS)
def test_one_model_with_its_decisions(capsys, id):
    """Everything about one model, readable and as JSON, contradictions of its page decided."""
    _, shown, _ = run(capsys, "models", id)
    _, as_json, _ = run(capsys, "models", id, "--json")

    found = json.loads(as_json)
    assert found["id"] == id
    assert found["retired_on"] == "2025-07-02"
    assert found["notes"]
    assert all(note in shown for note in found["notes"])


def test_an_unknown_model_gets_a_hint(capsys):
    """A near miss is named; the status says wrong use."""
    status, _, complaint = run(capsys, "models", "ziya")

    assert status == 2
    assert "Did you mean ziya-llama-13b-v1?" in complaint
    assert "Did you mean ziya-llama-13b-v1 or" in run(capsys, "models", "ziya-llama13b-v1")[2]


def test_ask_streams_the_answer_and_says_who_gave_it(capsys, gateway):
    """The answer on stdout, usage and weights on stderr."""
    engine = gateway(Answer("Hangzhou.", usage=Usage(input_tokens=5, output_tokens=2)))

    status, out, note = run(
        capsys,
        *("ask", "llama3-8b-instruct", "The capital?", "--base-url", engine.base_url),
        *("--system", "Be brief.", "--max-tokens", "9"),
    )

    assert (status, out) == (0, "Hangzhou.\n")
    assert note == "[5 tokens in, 2 out; answered by none (scripted)]\n"
    body = engine.requests[0].body
    assert [m["role"] for m in body["input"]["messages"]] == ["system", "user"]
    assert body["parameters"]["max_tokens"] == 9


def test_ask_makes_no_usage_up(capsys, gateway):
    """A model without metering has no counts."""
    engine = gateway(Answer("好"))

    _, _, note = run(capsys, "ask", "ziya-llama-13b-v1", "你好", "--base-url", engine.base_url)

    assert note.startswith("[no usage reported;")


@pytest.mark.parametrize(
    ("arguments", "status", "text"),
    [
        (("ask", "llama3-8b-instruct", "hi"), 2, "DASHSCOPE_API_KEY"),
        (("ask", "llama3-8b-instruct", " ", "--base-url", "http://127.0.0.1:9/api/v1"), 2, "empty"),
        (("ask", "llama3-8b-instruct", "hi", "--base-url", "nowhere"), 2, "bad base_url 'nowhere'"),
        (("ask", "llama3-8b-instruct", "hi", "--base-url", "http://127.0.0.1:9"), 2, "/api/v1"),
        (
            ("ask", "llama3-8b-instruct", "hi", "--base-url", "http://127.0.0.1:9/api/v1"),
            1,
            "127.0.0.1:9: [Errno 111] Connection refused. Check base_url, the network, and whether",
        ),
        (("serve", "--upstream", "http://127.0.0.1:9/v1"), 2, "--upstream is for --engine openai"),
        (("serve", "--script", "x.json"), 2, "--script is for --engine scripted"),
        (("serve", "--threads", "0"), 2, "--threads must be at least 1"),
        (("serve", "--grace", "-1"), 2, "--grace must be at least 0"),
        (("serve", "--config", "missing.toml"), 2, "cannot read the settings missing.toml"),
        (("key", "two words"), 2, "bad name of a key 'two words'"),
        (("serve", "--engine", "openai"), 2, "--upstream"),
        (("serve", "--engine", "openai", "--upstream", "http://127.0.0.1:9/v1"), 2, "--model ID"),
        (
            ("serve", "--engine", "openai", "--upstream", "http://127.0.0.1:9/v1", "--model", "x"),
            2,
            "ID=NAME",
        ),
        (
            (
                *("serve", "--engine", "openai", "--upstream", "http://127.0.0.1:9/v1"),
                *("--model", "x=a", "--model", "x=b"),
            ),
            2,
            "names an id twice",
        ),
        (
            (
                "serve",
                "--engine",
                "openai",
                "--upstream",
                "x",
                "--default-model",
                "y",
                "--port",
                "0",
            ),
            2,
            "bad --upstream 'x'",
        ),
        (("serve", "--engine", "scripted", "--script", "missing.json"), 2, "missing.json"),
        (("serve", "--gguf", "missing.gguf", "--port", "0"), 2, "cannot read the model file"),
        (("serve", "--engine", "scripted", "--host", "host.invalid"), 2, "cannot listen on"),
        (("serve", "--engine", "scripted", "--host", ".."), 2, "cannot listen on"),
        (("serve", "--engine", "scripted", "--port", "70000"), 2, "cannot listen on"),
    ],
)
def test_wrong_use_is_told_with_the_way_out(capsys, monkeypatch, arguments, status, text):
    """A clear line on stderr and a status, never a trace."""
    monkeypatch.setattr("time.sleep", lambda _: None)
    found, out, complaint = run(capsys, *arguments)

    assert (found, out) == (status, "")
    assert complaint.startswith("dashscope-oss: ")
    assert text in complaint
    assert "Traceback" not in complaint


def test_serve_says_that_the_port_is_in_use(capsys):
    """The port and the way out are named."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
        status, _, complaint = run(capsys, "serve", "--engine", "scripted", "--port", port)

    assert status == 2
    assert f"port {port} of 127.0.0.1 is in use" in complaint


@contextmanager
def serving(*arguments, errors=None, **environment):
    """Run ``serve`` as a user would; the value is the URL of its ready line."""
    process = subprocess.Popen(
        [*COMMAND, "serve", "--port", "0", *arguments],
        stdout=subprocess.PIPE,
        stderr=errors,
        text=True,
        env={**os.environ, **environment},
    )
    try:
        line = process.stdout.readline()
        yield re.fullmatch(r"listening on (http://127\.0\.0\.1:\d+/api/v1)\n", line)[1]
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=20) in (0, 130)
        process.stdout.close()


def test_serve_announces_itself_answers_and_stops(capsys, tmp_path):
    """Row 37: One line when ready, a script's answers, its key asked for, an end on Ctrl-C."""
    script = tmp_path / "script.json"
    script.write_text('[{"text": "canned"}, {"status": 400, "code": "Arrearage", "message": "x"}]')
    with serving(
        *("--engine", "scripted", "--script", str(script)), DASHSCOPE_OSS_GATEWAY_KEY="sk-gate"
    ) as url:
        without = run(capsys, "ask", "llama3-8b-instruct", "hi", "--base-url", url)
        with pytest.MonkeyPatch.context() as monkeypatch:
            monkeypatch.setenv("DASHSCOPE_API_KEY", "sk-gate")
            right = run(capsys, "ask", "llama3-8b-instruct", "hi", "--base-url", url)
            broke = run(capsys, "ask", "llama3-8b-instruct", "hi", "--base-url", url)

    assert "InvalidApiKey" in without[2]
    assert right[1] == "canned\n"
    assert broke[0] == 1
    assert "Arrearage" in broke[2]


def test_a_key_is_made_printed_once_and_let_in_by_its_table(capsys, tmp_path):
    """What `key` prints goes into the file as it is; the file holds no key."""
    status, out, advice = run(capsys, "key", "anna")
    key, _, table = out.partition("\n\n")
    file = tmp_path / "gateway.toml"
    file.write_text(table + "requests_per_minute = 1\n")
    with (
        (tmp_path / "log").open("w") as log,
        serving(
            *("--engine", "scripted", "--config", str(file), "--access-log"), errors=log
        ) as url,
        pytest.MonkeyPatch.context() as monkeypatch,
    ):
        asked = ("ask", "llama3-8b-instruct", "hi", "--base-url", url)
        stranger = run(capsys, *asked)
        monkeypatch.setenv("DASHSCOPE_API_KEY", key)
        friend = run(capsys, *asked)

    assert status == 0
    assert key not in table + advice
    assert "InvalidApiKey" in stranger[2]
    assert friend[:2] == (0, "You said: hi\n")
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert [(line.get("key"), line["status"]) for line in lines] == [(None, 401), ("anna", 200)]


def test_a_name_with_a_dot_is_quoted_for_the_file(capsys):
    """So that TOML takes it for one name."""
    import tomllib

    _, out, _ = run(capsys, "key", "team.anna")

    assert list(tomllib.loads(out.partition("\n\n")[2])["keys"]) == ["team.anna"]


@pytest.mark.parametrize("arguments", [("--modern",), ("--config",)])
def test_modern_turns_the_early_models_habits_off(capsys, tmp_path, arguments):
    """No echo, and token counts, for Ziya too; by an option or by the file."""
    file = tmp_path / "gateway.toml"
    file.write_text("[server]\nmodern = true\n")
    more = (*arguments, str(file)) if "--config" in arguments else arguments
    with serving("--engine", "scripted", *more) as url:
        _, out, note = run(capsys, "ask", "ziya-llama-13b-v1", "hi", "--base-url", url)

    assert out == "You said: hi\n"
    assert "tokens in" in note


def test_a_file_with_upstreams_leaves_no_choice_of_an_engine(capsys, tmp_path):
    """Two answers to one question are refused."""
    file = tmp_path / "gateway.toml"
    file.write_text('[upstreams.a]\nurl = "http://127.0.0.1:9/v1"\n[models.m]\n')

    status, _, complaint = run(capsys, "serve", "--config", str(file), "--engine", "scripted")

    assert status == 2
    assert "leave --engine out" in complaint


@pytest.mark.parametrize(
    "script",
    [
        *(
            '{"text": "no list"}',
            '[{"text": 5}]',
            '[{"status": "429"}]',
            '[{"usage": {}}]',
            "[",
            "[3]",
        ),
        *("{}", "[" * 100_000, '[{"status": 200}]', '[{"text": "a", "pause": -1}]'),
        '[{"text": "a", "pause": 1e999}]',
    ],
)
def test_a_script_that_cannot_be_played_is_refused_at_the_start(capsys, tmp_path, script):
    """Not at each call."""
    file = tmp_path / "script.json"
    file.write_text(script)

    status, _, complaint = run(capsys, "serve", "--engine", "scripted", "--script", str(file))

    assert status == 2
    assert "It is a JSON list of answers" in complaint
    assert "pydantic" not in complaint


def test_a_key_for_the_upstream_that_cannot_be_sent_is_refused_unseen(capsys, monkeypatch):
    """The text names the trouble and never the key."""
    monkeypatch.setenv("DASHSCOPE_OSS_UPSTREAM_KEY", "sk-ab\ncd")
    given = ("--engine", "openai", "--upstream", "http://127.0.0.1:9/v1", "--default-model", "x")

    status, _, complaint = run(capsys, "serve", *given)

    assert status == 2
    assert "DASHSCOPE_OSS_UPSTREAM_KEY holds a space, a line break" in complaint
    assert "sk-ab" not in complaint
