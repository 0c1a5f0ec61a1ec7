"""The users' benchmark runs through; what it measures is not judged here."""

import subprocess
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent.parent / "benchmarks"
FLOORS = ("httpx2", "httpx2-aiohttp", "langchain-and-httpx2", "llama-index-and-httpx2")
CLIENTS = (*FLOORS, "ChatDashScopeOSS", "DashScopeOSS")
SCENARIOS = ("invoke", "astream", "many", "threads")


def compare(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(FOLDER / "compare.py"), "--quick", "--rounds", "1", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def cells(tables: str, scenario: str, client: str) -> dict[str, str]:
    """The row of a client in the table of a scenario, by column."""
    part = tables.partition(f"(`{scenario}`)")[2].partition("###")[0]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in part.splitlines()]
    (head,) = (row for row in rows if row[:1] == ["client"])
    (own,) = (row for row in rows if row[:1] == [client])
    return dict(zip(head, own, strict=True))


@pytest.fixture
def script(monkeypatch):
    """The scripts of the folder, by name."""
    monkeypatch.syspath_prepend(str(FOLDER))
    return import_module


def test_a_small_round_gives_a_table(tmp_path):
    """Both classes make every kind of call over TLS; the tables are saved between the markers."""
    page = tmp_path / "page.md"
    page.write_text("top\n<!-- results -->\nold\n<!-- end of results -->\nend\n", "utf-8")

    done = compare("--clients", *CLIENTS, "--scenarios", *SCENARIOS, "--save", str(page))

    assert (done.returncode, "failed" in done.stdout) == (0, False), done.stderr
    for scenario in SCENARIOS:
        assert float(cells(done.stdout, scenario, "ChatDashScopeOSS")["of the limit"]) > 0
        assert float(cells(done.stdout, scenario, "DashScopeOSS")["wall s"]) >= 0
    for ours in ("ChatDashScopeOSS", "DashScopeOSS"):
        assert cells(done.stdout, "invoke", ours)["opened"] == "1"
        assert 1 < int(cells(done.stdout, "many", ours)["most"]) <= 100
    begin, middle, end = page.read_text("utf-8").partition(done.stdout.strip())
    assert (begin, bool(middle)) == ("top\n<!-- results -->\n", True)
    assert end == "\n\n<!-- end of results -->\nend\n"


@pytest.mark.skipif(find_spec("langchain_openai") is not None, reason="the peer is installed")
def test_a_peer_that_is_not_installed_is_named_and_left_out():
    done = compare("--plain", "--clients", "httpx2", "ChatOpenAI", "--scenarios", "stream")

    assert (done.returncode, "ChatOpenAI" in done.stdout) == (0, False)
    assert "ChatOpenAI is left out: langchain-openai is not installed" in done.stderr


def test_ratios_are_taken_inside_a_round(script):
    """The median of each round's ratio, and not the ratio of the medians."""
    costs = {
        "langchain-and-httpx2": (20, 200, 20),
        "ChatDashScopeOSS": (40, 200, 30),
        "ChatOpenAI": (80, 300, 40),
    }
    rows = [
        script("compare").Row(scenario="invoke", client=client, round=number, cpu=cpu)
        for client, cpus in costs.items()
        for number, cpu in enumerate(cpus)
    ]

    tables = script("compare").tables(rows)

    assert cells(tables, "invoke", "ChatDashScopeOSS")["of the limit"] == "1.50"
    assert cells(tables, "invoke", "ChatOpenAI")["ours of it"] == "0.67"
    assert cells(tables, "invoke", "ChatOpenAI")["CPU us"] == "80 (40-300)"


def test_a_larger_crowd_is_compared_with_a_smaller_one(script):
    """By the cost of a call in the same round."""
    rows = [
        script("compare").Row(scenario=scenario, client="httpx2", round=0, cpu=cpu)
        for scenario, cpu in (("many", 100), ("crowd", 110))
    ]

    assert "CPU of a call, of that in `many`: httpx2 1.10." in script("compare").tables(rows)


def test_a_client_may_have_packages_of_its_own(script, monkeypatch, tmp_path):
    """OpenAILike takes no openai 3: what it needs stands in a folder of the environment."""
    installed = tmp_path / "openai2" / "llama_index_llms_openai_like-0.8.1.dist-info"
    installed.mkdir(parents=True)
    (installed / "METADATA").write_text("Name: llama-index-llms-openai-like\nVersion: 0.8.1\n")
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    kind = script("clients").CLIENTS["OpenAILike"]

    assert script("compare").version(kind) == "0.8.1"
    assert script("compare").packages_first(kind)["PYTHONPATH"].startswith(str(installed.parent))


def test_a_failure_stands_in_the_table(script):
    row = script("compare").Row(scenario="invoke", client="ChatTongyi", round=0, failed="no")

    tables = script("compare").tables([row])

    assert cells(tables, "invoke", "ChatTongyi")["CPU us"] == "failed: no"


@pytest.mark.parametrize("came", [["通义千问"], ["通义千问通义千问"], ["通义千问", "通义千", ""]])
def test_a_stream_that_is_not_whole_is_a_failure(script, came):
    """Pieces that are missing, glued together or cut have no cost."""
    with pytest.raises(ValueError, match="of a stream of 2 pieces"):
        script("worker").check(came, 2)


def test_a_wrong_answer_is_a_failure(script):
    with pytest.raises(ValueError, match="a wrong answer: 'Hang'"):
        script("worker").check("Hang", 1)


def test_a_small_batch_is_measured():
    """CPU a row beside the client's own, and memory; over so few rows both are chance."""
    command = [sys.executable, str(FOLDER / "batch.py"), "200"]

    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)

    assert done.stdout.startswith("200 rows in ")
    assert "the client alone" in done.stdout
    assert "memory: " in done.stdout
