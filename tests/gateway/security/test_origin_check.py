"""A gateway without keys works for no page of another site, whatever its name points at."""

import socket

import httpx
import pytest

from dashscope_oss.gateway import Answer, APIError, Gateway, ScriptedEngine, serve_in_thread
from dashscope_oss.gateway.config import GatewayConfig
from dashscope_oss.gateway.security.api_keys import hash_key
from dashscope_oss.gateway.security.origin_check import HostCheck

PATH = "/api/v1/services/aigc/text-generation/generation"
BODY = {"model": "llama3-8b-instruct", "input": {"messages": [{"role": "user", "content": "hi"}]}}
LAN = "192.168.1.5"


@pytest.fixture(scope="module")
def root():
    with serve_in_thread(Gateway(ScriptedEngine([Answer("ok")]))) as url:
        yield url.removesuffix("/api/v1")


def post(root, **headers):
    return httpx.post(root + PATH, json=BODY, headers=headers, verify=False)


def lets_in(names, address=LAN, **headers):
    try:
        names.check({name.replace("_", "-"): value for name, value in headers.items()}, address)
    except APIError as refusal:
        return refusal.status != 403
    return True


OWN_NAMES = (
    *("localhost", "LOCALHOST:80", "localhost.", "app.localhost:1"),
    *("127.9.9.9:8000", "[::1]:8000"),
)
OTHER_NAMES = ("evil.example", "127.0.0.1.evil.example:80", "notlocalhost", "0.0.0.0:80", LAN)


def test_this_machine_may_be_called_by_any_name_of_its_own(root, subtests):
    """Loopback addresses, and the names that stand for them everywhere."""
    for host in OWN_NAMES:
        with subtests.test(host):
            assert post(root, host=host).status_code == 200


@pytest.mark.parametrize("path", [PATH, "/status", "/metrics", "/"])
def test_a_name_that_is_made_to_point_at_this_machine_is_refused(root, path, subtests):
    """To the browser it is the page's own site; the text says what to set."""
    method = "POST" if path == PATH else "GET"
    for host in OTHER_NAMES:
        with subtests.test(host):
            reply = httpx.request(method, root + path, headers={"host": host}, verify=False)
            assert (reply.status_code, reply.json()["code"]) == (403, "AccessDenied")
            advice = f"not {host.partition(':')[0]}. To allow that name, list it under"
            assert advice in reply.json()["message"]


def test_the_settings_file_may_name_more():
    """For programs that know this machine by another name."""
    settings = GatewayConfig.model_validate({"server": {"hosts": ["Tools.lan"]}})
    with serve_in_thread(Gateway(ScriptedEngine([Answer("ok")]), access=settings)) as url:
        root = url.removesuffix("/api/v1")

        assert post(root, host="tools.LAN:8000").status_code == 200
        assert post(root, host="other.lan").status_code == 403


def test_a_page_behind_a_proxy_is_told_what_to_set():
    """Some proxies put their own address into ``Host``."""
    with pytest.raises(
        APIError, match=r"If tools\.lan is this gateway's own name, list it under hosts"
    ):
        HostCheck().check({"host": "10.0.0.1:8000", "origin": "http://tools.lan"}, LAN)


def test_with_keys_any_name_will_do():
    """No page of another site has one."""
    settings = GatewayConfig.model_validate({"keys": {"anna": {"hash": hash_key("sk-a")}}})
    with serve_in_thread(Gateway(ScriptedEngine([Answer("ok")]), access=settings)) as url:
        root = url.removesuffix("/api/v1")

        assert post(root, host="gateway.lan", authorization="Bearer sk-a").status_code == 200


def test_a_caller_may_name_no_host(root):
    """As health checks in HTTP/1.0 do; browsers always name one."""
    place = httpx.URL(root)
    with socket.create_connection((place.host, place.port), timeout=10) as connection:
        connection.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")

        assert connection.recv(100).startswith(b"HTTP/1.1 200")


def test_other_addresses_answer_to_any_name():
    """Nobody here knows how a network calls this machine, nor what stands before a container."""
    assert lets_in(HostCheck(), host="gateway.lan")
    assert not lets_in(HostCheck(), "127.0.0.1", host="gateway.lan")
    assert not lets_in(HostCheck(), "::1", host="gateway.lan")


@pytest.mark.parametrize(
    ("headers", "lets"),
    [
        ({"origin": "http://evil.example"}, False),
        ({"origin": "null"}, False),
        ({"origin": f"http://{LAN}:8000"}, True),
        ({"origin": f"http://{LAN}"}, True),  # another port is no other site
        ({"origin": "http://Tools.lan"}, True),  # a proxy before it wrote Host anew
        ({"origin": "https://proxy.example", "sec_fetch_site": "same-origin"}, True),
    ],
)
def test_browsers_name_the_site_of_the_page_by_its_origin(headers, lets):
    """Over plain HTTP to other machines they send no ``Sec-Fetch-Site``."""
    assert lets_in(HostCheck(["tools.LAN"]), host=f"{LAN}:8000", **headers) is lets


def test_a_page_of_another_site_may_not_call(gateway):
    """Without keys it would spend tokens for whatever is open in a browser."""
    engine = gateway(Answer("hi"))
    responses = {
        site: httpx.post(
            engine.base_url.removesuffix("/api/v1") + PATH,
            json=BODY,
            headers={"Sec-Fetch-Site": site},
        )
        for site in ("cross-site", "same-origin", "none")
    }
    assert [response.status_code for response in responses.values()] == [403, 200, 200]
    assert responses["cross-site"].json()["code"] == "AccessDenied"


@pytest.mark.parametrize(("method", "status"), [("GET", 200), ("POST", 403)])
def test_a_link_elsewhere_may_lead_to_the_status_page(gateway, method, status):
    """Whoever follows it sees the page; a form that is sent from elsewhere is refused."""
    engine = gateway(Answer("ok"))
    place = "/" if method == "GET" else PATH
    sent = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Accept": "text/html"}
    url = engine.base_url.removesuffix("/api/v1") + place

    assert httpx.request(method, url, json=BODY, headers=sent).status_code == status
