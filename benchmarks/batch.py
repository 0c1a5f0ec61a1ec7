"""What a batch costs beside the calls themselves: CPU a row, and memory over a million rows.

Run by hand: ``make bench-batch``, or ``python benchmarks/batch.py [ROWS]``; a million rows take
some half an hour. The scripted gateway, in a process of its own, answers at once. The command
reads a JSONL file, calls, records each answer in the checkpoint, and writes the output; beside it
the same client makes the same calls with nothing around them, before and after. CPU is that of the
process, so waiting and the gateway do not count. Allowed: 1.3 of the client's own CPU, and no more
memory at the end than after the first 10,000 rows, but for 20 MB.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

from dashscope_oss import AsyncClient, ClientOptions, Endpoint, Message, chat_request, find_model
from dashscope_oss.batch.jobs.local_job import JobRun
from dashscope_oss.batch.report.progress import Progress
from dashscope_oss.batch.report.tally import Tally
from dashscope_oss.cli.choices.batch import build_job
from dashscope_oss.cli.command import _parse

MODEL = "llama3-8b-instruct"
CONCURRENCY = 64
ROWS = 1_000_000
CALLS = 20_000
"""Calls of the client alone, or as many as there are rows."""
FIRST_ROWS = 10_000
ALLOWED_RATIO, ALLOWED_MB = 1.3, 20
SERVER = """
from dashscope_oss.gateway import Answer, Gateway, ScriptedEngine, serve
from dashscope_oss.messages import Usage

answer = Answer("good", usage=Usage(input_tokens=40, output_tokens=1, total_tokens=41))
serve(Gateway(ScriptedEngine([answer])), host="127.0.0.1", port=0,
    on_ready=lambda url: print(url, flush=True))
"""


@contextmanager
def gateway() -> Iterator[str]:
    """Start the gateway; give its address."""
    command = [sys.executable, "-c", SERVER]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout  # noqa: S101 - a pipe
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


def prompt(number: int) -> str:
    """Return a review to be labelled."""
    return f"评论 {number}: 房间很干净, 早餐一般, 服务员态度很好。是好评还是差评?"


def write_rows(path: Path, count: int) -> None:
    """Write the input."""
    with path.open("w", encoding="utf-8") as file:
        for number in range(count):
            row = {"id": number, "prompt": prompt(number)}
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


def memory() -> float:
    """Return the process's memory in MB."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * 4096 / 2**20


async def calls_alone(base_url: str, calls: int) -> float:
    """Return the CPU of a call in microseconds, with nothing around the client."""
    model_info = find_model(MODEL)
    requests = (chat_request(model_info, [Message("user", prompt(n))]) for n in range(calls))
    options = ClientOptions(max_connections=CONCURRENCY)
    async with AsyncClient(Endpoint.resolve(base_url=base_url), options) as client:

        async def work() -> None:
            for request in requests:
                await client.send(request)

        before = time.process_time()
        await asyncio.gather(*(work() for _ in range(CONCURRENCY)))
        return (time.process_time() - before) / calls * 1e6


@dataclass
class Memory:
    """A display that notes the memory after so many rows."""

    samples: list[tuple[int, float]] = field(default_factory=list)

    def update(self, tally: Tally) -> None:
        """Note it."""
        self.samples.append((tally.done, memory()))
        if sys.stderr.isatty():
            print(f"\r{tally.done:,} rows, {tally.rate:,.0f} a second ", end="", file=sys.stderr)

    def say(self, text: str) -> None:
        """Show a sentence; there is none in a run without faults."""
        print(text, file=sys.stderr)

    def close(self, tally: Tally) -> None:
        """Note it a last time."""
        self.update(tally)

    def most(self, first: int, last: float) -> float:
        """Return the most memory that was noted while so many rows were done."""
        return max((mb for done, mb in self.samples if first <= done <= last), default=0.0)


async def batch(folder: Path, base_url: str, shown: Memory) -> SimpleNamespace:
    """Run the batch; return its CPU in microseconds a row, its time and its size on disk."""
    source, output = folder / "in.jsonl", folder / "out.jsonl"
    line = ["batch", str(source), str(output), "--model", MODEL, "--base-url", base_url]
    job, _ = build_job(_parse([*line, "--concurrency", str(CONCURRENCY)]))
    cpu, wall = time.process_time(), time.monotonic()
    rows = job.reader.count()
    with job.open_checkpoint() as checkpoint:
        job_run = JobRun(job, checkpoint, progress := Progress(rows, display=shown))
        async with progress:
            await job_run.ask()
        asked = time.process_time()
        failures = job_run.write()
    if failures or progress.tally.answered != rows:
        raise SystemExit(f"{failures} of {rows} rows failed: {progress.tally.error_text}")
    return SimpleNamespace(
        cpu=(time.process_time() - cpu) / rows * 1e6,
        writing=(time.process_time() - asked) / rows * 1e6,
        seconds=time.monotonic() - wall,
        checkpoint=checkpoint.path.stat().st_size / rows,
    )


def main() -> None:
    """Measure and print."""
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else ROWS
    shown = Memory()
    with gateway() as base_url, tempfile.TemporaryDirectory() as folder:
        write_rows(Path(folder) / "in.jsonl", rows)
        before = asyncio.run(calls_alone(base_url, min(rows, CALLS)))
        run = asyncio.run(batch(Path(folder), base_url, shown))
        after = asyncio.run(calls_alone(base_url, min(rows, CALLS)))
    alone = (before + after) / 2
    first, end = shown.most(0, FIRST_ROWS), shown.most(FIRST_ROWS, float("inf"))
    print(f"{rows:,} rows in {run.seconds:,.0f} s, {rows / run.seconds:,.0f} a second")
    print(
        f"CPU a row: {run.cpu:.0f} us, {run.writing:.0f} of them to write the output; the client "
        f"alone {alone:.0f} us a call ({before:.0f} before, {after:.0f} after): "
        f"{run.cpu / alone:.2f}; allowed: {ALLOWED_RATIO}"
    )
    print(
        f"memory: {first:.0f} MB over the first {FIRST_ROWS:,} rows, {end:.0f} MB at most over "
        f"all others: {end - first:+.0f} MB; allowed: {ALLOWED_MB}"
    )
    print(f"the checkpoint has {run.checkpoint:,.0f} bytes a row")
    if run.cpu / alone > ALLOWED_RATIO or end - first > ALLOWED_MB:
        sys.exit(1)


if __name__ == "__main__":
    main()
