"""Where calls go and with which key."""

from __future__ import annotations

import copy
import pickle
import re
import warnings
from pathlib import Path

import pytest
from pydantic import SecretStr

from dashscope_oss import ClientOptions, ConfigurationError, DashScopeWarning, Endpoint
from dashscope_oss.transport.endpoint import region_of

KEY = "sk-secret-0123456789"
LOCAL = "http://127.0.0.1:8000/api/v1"


def test_the_key_may_be_text_a_secret_or_a_function():
    for given in (KEY, f" {KEY}\n", SecretStr(KEY), lambda: KEY):
        assert Endpoint.resolve(api_key=given).key() == KEY


def test_a_function_is_asked_for_every_call():
    keys = iter(["sk-1", "sk-2"])
    endpoint = Endpoint.resolve(api_key=lambda: next(keys))
    assert [endpoint.key(), endpoint.key()] == ["sk-1", "sk-2"]


def test_a_key_of_the_environment_is_read_anew_for_every_call(monkeypatch):
    monkeypatch.setenv("DASHSCOPE_API_KEY", f"{KEY}\n")
    endpoint = Endpoint.resolve()
    assert endpoint.key() == KEY
    monkeypatch.setenv("DASHSCOPE_API_KEY", "sk-new")
    assert endpoint.key() == "sk-new"


def test_a_key_of_a_file_that_the_environment_names(monkeypatch, tmp_path):
    file = tmp_path / "key"
    file.write_text(f"{KEY}\n", encoding="utf-8")
    monkeypatch.setenv("DASHSCOPE_API_KEY_FILE_PATH", str(file))
    assert Endpoint.resolve().key() == KEY


def test_a_key_of_the_vendors_own_file(monkeypatch, tmp_path):
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    folder = tmp_path / ".dashscope"
    folder.mkdir()
    (folder / "api_key").write_text(KEY, encoding="utf-8")
    assert Endpoint.resolve().key() == KEY


def test_argument_before_environment_before_file(monkeypatch, tmp_path):
    file = tmp_path / "key"
    file.write_text("sk-file", encoding="utf-8")
    monkeypatch.setenv("DASHSCOPE_API_KEY_FILE_PATH", str(file))
    monkeypatch.setenv("DASHSCOPE_API_KEY", "sk-environment")
    assert Endpoint.resolve(api_key="sk-argument").key() == "sk-argument"
    assert Endpoint.resolve().key() == "sk-environment"


def test_a_missing_key_is_refused_at_once_and_the_variable_named():
    with pytest.raises(ConfigurationError, match="set the environment variable DASHSCOPE_API_KEY"):
        Endpoint.resolve()


@pytest.mark.parametrize("name", ["missing", "binary"])
def test_a_key_file_that_cannot_be_read_is_a_missing_key(monkeypatch, tmp_path, name):
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    monkeypatch.setenv("DASHSCOPE_API_KEY_FILE_PATH", str(tmp_path / name))
    with pytest.raises(ConfigurationError, match="DASHSCOPE_API_KEY"):
        Endpoint.resolve()


@pytest.mark.parametrize(
    "url",
    [LOCAL, "http://localhost:8000/api/v1", "http://[::1]:8000/api/v1", "https://127.0.0.2/x"],
)
def test_a_server_on_this_machine_needs_no_key_and_no_tls(url):
    endpoint = Endpoint.resolve(base_url=url)
    assert endpoint.key() is None
    assert endpoint.base_url == url


BAD_KEYS = [f"{KEY}\nx", f"{KEY} x", f"{KEY}\tx", f"{KEY}é", f"{KEY}\x00x", f"{KEY}\r\nX: y", ""]


@pytest.mark.parametrize("wrapped", [str, SecretStr, lambda key: lambda: key])
def test_a_key_that_cannot_be_one_is_refused_without_being_shown(wrapped):
    for key in BAD_KEYS:
        with pytest.raises(ConfigurationError, match="DASHSCOPE_API_KEY") as caught:
            Endpoint.resolve(api_key=wrapped(key)).key()
        assert KEY not in f"{caught.value!r} {caught.value} {caught.value.__dict__}"
        assert KEY not in repr(caught.value.__cause__)


def test_a_bad_key_of_the_environment_is_refused_without_being_shown(monkeypatch):
    monkeypatch.setenv("DASHSCOPE_API_KEY", f"{KEY}\nx")
    with pytest.raises(ConfigurationError, match="line break") as caught:
        Endpoint.resolve()
    assert KEY not in str(caught.value)


def test_the_key_is_in_no_text_form(monkeypatch):
    monkeypatch.setenv("DASHSCOPE_API_KEY", KEY)
    for endpoint in (Endpoint.resolve(api_key=KEY), Endpoint.resolve()):
        assert KEY not in f"{endpoint!r} {endpoint}"


def test_a_key_of_the_environment_is_in_no_pickle(monkeypatch):
    monkeypatch.setenv("DASHSCOPE_API_KEY", KEY)
    stored = pickle.dumps(Endpoint.resolve())
    assert KEY.encode() not in stored
    monkeypatch.setenv("DASHSCOPE_API_KEY", "sk-there")
    assert pickle.loads(stored).key() == "sk-there"


def test_the_address_is_the_argument_then_the_region_then_the_environment(monkeypatch):
    def base(**settings: str) -> str:
        return Endpoint.resolve(api_key=KEY, **settings).base_url

    assert base() == "https://dashscope.aliyuncs.com/api/v1"
    monkeypatch.setenv("DASHSCOPE_HTTP_BASE_URL", "https://proxy.example/api/v1")
    assert base() == "https://proxy.example/api/v1"
    assert base(region="us") == "https://dashscope-us.aliyuncs.com/api/v1"
    assert base(region="us", base_url=LOCAL) == LOCAL


REGIONS = {
    "beijing": "https://dashscope.aliyuncs.com/api/v1",
    "singapore": "https://dashscope-intl.aliyuncs.com/api/v1",
    "us": "https://dashscope-us.aliyuncs.com/api/v1",
    "hongkong": "https://cn-hongkong.dashscope.aliyuncs.com/api/v1",
    "cn": "https://dashscope.aliyuncs.com/api/v1",
    "intl": "https://dashscope-intl.aliyuncs.com/api/v1",
    "hk": "https://cn-hongkong.dashscope.aliyuncs.com/api/v1",
    "finance": "https://dashscope-finance.aliyuncs.com/api/v1",
    "frankfurt": "https://llm-1.eu-central-1.maas.aliyuncs.com/api/v1",
    "tokyo": "https://llm-1.ap-northeast-1.maas.aliyuncs.com/api/v1",
    "cn-beijing": "https://llm-1.cn-beijing.maas.aliyuncs.com/api/v1",
    "ap-southeast-1": "https://llm-1.ap-southeast-1.maas.aliyuncs.com/api/v1",
    "us-east-1": "https://llm-1.us-east-1.maas.aliyuncs.com/api/v1",
    "cn-hongkong": "https://llm-1.cn-hongkong.maas.aliyuncs.com/api/v1",
    "eu-central-1": "https://llm-1.eu-central-1.maas.aliyuncs.com/api/v1",
    "ap-northeast-1": "https://llm-1.ap-northeast-1.maas.aliyuncs.com/api/v1",
}


def test_regions():
    for region, url in REGIONS.items():
        endpoint = Endpoint.resolve(api_key=KEY, region=region, workspace="llm-1")
        assert (endpoint.base_url, endpoint.is_vendor) == (url, True)
        again = Endpoint.resolve(api_key=KEY, region=region_of(url), workspace="llm-1")
        assert again == endpoint


def test_other_hosts_are_in_no_region():
    assert region_of("http://127.0.0.1:8000/api/v1") is None
    assert region_of("https://maas.aliyuncs.com/api/v1") is None


def test_a_bad_address_of_the_environment_names_its_variable(monkeypatch):
    monkeypatch.setenv("DASHSCOPE_HTTP_BASE_URL", "proxy.example")
    with pytest.raises(ConfigurationError, match=r"bad DASHSCOPE_HTTP_BASE_URL 'proxy\.example'"):
        Endpoint.resolve(api_key=KEY)


def test_a_region_of_workspace_hosts_asks_for_a_workspace():
    for region in ("tokyo", "cn-beijing"):
        with pytest.raises(ConfigurationError, match="pass workspace"):
            Endpoint.resolve(api_key=KEY, region=region)


def test_an_unknown_region_is_refused_and_the_known_ones_named():
    with pytest.raises(ConfigurationError, match=r"'mars'.*beijing.*tokyo"):
        Endpoint.resolve(api_key=KEY, region="mars")


@pytest.mark.parametrize("workspace", ["evil.example/", "a@b", "a?b", "a#b", "a b", "a:1"])
def test_a_workspace_that_would_send_the_key_to_another_host_is_refused(workspace):
    with pytest.raises(ConfigurationError):
        Endpoint.resolve(api_key=KEY, region="tokyo", workspace=workspace)


def test_the_workspace_may_come_from_the_environment(monkeypatch):
    monkeypatch.setenv("DASHSCOPE_WORKSPACE", " ws_1 ")
    assert Endpoint.resolve(api_key=KEY).workspace == "ws_1"
    assert Endpoint.resolve(api_key=KEY, workspace="ws_2").workspace == "ws_2"


@pytest.mark.parametrize("workspace", ["ws\n1", "ws_é"])
def test_a_workspace_that_cannot_stand_in_a_header_is_refused(workspace):
    with pytest.raises(ConfigurationError, match="workspace"):
        Endpoint.resolve(api_key=KEY, workspace=workspace)


@pytest.mark.parametrize("value", [f"Bearer {KEY}\n", "é", "a\r\nX-Other: b"])
def test_a_header_that_cannot_be_sent_is_refused_without_being_shown(value):
    with pytest.raises(ConfigurationError, match="X-Custom") as caught:
        ClientOptions(default_headers={"X-Custom": value})
    assert KEY not in str(caught.value)


BAD_ADDRESSES = [
    ("dashscope.aliyuncs.com/api/v1", "http:// or https://"),
    ("ftp://host/api/v1", "http:// or https://"),
    ("https:///api/v1", "a host"),
    ("  ", "http:// or https://"),
    ("https://host", r"native protocol.*Write https://host/api/v1\."),
    ("https://host/", "native protocol"),
    ("https://host/compatible-mode/v1", "native protocol"),
    ("https://user:word@host/api/v1", "user name"),
    ("https://host/api/v1?x=1", "query"),
    ("https://host/api/v1#x", "fragment"),
    ("https://host:port/api/v1", "port"),
    ("https://host\n/api/v1", "bad base_url"),
    ("https://[::1/api/v1", "bad base_url"),
    ("https://host:70000/api/v1", "host or port"),
    (f"https://{'x' * 70}.example/api/v1", "host or port"),
    ("https://host/api/v1/services/aigc", r"/services/.*Write https://host/api/v1\."),
]


def test_a_bad_address_is_refused_with_the_reason_and_an_example():
    refusals = [(url, refusal(url), reason) for url, reason in BAD_ADDRESSES]
    assert [refused for refused in refusals if not re.search(refused[2], refused[1])] == []
    example = r"Write https://host/api/v1\.|http://127\.0\.0\.1:8000/api/v1"
    assert [refused for refused in refusals if not re.search(example, refused[1])] == []


def refusal(url):
    """Return what is said of an address, nothing if it may be called."""
    try:
        Endpoint.resolve(base_url=url, api_key=KEY)
    except ConfigurationError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    "url",
    [
        f"https://user:{KEY}@host/api/v1",
        f"https://{KEY}@host:port/api/v1",
        f"https://host/api/v1?api_key={KEY}",
        f"https://host/api/v1#{KEY}",
    ],
)
def test_a_key_in_a_refused_address_is_not_shown(url):
    with pytest.raises(ConfigurationError) as caught:
        Endpoint.resolve(base_url=url)
    assert KEY not in str(caught.value)


def test_a_header_that_is_none_is_refused():
    with pytest.raises(ConfigurationError, match="name of an HTTP header"):
        ClientOptions(default_headers={"X Custom": "v"})


def test_an_address_of_numbers_is_an_address():
    url = "https://[2001:db8::1]:8443/api/v1"
    assert Endpoint.resolve(base_url=url, api_key=KEY).base_url == url


def test_a_function_that_gives_no_text_is_no_key():
    with pytest.raises(ConfigurationError, match="api_key must be or return text, not int"):
        Endpoint.resolve(base_url=LOCAL, api_key=lambda: 7).key()


def test_a_pickle_holds_no_key_and_a_copy_has_it(monkeypatch):
    endpoint = Endpoint.resolve(base_url=LOCAL, api_key=KEY)
    assert copy.deepcopy(endpoint).key() == KEY
    monkeypatch.setenv("DASHSCOPE_API_KEY", "sk-there")
    assert pickle.loads(pickle.dumps(endpoint)).key() == "sk-there"


def test_a_last_slash_of_the_address_counts_for_nothing():
    endpoint = Endpoint.resolve(base_url=f"{LOCAL}/")
    assert endpoint.url("services/x") == f"{LOCAL}/services/x"


def test_http_to_another_machine_warns():
    with pytest.warns(DashScopeWarning, match=r"example\.com unencrypted"):
        Endpoint.resolve(base_url="http://example.com/api/v1", api_key=KEY)


def test_https_to_another_machine_does_not_warn():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        endpoint = Endpoint.resolve(base_url="https://example.com/api/v1", api_key=KEY)
    assert not endpoint.is_vendor


def test_a_host_that_only_ends_like_the_vendors_is_not_the_vendors():
    url = "https://dashscope-aliyuncs.com/api/v1"
    assert not Endpoint.resolve(base_url=url, api_key=KEY).is_vendor
