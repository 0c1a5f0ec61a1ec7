"""``dashscope-oss serve``: ready, answering, stopped, and what its options and file decide."""

import errno
import socket
from unittest.mock import Mock

import httpx2
import pytest


def test_it_announces_itself_answers_from_a_script_and_stops(
    command, serving, tmp_path, monkeypatch
):
    """One line when ready, a script's answers, its key required, an end on Ctrl-C."""
    script = tmp_path / "script.json"
    script.write_text('[{"text": "canned"}, {"status": 400, "code": "Arrearage", "message": "x"}]')
    options = ("--engine", "scripted", "--script", str(script))
    with serving(*options, DASHSCOPE_OSS_GATEWAY_KEY="sk-gate") as url:
        question = ("ask", "llama3-8b-instruct", "hi", "--base-url", url)
        without_key = command(*question)
        monkeypatch.setenv("DASHSCOPE_API_KEY", "sk-gate")
        first, second = command(*question), command(*question)

    assert "InvalidApiKey" in without_key[2]
    assert first[1] == "canned\n"
    assert second[0] == 1
    assert "Arrearage" in second[2]


def test_every_model_that_is_named_is_served(serving):
    """``--model`` may be repeated; the server behind it may come up later."""
    upstream = ("--upstream", "http://127.0.0.1:9/v1", "--model", "one=a", "--model", "two=b")
    with serving("--engine", "openai", *upstream) as url:
        models = httpx2.get(f"{url}/models").text

    assert '"one"' in models
    assert '"two"' in models


def test_the_models_of_the_file_are_served(serving, tmp_path):
    file = tmp_path / "gateway.toml"
    file.write_text('[upstreams.a]\nurl = "http://127.0.0.1:9/v1"\n[models.mine]\n')
    with serving("--config", str(file)) as url:
        assert '"mine"' in httpx2.get(f"{url}/models").text


@pytest.mark.parametrize("options", [("--modern",), ("--config",)])
def test_modern_turns_the_early_models_habits_off(command, serving, tmp_path, options):
    """No echo, and token counts, for Ziya too; by an option or by the file."""
    file = tmp_path / "gateway.toml"
    file.write_text("[server]\nmodern = true\n")
    more = (*options, str(file)) if "--config" in options else options
    with serving("--engine", "scripted", *more) as url:
        _, out, note = command("ask", "ziya-llama-13b-v1", "hi", "--base-url", url)

    assert out == "You said: hi\n"
    assert "tokens in" in note


def test_a_port_in_use_is_named_with_the_way_out(command):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
        status, _, complaint = command("serve", "--engine", "scripted", "--port", port)

    assert status == 2
    assert f"port {port} of 127.0.0.1 is in use" in complaint


@pytest.mark.parametrize(
    ("host", "fault", "advice"),
    [
        ("192.0.2.1", None, "name an address of this machine"),
        ("127.0.0.1", PermissionError(errno.EACCES, "no"), "take one from 1024 upwards"),
    ],
)
def test_an_address_that_cannot_be_used_is_told_with_what_to_take(
    command, monkeypatch, host, fault, advice
):
    if fault is not None:
        monkeypatch.setattr(socket, "create_server", Mock(side_effect=fault))

    status, _, complaint = command("serve", "--engine", "scripted", "--host", host, "--port", "0")

    assert (status, advice in complaint) == (2, True)


@pytest.mark.filterwarnings("always")
@pytest.mark.parametrize("place", ["option", "file"])
def test_an_id_that_nobody_may_have_meant_is_warned_of(command, tmp_path, place):
    """Callers would find nothing under the right one. The gateway then does not start."""
    file = tmp_path / "gateway.toml"
    file.write_text(
        '[upstreams.a]\nurl = "http://127.0.0.1:9/v1"\n[models.llama3]\n'
        '[models.mine]\nlike = "llama3-8b-instruct"\n'
    )
    upstream = ("--engine", "openai", "--upstream", "http://127.0.0.1:9/v1", "--model")
    chosen = (*upstream, "llama3=x") if place == "option" else ("--config", str(file))

    _, _, complaint = command("serve", *chosen, "--port", "99999")

    assert "warning: no record of the model 'llama3'" in complaint
    assert "Did you mean llama3-8b-instruct" in complaint
    assert "'mine'" not in complaint


@pytest.mark.parametrize("option", [("--engine", "scripted"), ("--upstream", "http://x/v1")])
def test_a_file_with_upstreams_leaves_no_choice_of_an_engine(command, tmp_path, option):
    """Two answers to one question are refused."""
    file = tmp_path / "gateway.toml"
    file.write_text('[upstreams.a]\nurl = "http://127.0.0.1:9/v1"\n[models.m]\n')

    status, _, complaint = command("serve", "--config", str(file), *option)

    assert status == 2
    assert option[0] in complaint
    assert "out" in complaint.partition("leave ")[2]


@pytest.mark.parametrize("script", ["[", '[{"status": 200}]'])
def test_a_script_that_cannot_be_played_is_refused_at_the_start(command, tmp_path, script):
    """Not at each call."""
    file = tmp_path / "script.json"
    file.write_text(script)

    status, _, complaint = command("serve", "--engine", "scripted", "--script", str(file))

    assert status == 2
    assert "A script is a JSON list of answers" in complaint
    assert "pydantic" not in complaint


def test_a_key_for_the_upstream_that_cannot_be_sent_is_refused_unseen(command, monkeypatch):
    """The text names the trouble and never the key."""
    monkeypatch.setenv("DASHSCOPE_OSS_UPSTREAM_KEY", "sk-ab\ncd")
    upstream = ("--upstream", "http://127.0.0.1:9/v1", "--default-model", "x")

    status, _, complaint = command("serve", "--engine", "openai", *upstream)

    assert status == 2
    assert "DASHSCOPE_OSS_UPSTREAM_KEY holds a space, a line break" in complaint
    assert "sk-ab" not in complaint
