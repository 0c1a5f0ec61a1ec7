"""Configuration files of the documentation load, and its recipes are those of the registry."""

import re

from dashscope_oss import find_model
from dashscope_oss.gateway import Gateway, serve_in_thread
from dashscope_oss.gateway.config import build_load_balancer, parse_config
from dashscope_oss.registry.catalog import SEED_IDS
from tests.docs.pages import GUIDES, blocks, name_of, read
from tests.gateway.fake_upstream import FakeUpstream, streamed

GUIDE = "docs/gateway/serving.md"
KEYS = {"VLLM_KEY": "sk-1", "GPU_KEY": "sk-2"}


def test_every_configuration_file_loads(subtests):
    """Each is served as it stands, except for the servers behind it."""
    for page in GUIDES:
        for text in blocks(page, "toml"):
            with subtests.test(name_of(page), text=text):
                balancer = build_load_balancer(parse_config(text, GUIDE), KEYS)
                assert balancer.models()
                assert all(balancer.weights_name(model_info) for model_info in balancer.models())


def test_the_families_are_the_registrys():
    """Template and stop texts of each seed model; the engine's limit covers its window."""
    rows = re.findall(
        r"^\| `([\w.-]+)` \|[^|]*\| (\d+) \| `(\w+)` \|(.*)\|$", read(GUIDE), re.MULTILINE
    )

    assert sorted(row[0] for row in rows) == sorted(SEED_IDS)
    for id, limit, template, stop_cell in rows:
        model_info = find_model(id)
        texts = [text.replace("\\|", "|") for text in re.findall("`([^`]+)`", stop_cell)]
        stops = [text.replace("\\n", "\n") for text in texts]
        assert (model_info.template.name, list(model_info.template.stop)) == (template, stops)
        assert int(limit) >= model_info.context_window


def test_the_walk_through_ends_with_an_answer():
    """Steps 4 and 5, as they stand, with another server in vLLM's place."""
    end = {"choices": [{"index": 0, "text": "", "finish_reason": "stop"}]}
    server = FakeUpstream(
        streamed({"choices": [{"index": 0, "text": "西安", "finish_reason": None}]}, end)
    )
    text = blocks(GUIDE, "toml")[0].replace("http://127.0.0.1:9000/v1", server.url)
    gateway = serve_in_thread(Gateway(build_load_balancer(parse_config(text, GUIDE), {})))
    code = blocks(GUIDE, "python")[0]

    with gateway as url:
        names = {}
        exec(code.replace("http://127.0.0.1:8000/api/v1", url), names)

    assert names["message"].content == "西安"
    assert names["message"].response_metadata["served_by"] == "ziya-llama-13b"
    assert server.calls[0][1]["prompt"] == "<human>:帮我写一份去西安的旅游计划\n<bot>:"
    assert server.calls[0][1]["stop"] == ["</s>", "<human>"]
