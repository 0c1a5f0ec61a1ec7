"""``dashscope-oss doctor``: which thing is wrong, what to change, and never the key."""

from __future__ import annotations

import json
import socket
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

from dashscope_oss import AuthenticationError, Endpoint
from dashscope_oss.cli import doctor
from dashscope_oss.cli.reports import checks
from tests.faults.server import Close, Cut, RawServer, Unread, answer, text_reply
from tests.transport.secure_server import SecureServer

KEY = "sk-secret-0123456789"
SAMPLES = Path(__file__).parents[1] / "registry" / "samples"
PAGES = [answer(json.loads((SAMPLES / f"service-{n}.json").read_text("utf-8"))) for n in (1, 2)]


def refusal(status: str, code: str, message: str) -> bytes:
    return answer({"code": code, "message": message, "request_id": "r-1"}, status)


WRONG_KEY = refusal("401 Unauthorized", "InvalidApiKey", f"Invalid API-key {KEY} provided.")


@pytest.fixture
def examine(command, monkeypatch):
    """Run the command against a server: the status, each thing's state and words, all text."""
    monkeypatch.setenv("DASHSCOPE_API_KEY", KEY)

    def run(server: RawServer | str, *arguments: str):
        url = server if isinstance(server, str) else server.base_url
        status, out, err = command("doctor", "--base-url", url, *arguments)
        assert KEY not in out + err
        lines = out.split("\n\n")[0].splitlines()[1:]
        rows = [line.split(None, 2) for line in lines]
        return status, {thing: (mark, words) for mark, thing, words in rows}, out

    return run


def wrong(found) -> dict[str, str]:
    return {thing: words for thing, (mark, words) in found.items() if mark == "WRONG"}


def test_all_is_well(examine):
    with RawServer(*PAGES) as server:
        status, found, out = examine(server)
    assert status == 0
    assert found["key"] == ("ok", "from DASHSCOPE_API_KEY")
    assert found["address"] == ("ok", f"{server.base_url}, not one of the vendor's hosts")
    assert found["proxy"] == ("ok", "none for this address")
    assert found["workspace"] == ("ok", "none: that of the key")
    assert found["service"] == ("ok", "answers")
    assert "of the registry's 46 hosted models are listed for this key; not listed:" in out
    assert "qwen3.5-397b-a17b" in found["models"][1]
    assert len(server.requests) == 2


def test_a_gateway_on_this_machine_needs_no_key(command, gateway):
    status, out, _ = command("doctor", "--base-url", gateway().base_url, "glm-5")
    assert status == 0
    assert "none, and a server on this machine needs none" in out
    assert "46 of the registry's 46 hosted models" in out
    assert out.splitlines()[-1].split() == ["ok", "glm-5", "answers"]


def test_no_key(command):
    status, out, _ = command("doctor")
    assert status == 1
    assert "WRONG  key" in out
    assert "set the environment variable DASHSCOPE_API_KEY" in out
    assert "region beijing" in out


def test_a_wrong_key(examine):
    with RawServer(WRONG_KEY) as server:
        status, found, out = examine(server)
    assert status == 1
    assert wrong(found) == {"key": "Invalid API-key [key] provided. (401 InvalidApiKey)"}
    assert "key: This server has keys of its own" in out


def test_a_key_of_another_region(examine, monkeypatch):
    with RawServer(WRONG_KEY) as here, RawServer(WRONG_KEY) as us, RawServer(PAGES[0]) as there:
        regions = {"us": us.base_url, "singapore": there.base_url}
        monkeypatch.setattr(doctor, "elsewhere", lambda endpoint: regions)
        status, found, out = examine(here)
    assert status == 1
    assert wrong(found).keys() == {"key"}
    assert "key: The key belongs to the region singapore: pass region='singapore'." in out


def test_a_key_is_tried_at_the_vendors_other_regions_only(monkeypatch):
    monkeypatch.setenv("DASHSCOPE_API_KEY", KEY)
    regions = doctor.elsewhere(Endpoint.resolve(region="us"))
    assert regions.keys() == {"beijing", "singapore", "hongkong", "finance"}
    assert doctor.elsewhere(Endpoint.resolve(base_url="http://127.0.0.1:1/api/v1")) == {}


@pytest.mark.parametrize(
    ("url", "state", "words"),
    [
        ("https://llm-1.us-east-1.maas.aliyuncs.com/api/v1", "ok", "region us-east-1"),
        ("https://old.aliyuncs.com/api/v1", "warning", "in no known region"),
    ],
)
def test_the_region_of_an_address(url, state, words):
    check = checks.address_check(Endpoint(base_url=url))
    assert (check.state, words in check.words) == (state, True)


def test_a_key_that_no_region_accepts():
    there = Endpoint(base_url="https://dashscope.aliyuncs.com/api/v1")
    check = checks.failure_check(AuthenticationError("no"), there, [])
    assert "No region's shared host accepts this key" in check.remedy


def test_no_network(examine, monkeypatch):
    def unknown(*_, **__):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    status, found, out = examine("https://host.invalid/api/v1")
    assert status == 1
    assert "Name or service not known" in wrong(found)["network"]
    assert "network: The host's name is not known" in out


def test_a_connection_that_breaks(examine):
    with RawServer([Cut()]) as server:
        assert wrong(examine(server)[1]).keys() == {"network"}


def test_nothing_listens(examine):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    _, found, out = examine(f"http://127.0.0.1:{port}/api/v1")
    assert wrong(found).keys() == {"address"}
    assert "address: Nothing listens there" in out


def test_a_certificate_that_is_not_trusted(examine):
    with SecureServer(*PAGES) as server:
        _, found, out = examine(server)
    assert wrong(found).keys() == {"certificate"}
    assert "certificate: Behind a company's proxy, set SSL_CERT_FILE" in out


def test_a_server_that_speaks_no_tls(examine):
    with RawServer(Unread([b"220 mail.example ready\r\n", Close()])) as server:
        _, found, out = examine(server.base_url.replace("http:", "https:"))
    assert wrong(found).keys() == {"certificate"}
    assert "that of a gateway begins with http://" in out


@pytest.mark.parametrize(
    "said",
    [
        answer(b"<html>not found", "404 Not Found"),
        answer({"object": "list", "data": []}),
        refusal("404 Not Found", "NotFound", "no such path"),
    ],
)
def test_a_wrong_path(examine, said):
    with RawServer(said) as server:
        status, found, out = examine(server)
    assert (status, wrong(found).keys()) == (1, {"address"})
    assert "is not the native API: base_url ends in /api/v1" in out


@pytest.mark.parametrize(
    ("said", "thing", "remedy"),
    [
        (
            refusal("404 Not Found", "WorkSpaceNotFound", "WorkSpace can not be found."),
            "workspace",
            "Check workspace and DASHSCOPE_WORKSPACE",
        ),
        (
            refusal("403 Forbidden", "Workspace.AccessDenied", "Workspace access denied."),
            "workspace",
            "Check workspace and DASHSCOPE_WORKSPACE",
        ),
        (
            refusal("403 Forbidden", "AccessDenied", "Access denied."),
            "key",
            "activate Model Studio",
        ),
        (refusal("500 Oh", "InternalError", "oh"), "service", ""),
    ],
)
def test_what_else_the_service_says(examine, said, thing, remedy):
    with RawServer(said) as server:
        _, found, out = examine(server, "--workspace", "ws-1")
    assert wrong(found).keys() == {thing}
    assert remedy in out
    assert server.requests[0].headers["x-dashscope-workspace"] == "ws-1"


def test_a_clock_that_is_wrong(examine):
    date = format_datetime(datetime.now(UTC) - timedelta(hours=2), usegmt=True)
    with RawServer(answer({"output": {"models": []}}, headers=[("Date", date)])) as server:
        status, found, out = examine(server)
    assert status == 0
    mark, words = found["clock"]
    assert mark == "!"
    assert "ahead of the service's" in words
    assert "clock: Set this machine's clock" in out
    assert found["models"][0] == "!"


def test_a_proxy_that_refuses_is_shown_without_its_password(examine, monkeypatch):
    with RawServer(answer(b"", "407 Proxy Authentication Required")) as proxy:
        host = proxy.origin.removeprefix("http://")
        monkeypatch.setenv("https_proxy", f"http://user:pass-word@{host}")
        _, found, out = examine("https://service.invalid/api/v1")
    assert wrong(found).keys() == {"proxy"}
    assert "proxy: Check HTTPS_PROXY" in out
    assert "pass-word" not in out
    assert "ok     proxy      http://127.0.0.1\n" in out


def test_a_proxy_that_cannot_be_used(examine, monkeypatch):
    monkeypatch.setenv("https_proxy", "ftp://proxy.invalid")
    status, found, _ = examine("https://service.invalid/api/v1")
    assert (status, wrong(found).keys()) == (1, {"proxy"})


def test_settings_that_are_wrong(command):
    status, out, _ = command("doctor", "--region", "tokyo")
    assert status == 1
    assert "WRONG  settings  region 'tokyo' has workspace hosts only: pass workspace" in out


GONE = refusal("404 Not Found", "ModelNotFound", "Model can not be found.")


@pytest.mark.parametrize(
    ("model", "said", "remedy"),
    [
        ("qwen1.5-7b-chat", GONE, "2026-03-30. The vendor names qwen3-235b-a22b instead."),
        ("glm-5", GONE, "This region or gateway does not have the model"),
        (
            "glm-5",
            refusal("403 Forbidden", "Model.AccessDenied", "Model access denied."),
            "Activate the model for this key",
        ),
        ("glm-5", refusal("403 Forbidden", "Arrearage", "In debt."), "Check balance"),
        ("glm-5", refusal("500 Oh", "InternalError", "oh"), ""),
    ],
)
def test_a_model_that_does_not_answer(examine, model, said, remedy):
    with RawServer(PAGES[0], PAGES[1], said) as server:
        status, found, out = examine(server, model)
    assert (status, wrong(found).keys()) == (1, {model})
    assert remedy in out


def test_models_are_not_asked_where_no_call_can_succeed(examine):
    """Of a retired one it would be said that this is why."""
    with RawServer(refusal("401 Unauthorized", "InvalidApiKey", "Invalid API-key.")) as server:
        status, found, out = examine(server, "ziya-llama-13b-v1")
    assert (status, [*wrong(found)], len(server.requests)) == (1, ["key"], 1)
    assert "retired" not in out


def test_a_model_that_answers_is_asked_for_one_token(examine):
    with RawServer(*PAGES, answer(text_reply("h"))) as server:
        status, found, _ = examine(server, "deepseek-v3")
    assert (status, found["deepseek-v3"]) == (0, ("ok", "answers"))
    assert server.requests[-1].body["parameters"]["max_tokens"] == 1
