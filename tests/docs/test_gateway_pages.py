"""SERVING.md: every configuration file loads, every command parses, the table is the registry's."""

import re
import shlex
from pathlib import Path

import pytest

from dashscope_oss import cli, find_model
from dashscope_oss.gateway import Gateway, build_load_balancer, serve_in_thread
from dashscope_oss.gateway.config import parse_config
from dashscope_oss.registry.catalog import SEED_IDS
from tests.gateway.fake_upstream import Server, streamed

TEXT = (Path(__file__).parents[2] / "SERVING.md").read_text("utf-8")
KEYS = {"VLLM_KEY": "sk-1", "GPU_KEY": "sk-2"}


def blocks(kind):
    return re.findall(rf"^```{kind}\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("text", blocks("toml"))
def test_every_configuration_file_loads(text):
    """Each is served as it stands, but for the servers."""
    config = parse_config(text, "SERVING.md")
    balancer = build_load_balancer(config, KEYS)

    assert balancer.models()
    assert all(balancer.weights_name(model_info) for model_info in balancer.models())


def commands():
    text = "\n".join(blocks("sh")).replace("\\\n", " ") + "\n".join(
        re.findall(r"`([^`\n]+)`", TEXT)
    )
    return re.findall(r"(?m)^(?:oss/bin/)?dashscope-oss (.+)$", text)


@pytest.mark.parametrize("command", commands())
def test_every_command_is_understood(command, monkeypatch):
    """The command exists, and takes these options."""
    words = shlex.split(command.replace("FILE", "gateway.toml"))
    calls = []
    monkeypatch.setattr(f"dashscope_oss.cli.{words[0]}.run", calls.append)

    assert cli.main(words) == 0
    assert len(calls) == 1


def test_the_families_are_the_registrys():
    """Template and stop texts of each seed model; the window is not below what it promises."""
    rows = re.findall(r"^\| `([\w.-]+)` \|[^|]*\| (\d+) \| `(\w+)` \|(.*)\|$", TEXT, re.MULTILINE)

    assert [row[0] for row in rows] == sorted(SEED_IDS, key=[row[0] for row in rows].index)
    for id, window, template, stops in rows:
        model_info = find_model(id)
        told = [s.replace("\\|", "|").replace("\\n", "\n") for s in re.findall("`([^`]+)`", stops)]
        assert (model_info.template.name, list(model_info.template.stop)) == (template, told)
        assert int(window) >= model_info.context_window


def test_the_walk_through_ends_with_an_answer():
    """Steps 4 and 5, as they stand, with another server in vLLM's place."""
    end = {"choices": [{"index": 0, "text": "", "finish_reason": "stop"}]}
    server = Server(
        streamed({"choices": [{"index": 0, "text": "西安", "finish_reason": None}]}, end)
    )
    text = blocks("toml")[0].replace("http://127.0.0.1:9000/v1", server.url)
    gateway = serve_in_thread(Gateway(build_load_balancer(parse_config(text, "SERVING.md"), {})))
    code = blocks("python")[0]

    with gateway as url:
        names = {}
        exec(code.replace("http://127.0.0.1:8000/api/v1", url), names)

    assert names["message"].content == "西安"
    assert names["message"].response_metadata["served_by"] == "ziya-llama-13b"
    assert server.calls[0][1]["prompt"] == "<human>:帮我写一份去西安的旅游计划\n<bot>:"
    assert server.calls[0][1]["stop"] == ["</s>", "<human>"]
