"""``dashscope-oss key``: keys for callers of the gateway."""

import json
import tomllib


def test_a_key_is_printed_once_and_let_in_by_its_table(command, serving, tmp_path, monkeypatch):
    """What `key` prints goes into the configuration file as it is; the file holds no key."""
    status, out, advice = command("key", "anna")
    key, _, table = out.partition("\n\n")
    file = tmp_path / "gateway.toml"
    file.write_text(table + "requests_per_minute = 1\n")
    options = ("--engine", "scripted", "--config", str(file), "--access-log")
    with (tmp_path / "log").open("w") as log, serving(*options, stderr=log) as url:
        question = ("ask", "llama3-8b-instruct", "hi", "--base-url", url)
        without_key = command(*question)
        monkeypatch.setenv("DASHSCOPE_API_KEY", key)
        with_key = command(*question)

    assert status == 0
    assert key not in table + advice
    assert "InvalidApiKey" in without_key[2]
    assert with_key[:2] == (0, "You said: hi\n")
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert [(line.get("key"), line["status"]) for line in lines] == [(None, 401), ("anna", 200)]


def test_a_name_with_a_dot_is_quoted_for_the_file(command):
    """So that TOML takes it for one name."""
    _, out, _ = command("key", "team.anna")

    assert list(tomllib.loads(out.partition("\n\n")[2])["keys"]) == ["team.anna"]
