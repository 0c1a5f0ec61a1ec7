"""``dashscope-oss models --compare``: another list beside the registry, with a status for CI."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dashscope_oss import all_models
from dashscope_oss.cli.reports import model_list
from tests.faults.server import Cut, RawServer, answer

SAMPLES = Path(__file__).parents[1] / "registry" / "samples"
KEY = "sk-secret-0123456789"
PAGES = [answer(json.loads((SAMPLES / f"service-{n}.json").read_text("utf-8"))) for n in (1, 2)]
REFUSED = answer(
    {"code": "InvalidApiKey", "message": f"Invalid API-key {KEY} provided.", "request_id": "r-1"},
    "401 Unauthorized",
)


def test_differences_that_the_records_name_are_shown_and_leave_the_status_0(command):
    status, out, _ = command("models", "--compare", str(SAMPLES / "litellm.json"))
    assert status == 0
    assert out.splitlines()[0].split() == ["MODEL", "DIFFERS", "IN", "REGISTRY", "LIST"]
    row = next(line for line in out.splitlines() if line.startswith("glm-5.2"))
    assert row.split(None, 4) == [
        "glm-5.2",
        "input",
        "1,000,000",
        "1,048,576",
        "known: sources differ",
    ]
    assert "12 models by litellm: 3 input, 2 output. Known to the registry: 5, not known: 0." in out
    assert "hosted models of the registry are not in this list" in out


def test_a_difference_that_no_record_names_makes_the_status_1(command, tmp_path):
    entry = {"litellm_provider": "dashscope", "max_output_tokens": 5, "mode": "chat"}
    file = tmp_path / "list.json"
    file.write_text(json.dumps({"dashscope/glm-9": entry}))
    status, out, _ = command("models", "--compare", str(file))
    assert status == 1
    assert out.splitlines()[1].split(None, 4) == ["glm-9", "new", "no", "row", "out 5"]


def test_a_list_that_says_the_same(command, tmp_path):
    file = tmp_path / "list.json"
    entry = {"litellm_provider": "dashscope", "max_output_tokens": 131_072}
    file.write_text(json.dumps({"dashscope/glm-5.3": entry}))
    status, out, _ = command("models", "--compare", str(file))
    assert (status, out.splitlines()[0]) == (
        0,
        "1 models by litellm: the registry says the same.",
    )


def test_the_service_is_asked_page_by_page_with_the_users_key(command, monkeypatch):
    monkeypatch.setenv("DASHSCOPE_API_KEY", KEY)
    with RawServer(*PAGES) as server:
        status, out, _ = command("models", "--compare", "service", "--base-url", server.base_url)
    lines = [request.line for request in server.requests]
    assert [line.split("page_no=")[1][0] for line in lines] == ["1", "2"]
    assert all(line.startswith("GET /api/v1/models?") for line in lines)
    assert {r.headers["authorization"] for r in server.requests} == {f"Bearer {KEY}"}
    assert status == 1
    gone = {line.split()[0] for line in out.splitlines() if "  gone" in line}
    assert "qwen3.5-27b" in gone
    assert "qwen3.8-27b" not in gone


def test_a_gateway_is_compared_too(command, gateway):
    """Its page has another name for the number of models."""
    status, out, _ = command("models", "--compare", "service", "--base-url", gateway().base_url)
    assert status == 1
    assert f"{len(all_models())} models by the service" in out


@pytest.mark.parametrize(
    ("answers", "complaint"),
    [
        ([REFUSED], "Invalid API-key [key] provided"),
        ([answer({"output": {"text": "hello"}})], "holds no list of models"),
        ([answer(b"<html>", "502 Bad Gateway")], "does not have DashScope's form"),
        ([answer(b"<html>")], "is not JSON"),
        ([[Cut()]], "no answer from 127.0.0.1"),
    ],
)
def test_a_service_that_cannot_be_compared_makes_the_status_2(
    command, monkeypatch, answers, complaint
):
    monkeypatch.setenv("DASHSCOPE_API_KEY", KEY)
    with RawServer(*answers) as server:
        status, out, err = command("models", "--compare", "service", "--base-url", server.base_url)
    assert (status, out) == (2, "")
    assert complaint in err
    assert KEY not in err


def test_pages_that_never_end_are_not_asked_for_without_end(command, monkeypatch):
    monkeypatch.setattr(model_list, "MAX_PAGES", 3)
    endless = {"output": {"models": [{"model": "glm-5"}]}}
    for page, asked in (({"output": {"models": []}}, 1), (endless, 3)):
        with RawServer(answer(page)) as server:
            command("models", "--compare", "service", "--base-url", server.base_url)
        assert len(server.requests) == asked


@pytest.mark.parametrize("text", ["", "{", '{"a": 1}'])
def test_a_file_that_holds_no_list_makes_the_status_2(command, tmp_path, text):
    file = tmp_path / "list.json"
    file.write_text(text)
    status, _, err = command("models", "--compare", str(file))
    assert status == 2
    assert str(file) in err
    assert command("models", "--compare", str(tmp_path / "none.json"))[0] == 2
    (tmp_path / "empty.json").touch()
    _, _, complaint = command("models", "--compare", str(tmp_path / "empty.json"))
    assert "empty.json is not JSON" in complaint
    assert "models.dev or litellm" in complaint
