"""``dashscope-oss models``: the registry, for people and for programs."""

import json

from dashscope_oss.registry.catalog import SEED_IDS
from dashscope_oss.registry.lookup import all_models


def test_every_model_is_listed_in_a_table(command):
    """One line a model, columns lined up."""
    status, out, _ = command("models")

    lines = out.splitlines()
    assert status == 0
    assert len(lines) == 1 + len(all_models())
    assert lines[0].split()[:3] == ["MODEL", "STATUS", "INPUT"]
    assert {line.index("retired 2025-07-02") for line in lines[1:11]} == {lines[0].index("STATUS")}


def test_models_are_listed_as_json_and_by_status(command):
    _, out, _ = command("models", "--json", "--status", "hosted")

    models = json.loads(out)
    assert {model["status"] for model in models} == {"hosted"}
    assert "deepseek-v4-pro" in {model["id"] for model in models}


def test_one_model_is_shown_with_the_decisions_about_it(command):
    """Everything about a model, readable and as JSON, contradictions of its page decided."""
    for id in SEED_IDS:
        _, shown, _ = command("models", id)
        _, as_json, _ = command("models", id, "--json")

        model = json.loads(as_json)
        assert model["id"] == id
        assert model["retired_on"] == "2025-07-02"
        assert model["notes"]
        assert all(note in shown for note in model["notes"])


def test_a_near_miss_of_an_id_gets_a_hint(command):
    """The status says wrong use."""
    status, _, complaint = command("models", "ziya")

    assert status == 2
    assert "Did you mean ziya-llama-13b-v1?" in complaint
    assert "Did you mean ziya-llama-13b-v1 or" in command("models", "ziya-llama13b-v1")[2]


def test_the_sources_of_one_model_are_named_with_their_addresses(command):
    """A record says `market`, the listing what that is and when it was read."""
    _, shown, _ = command("models", "kimi-k3")

    (market,) = (line for line in shown.splitlines() if line.startswith("market: "))
    assert "https://github.com/modelstudioai/skills" in market
    assert market.endswith("read on 2026-11-29")
    assert "page-llama" not in shown


def test_a_disputed_figure_is_marked_in_the_table(command):
    _, out, _ = command("models", "--status", "hosted")

    row = next(line for line in out.splitlines() if line.startswith("kimi-k3 "))
    assert row.split()[3:7] == ["text+image", "~1,000,000", "?", "~1,048,576"]
