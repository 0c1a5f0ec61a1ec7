"""A batch that is killed at any moment loses nothing and does nothing twice."""

import json
import random
import signal
import subprocess
import sys
from collections import Counter

from dashscope_oss.gateway import Answer

ROWS = 1000
KILLS = 20
CONCURRENCY = 8
SEED = 20261129


def test_killed_twenty_times_the_result_is_that_of_one_run(gateway, tmp_path):
    """No row is missing or there twice, and only what was under way is asked again."""
    calls, process, chance = Counter(), None, random.Random(SEED)
    # So far apart that no process is meant to be killed twice.
    kill_at = sorted(chance.sample(range(0, ROWS, 3 * CONCURRENCY), KILLS))

    def entry(request):
        question = request.messages[-1].content
        calls[question] += 1
        if kill_at and calls.total() >= kill_at[0]:
            kill_at.pop(0)
            process.kill()
        return Answer(f"answer to {question}")

    engine = gateway(entry)
    source, output = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text("".join(json.dumps({"prompt": f"{n}"}) + "\n" for n in range(ROWS)))
    command = [sys.executable, "-m", "dashscope_oss", "batch", str(source), str(output)]
    command += ["--model", "llama3-8b-instruct", "--base-url", engine.base_url]
    command += ["--concurrency", str(CONCURRENCY)]

    statuses = []
    while not statuses or statuses[-1]:
        assert not output.exists()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        statuses.append(process.wait(timeout=120))

    rows = [json.loads(line) for line in output.read_text().splitlines()]
    assert [row["prompt"] for row in rows] == [str(n) for n in range(ROWS)]
    assert all(row["answer"] == f"answer to {row['prompt']}" for row in rows)
    assert statuses == [-signal.SIGKILL] * KILLS + [0]
    assert calls.total() - ROWS <= KILLS * CONCURRENCY
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "in.jsonl",
        "out.jsonl",
        "out.jsonl.checkpoint",
    ]
