"""The configuration file: what it may hold, what its errors say, and what is served by it."""

import re
import subprocess
import sys

import pytest

from dashscope_oss import (
    Client,
    ConfigurationError,
    Endpoint,
    chat_request,
    completion_request,
    find_model,
)
from dashscope_oss.gateway import Gateway, build_load_balancer, load_config, serve_in_thread
from dashscope_oss.gateway.config import parse_config
from dashscope_oss.messages import Message
from dashscope_oss.prompts.templates import ZIYA
from tests.gateway.fake_upstream import FakeUpstream, short_answer, streamed

ZIYA_ID = "ziya-llama-13b-v1"
UPSTREAM = '[upstreams.a]\nurl = "http://127.0.0.1:9/v1"\n'
MODEL = f'[models."{ZIYA_ID}"]\n'


def served_model(text, id=ZIYA_ID):
    """The record under which a model is served that has ``text`` in its table."""
    config = parse_config(UPSTREAM + f'[models."{id}"]\n' + text, "x.toml")
    return build_load_balancer(config, {}).find_model(id)


MISTAKES = [
    ("[server\n", r"x.toml is not valid TOML: .*line 1"),
    ("[sever]\n", r"\[sever\]: there is no such table. Did you mean server\?"),
    (
        UPSTREAM + 'knd = "vllm"\n' + MODEL,
        r"\[upstreams.a\] knd: there is no such key. Did you mean kind\?",
    ),
    (UPSTREAM + 'kind = "vlm"\n' + MODEL, r"\[upstreams.a\] kind: .*'vllm'"),
    (UPSTREAM + "weight = 0\n" + MODEL, r"\[upstreams.a\] weight: .*greater than 0"),
    (UPSTREAM + 'timeout = "5"\n' + MODEL, r"\[upstreams.a\] timeout: .*number"),
    ('[upstreams.a]\nurl = "gpu:8000"\n' + MODEL, r"\[upstreams.a\] url: bad url 'gpu:8000'"),
    ("[upstreams.a]\n" + MODEL, r"\[upstreams.a\] url: this key is needed"),
    (UPSTREAM + "timeout = inf\n" + MODEL, r"\[upstreams.a\] timeout: .*finite"),
    ("[limits]\nslow_client_seconds = inf\n", r"\[limits\] slow_client_seconds: .*finite"),
    (UPSTREAM + "[models]\nllama3 = 'x'\n", r"\[models\] llama3: it must be a table"),
    (UPSTREAM + MODEL + "upstreams = 'a'\n", r"\] upstreams: it must be a list"),
    (UPSTREAM + MODEL + "[server]\naccess_log = 1\n", r"access_log: it must be true or false"),
    (
        UPSTREAM + "[models.llama3.1-8b]\n",
        r'key\. A name with a dot needs quotes: \[models."llama3.1-8b"\]\.$',
    ),
    (UPSTREAM + "[upstreams.a.heath]\n" + MODEL, r"heath: .*Did you mean health\?$"),
    (UPSTREAM + '[models.""]\n', r"one line of text, and not empty"),
    (UPSTREAM + MODEL + 'name = "a\\r\\nx: y"\n', r"\] name: it must be one line of text"),
    (UPSTREAM + '[upstreams.a.health]\npath = "//b/"\n' + MODEL, r"\] path: .*below url"),
    (UPSTREAM + '[upstreams.a.health]\npath = "http://b/"\n' + MODEL, r"\] path: .*below"),
    ("a = " + "[" * 10_000, r"x.toml is not valid TOML"),
    (UPSTREAM + "zzzzz = 1\n" + MODEL, r"zzzzz: there is no such key\.$"),
    ('[keys.alice]\nhash = "abc"\n', r"\[keys.alice\] hash: it is no hash of a key"),
    (UPSTREAM, r"it names upstreams, but no model"),
    (MODEL, r"it names models, but no server"),
    (
        UPSTREAM + MODEL + 'upstreams = ["b"]\n',
        rf'\[models."{ZIYA_ID}"\] names the upstream \'b\'',
    ),
    (UPSTREAM + MODEL + 'names = {b = "x"}\n', r"names the upstream 'b'"),
    (UPSTREAM + MODEL + 'template = "zia"\n', r"no template 'zia'; there are .*ziya"),
    (UPSTREAM + MODEL + 'like = "ziya"\n', r"no record of a model 'ziya'. Did you mean"),
    (UPSTREAM + MODEL + "max_input = true\n", rf'\[models."{ZIYA_ID}"\] max_input: .*integer'),
    (UPSTREAM + MODEL + "[server]\nport = 70000\n", r"\[server\] port: .*65535"),
    ('[server]\nhosts = ["http://a:8000"]\n', r"\[server.hosts\] 0: .*name alone"),
    (UPSTREAM + MODEL + '[keys.me]\nhash = "sk-x"\n', r"\[keys.me\] hash"),
    (UPSTREAM + MODEL + '[limits.models."x"]\n', r'\[limits.models."x"\]: no such model'),
]


def test_an_error_names_file_table_and_key(subtests):
    """A typing error is found before anything is served."""
    for text, complaint in MISTAKES:
        with subtests.test(text[-60:]), pytest.raises(ConfigurationError, match=complaint):
            parse_config(text, "x.toml")


def test_a_machine_may_have_more_names():
    """Names and addresses, without port."""
    config = parse_config('[server]\nhosts = ["gateway.lan", "10.0.0.7", "fd00::7"]\n', "x.toml")

    assert config.hosts == ["gateway.lan", "10.0.0.7", "fd00::7"]


def test_a_key_is_read_from_the_environment_only():
    """The file names a variable: an error if it is not set; the key itself shows nowhere."""
    text = UPSTREAM + 'api_key_env = "GPU_KEY"\n' + MODEL
    config = parse_config(text, "x.toml")

    with pytest.raises(ConfigurationError, match=r"\[upstreams.a\] api_key_env: .*GPU_KEY"):
        build_load_balancer(config, {})
    assert "sk-secret" not in repr(
        build_load_balancer(config, {"GPU_KEY": "sk-secret"}).upstreams()
    )


def test_a_key_in_the_address_is_refused():
    """An address is shown on the status page."""
    text = '[upstreams.a]\nurl = "http://me:sk-secret@gpu/v1"\n' + MODEL

    with pytest.raises(ConfigurationError) as caught:
        parse_config(text, "x.toml")

    assert "sk-secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "echo", "usage"),
    [
        ("", "spaced", False),
        ("modern = true", "none", True),
        ("echo = false", "none", False),
        ("usage = true", "spaced", True),
        ("modern = true\necho = true", "spaced", True),
        ("modern = true\nusage = false", "none", False),
    ],
)
def test_habits_of_early_models_can_be_switched_off(text, echo, usage):
    """Echo and missing usage, one by one or both."""
    model_info = served_model(text)

    assert (model_info.echo, model_info.reports_usage) == (echo, usage)


def test_a_model_of_ones_own_is_like_a_known_one_but_for_what_the_file_says():
    """Template, inputs and limits."""
    text = 'like = "llama3-8b-instruct"\ntemplate = "ziya"\ncontext_window = 500\nmax_output = 7'
    inputs = 'inputs = ["prompt"]\nmodalities = ["text", "image"]'
    model_info = served_model(f"{text}\n{inputs}", id="mine")

    assert (model_info.id, model_info.template, model_info.takes_messages) == ("mine", ZIYA, False)
    assert (model_info.context_window, model_info.max_output) == (500, 7)
    assert model_info.modalities == ("text", "image")
    assert model_info.max_input == find_model("llama3-8b-instruct").max_input


@pytest.mark.parametrize(("text", "tools"), [("", True), ("tools = false", False)])
def test_the_server_decides_about_tools_unless_the_file_does(text, tools):
    """The hosted model of this id had none."""
    assert served_model(text).tools is tools


def test_an_id_that_no_registry_has_is_served():
    """The server decides what such a model can."""
    model_info = served_model("", id="brand-new")

    assert (model_info.takes_messages, model_info.tools) == (True, True)


def test_a_template_is_chosen_by_its_name():
    """One for each family."""
    for name in ("ziya", "belle", "billa", "plain", "baichuan2", "llama2", "llama3"):
        assert served_model(f'template = "{name}"').template.name == name


def test_each_model_goes_to_its_upstreams_under_their_name_for_it():
    """Two servers, one model on both by different names, one on the second alone."""
    first, second = (FakeUpstream(streamed(*short_answer(text))) for text in "ab")
    config = parse_config(
        f'''
        [upstreams.one]
        url = "{first.url}"
        [upstreams.two]
        url = "{second.url}"
        [models."llama3-8b-instruct"]
        name = "llama3"
        names = {{ two = "llama3:8b" }}
        [models."llama2-7b-chat-v2"]
        upstreams = ["two"]
        api = "completions"
        ''',
        "x.toml",
    )
    gateway = serve_in_thread(Gateway(build_load_balancer(config, {})))
    with gateway as url, Client(Endpoint.resolve(base_url=url)) as client:
        for id in ("llama3-8b-instruct", "llama3-8b-instruct", "llama2-7b-chat-v2"):
            client.send(chat_request(find_model(id), [Message("user", "hi")]))

    assert [body["model"] for _, body, _ in first.calls] == ["llama3"]
    assert [(path, body["model"]) for path, body, _ in second.calls] == [
        ("/v1/chat/completions", "llama3:8b"),
        ("/v1/completions", "llama2-7b-chat-v2"),
    ]


@pytest.mark.parametrize("problem", ["missing", "a folder", "not UTF-8"])
def test_a_file_that_cannot_be_read_is_named(tmp_path, problem):
    """What is wrong with it, and where it was looked for."""
    file = tmp_path / "x.toml"
    if problem == "a folder":
        file.mkdir()
    elif problem == "not UTF-8":
        file.write_bytes(b"\xff\xfe")

    with pytest.raises(
        ConfigurationError, match=re.escape(f"cannot read the configuration file {file}: ")
    ):
        load_config(file)


COMMAND = [sys.executable, "-m", "dashscope_oss", "serve", "--config"]


def test_serve_takes_the_file(tmp_path):
    """Models, keys and the port from the file; an option wins over it."""
    server = FakeUpstream(streamed(*short_answer("from upstream")))
    file = tmp_path / "gateway.toml"
    file.write_text(
        f'[server]\nport = 9\n[upstreams.a]\nurl = "{server.url}"\n{MODEL}modern = true'
    )
    with subprocess.Popen([*COMMAND, str(file), "--port", "0"], stdout=subprocess.PIPE) as process:
        try:
            url = process.stdout.readline().decode().split()[-1]
            with Client(Endpoint.resolve(base_url=url)) as client:
                reply = client.send(completion_request(find_model(ZIYA_ID), "<human>:hi\n<bot>:"))
        finally:
            process.terminate()

    assert reply.text == "from upstream"


def test_a_file_with_upstreams_and_an_engine_contradict_each_other(tmp_path):
    """The file says what answers: --engine beside it is an error, not a guess."""
    file = tmp_path / "gateway.toml"
    file.write_text(UPSTREAM + MODEL)

    done = subprocess.run(
        [*COMMAND, str(file), "--engine", "scripted"], capture_output=True, text=True, check=False
    )

    assert (done.returncode, "leave --engine out" in done.stderr) == (2, True)


def test_a_file_with_the_mark_of_windows_editors_is_read(tmp_path):
    """Some write a byte order mark before UTF-8."""
    file = tmp_path / "gateway.toml"
    file.write_text("[server]\nport = 7\n", encoding="utf-8-sig")

    assert load_config(file).server.port == 7
