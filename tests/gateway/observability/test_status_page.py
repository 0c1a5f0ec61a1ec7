"""Health checks, the status page as it is sent, and the numbers behind it."""

import base64
import hashlib
import re

import httpx
import pytest

from dashscope_oss.gateway import Answer, Fault, Gateway, build_load_balancer, serve_in_thread
from dashscope_oss.gateway.config import parse_config
from dashscope_oss.messages import Usage
from tests.gateway.fake_upstream import FakeUpstream, failed

PATH = "/services/aigc/text-generation/generation"
MODEL = "llama3-8b-instruct"
BODY = {"model": MODEL, "input": {"messages": [{"role": "user", "content": "hi"}]}}


@pytest.fixture
def root(gateway):
    """The address of a gateway with a script, without the API's path."""

    def start(*script):
        return gateway(*script).base_url.removesuffix("/api/v1")

    return start


@pytest.mark.parametrize("path", ["/healthz", "/health", "/", "/api/v1"])
def test_a_gateway_that_can_answer_is_ready(root, path):
    """200 and a word; programs get JSON at the root too."""
    reply = httpx.get(root() + path, verify=False)

    assert reply.status_code == 200
    assert reply.json() | {"version": "any"} == {
        "name": "dashscope-oss",
        "version": "any",
        "api": "/api/v1",
        "status": "ready",
        "upstreams": [],
    }


def fleet(*servers):
    tables = [f'[upstreams.gpu{n}]\nurl = "{s.url}"\n' for n, s in enumerate(servers)]
    return build_load_balancer(parse_config("".join(tables) + f'[models."{MODEL}"]\n', "test"))


@pytest.mark.parametrize(("healthy", "status"), [((200, 500), 200), ((500, 500), 503)])
def test_a_gateway_without_a_healthy_upstream_is_not_ready(healthy, status):
    """One is enough. The answer names those that are down, not their addresses."""
    servers = [FakeUpstream(failed(500, {}), health_status=code) for code in healthy]
    with serve_in_thread(Gateway(fleet(*servers))) as url:
        reply = httpx.get(url.removesuffix("/api/v1") + "/healthz")
    for server in servers:
        server.close()

    assert reply.status_code == status
    assert reply.json()["status"] == ("ready" if status == 200 else "unready")
    assert reply.json()["upstreams"] == [
        {"name": f"gpu{n}", "healthy": code == 200} for n, code in enumerate(healthy)
    ]
    assert "127.0.0.1" not in reply.text


def test_browsers_get_a_page_that_is_all_its_own(root):
    """No address of anybody else, and a policy under which nothing but its own code runs."""
    reply = httpx.get(root(), headers={"accept": "text/html,*/*;q=0.8"})

    assert reply.headers["content-type"] == "text/html; charset=utf-8"
    assert "http:" not in reply.text
    assert "https:" not in reply.text
    policy = reply.headers["content-security-policy"]
    for element in ("script", "style"):
        (content,) = re.findall(f"<{element}>(.*?)</{element}>", reply.text, flags=re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{element}-src 'sha256-{digest}';" in policy
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy


def test_the_page_writes_text_only():
    """Nothing in it can turn text of a model into HTML."""
    from dashscope_oss.gateway.observability.status_page import status_page

    text = status_page()[0].decode()
    sinks = ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "srcdoc")
    assert [word for word in sinks if word in text] == []
    assert not re.search(r"<[^>]*\son\w+=", text)


def test_the_numbers_behind_the_page(root):
    """Of each model, and of all together."""
    usage = Usage(input_tokens=7, output_tokens=3)
    address = root(Answer("ok", usage=usage), Fault(500, "InternalError", "x"))
    for _ in range(2):
        httpx.post(f"{address}/api/v1{PATH}", json=BODY)

    status = httpx.get(f"{address}/status").json()

    numbers = {
        "requests": 2,
        "failed": 1,
        "input_tokens": 7,
        "output_tokens": 3,
        "under_way": 0,
    }
    (model,) = [one for one in status["models"] if one["model"] == MODEL]
    assert status["totals"] == numbers
    assert model == {
        "model": MODEL,
        "served_by": "none (scripted)",
        "endpoint": "text-generation",
        "prompt_form": None,
        **numbers,
    }


@pytest.mark.parametrize(
    ("id", "form"),
    [("ziya-llama-13b-v1", ["<human>:", "\n<bot>:"]), ("baichuan-7b-v1", ["", ""])],
)
def test_the_page_learns_how_a_prompt_is_written(root, id, form):
    """Weights that know no messages would only go on with a bare question."""
    status = httpx.get(root() + "/status").json()

    assert [one["prompt_form"] for one in status["models"] if one["model"] == id] == [form]


@pytest.mark.parametrize("path", ["/", "/status", "/healthz", "/metrics", "/api/v1/models"])
def test_nothing_there_can_be_written(root, path):
    """What shows can only be read."""
    address = root()

    reply = httpx.post(address + path, json={}, verify=False)
    head = httpx.head(address + path, verify=False)

    assert reply.json()["message"] == "Request method 'POST' is not supported."
    assert (head.status_code, head.content) == (200, b"")
