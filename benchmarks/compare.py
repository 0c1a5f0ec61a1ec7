"""Compare what this package costs with what its peers cost, on your machine.

No account and no network are needed: an emulated service answers on 127.0.0.1. README.md beside
this file says what is measured and how to read it.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, Self

import trustme
from clients import CLIENTS

HERE = Path(__file__).parent
BEGIN, END = "<!-- results -->", "<!-- end of results -->"
OURS = {"langchain-alone": "ChatDashScopeOSS", "llama-index-alone": "DashScopeOSS"}
BELOW = ("aiohttp", "dashscope", "httpcore", "openai", "pydantic", "requests")
FOREIGN = ("DASHSCOPE_", "OPENAI_", "LANGCHAIN_", "LANGSMITH_")
COLUMNS = ("client", "CPU us", "of the limit", "ours of it", "wall s", "opened", "most", "MB")


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """What every client does ``count`` times; times in seconds.

    ``http`` is the raw client of the limit, ``rounds`` the most that are worth their time.
    """

    title: str
    do: str
    count: int
    pieces: int = 1
    latency: float = 0.0
    pause: float = 0.0
    rounds: int = 99
    http: str = "httpx"

    def tenth(self) -> Scenario:
        """Return a smaller one."""
        count, pieces = max(1, self.count // 10), max(1, self.pieces // 10)
        return replace(self, count=count, pieces=pieces)


CALLS = Scenario(title="Calls one after the other", do="invoke", count=200)
BURST = Scenario(title="A stream of 1,000 pieces, sent at once", do="stream", count=5, pieces=1000)
PACED = replace(BURST, title="A stream of 500 pieces, 2 ms apart", count=1, pieces=500, pause=0.002)
CROWD = Scenario(
    title="1,000 async calls at once, answered after 50 ms", do="many", count=1000, latency=0.05
)
SCENARIOS = {
    "invoke": CALLS,
    "ainvoke": replace(CALLS, title=f"{CALLS.title}, async", do="ainvoke"),
    "stream": BURST,
    "astream": replace(BURST, title=f"{BURST.title}, async", do="astream"),
    "paced": PACED,
    "apaced": replace(PACED, title=f"{PACED.title}, async", do="astream"),
    "many": replace(CROWD, http="httpx-stack", rounds=2),
    "threads": replace(CROWD, title="640 calls from 64 threads", do="threads", count=640, rounds=3),
    "connections": replace(CALLS, title="1,000 calls one after the other", count=1000, rounds=1),
}


@dataclass(frozen=True, kw_only=True)
class Row:
    """One measurement: CPU in us a call or piece, wall in seconds, connections, memory in MB."""

    scenario: str
    client: str
    round: int
    cpu: float = 0.0
    wall: float = 0.0
    memory: float | None = None
    opened: int = 0
    most: int = 0
    failed: str = ""


class Process:
    """A script beside this one, which answers lines of JSON until it is closed."""

    def __init__(self, *command: str, cores: Collection[int], env: Mapping[str, str]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, *command],
            cwd=HERE,
            env=env,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        if sys.platform == "linux":
            os.sched_setaffinity(self.process.pid, cores)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()

    def said(self) -> dict[str, Any]:
        """Return the next line."""
        assert self.process.stdout  # noqa: S101 - a pipe
        ended = '{"failed": "its process ended"}'
        found: dict[str, Any] = json.loads(self.process.stdout.readline() or ended)
        return found

    def ask(self, **values: object) -> dict[str, Any]:
        """Send a line and return the answer."""
        assert self.process.stdin  # noqa: S101 - a pipe
        try:
            print(json.dumps(values), file=self.process.stdin, flush=True)
        except BrokenPipeError:
            return {"failed": "its process ended"}
        return self.said()


class Bench(ExitStack):
    """The service, and a worker for each client, on another core than the service's."""

    def __init__(self, names: Collection[str], folder: Path, *, tls: bool) -> None:
        super().__init__()
        env, certificate = trusting(folder)
        cores = sorted(os.sched_getaffinity(0)) if sys.platform == "linux" else [0]
        command = ["service.py", *([certificate] if tls else [])]
        self.service = self.enter_context(Process(*command, cores=cores[-1:], env=env))
        address = f"http{'s' if tls else ''}://127.0.0.1:{self.service.said()['port']}"
        self.workers = {
            name: self.enter_context(
                Process("worker.py", name, address, cores=cores[:-1] or cores, env=env)
            )
            for name in names
        }
        for name, worker in list(self.workers.items()):
            if failed := worker.said().get("failed"):
                say(f"{name} did not start: {failed}")
                del self.workers[name]

    def measure(self, row: Row, scenario: Scenario) -> Row:
        """Let one client do one scenario once."""
        self.service.ask(latency=scenario.latency, pieces=scenario.pieces, pause=scenario.pause)
        worker = self.workers[row.client]
        found = worker.ask(do=scenario.do, count=scenario.count, pieces=scenario.pieces)
        counts = self.service.ask()
        if "failed" in found:
            failed = " ".join(found["failed"].replace("|", "/").split())
            say(f"{row.client}, {row.scenario}: {failed}")
            return replace(row, failed=failed)
        found["cpu"] *= 1e6 / (scenario.count * scenario.pieces)
        return replace(row, **found, opened=counts["opened"], most=counts["most"])


def trusting(folder: Path) -> tuple[dict[str, str], str]:
    """Return an environment that trusts a certificate made in ``folder``, and the certificate.

    It has no proxies and no settings of the clients.
    """
    authority, certificate = trustme.CA(), str(folder / "service.pem")
    known = str(folder / "authority.pem")
    authority.cert_pem.write_to_path(known)
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(certificate)
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(FOREIGN) and not name.lower().endswith("_proxy")
    }
    return kept | {"SSL_CERT_FILE": known, "REQUESTS_CA_BUNDLE": known}, certificate


def run(bench: Bench, keys: Collection[str], rounds: int, *, quick: bool) -> Iterator[Row]:
    """Go from round to scenario to client, so that what the machine does besides falls on all."""
    failed = set()
    for number in range(rounds):
        for key in keys:
            scenario = SCENARIOS[key].tenth() if quick else SCENARIOS[key]
            for name in takers(bench.workers, scenario) if number < scenario.rounds else ():
                if (key, name) not in failed:
                    row = bench.measure(Row(scenario=key, client=name, round=number), scenario)
                    failed |= {(key, name)} if row.failed else set()
                    yield row
        say(f"round {number + 1} of {rounds} done")


def takers(names: Collection[str], scenario: Scenario) -> list[str]:
    """Return who takes part: the stack of httpx clients is for one scenario only."""
    return [name for name in names if name != "httpx-stack" or name == scenario.http]


def tables(rows: list[Row]) -> str:
    """Return a table in Markdown for each scenario."""
    found = []
    for key in dict.fromkeys(row.scenario for row in rows):
        some = [row for row in rows if row.scenario == key]
        found += ["", f"### {SCENARIOS[key].title} (`{key}`)", "", line(COLUMNS)]
        found.append(line(["---"] + ["---:"] * (len(COLUMNS) - 1)))
        found += [summary(name, some) for name in dict.fromkeys(row.client for row in some)]
    return "\n".join(found)


def summary(name: str, rows: list[Row]) -> str:
    """Return the line of one client, medians over the rounds."""
    own = [row for row in rows if row.client == name]
    if failed := own[-1].failed:
        return line([name, f"failed: {failed}"] + [""] * (len(COLUMNS) - 2))

    def middle(of: Callable[[Row], float]) -> float:
        return median(map(of, own))

    cpu, floor = costs(rows, name), CLIENTS[name].floor
    http, alone = costs(rows, SCENARIOS[own[0].scenario].http), costs(rows, floor)
    limit = {number: http[number] + alone[number] for number in http if number in alone}
    ours = costs(rows, OURS.get(floor, "")) if OURS.get(floor) != name else {}
    memory = [row.memory for row in own if row.memory is not None]
    return line(
        [
            name,
            f"{middle(lambda row: row.cpu):.0f} ({min(cpu.values()):.0f}-{max(cpu.values()):.0f})",
            ratio(cpu, limit),
            ratio(ours, cpu),
            f"{middle(lambda row: row.wall):.2f}",
            f"{middle(lambda row: row.opened):.0f}",
            f"{middle(lambda row: row.most):.0f}",
            f"{max(memory):.0f}" if memory else "",
        ]
    )


def costs(rows: list[Row], name: str) -> dict[int, float]:
    """Return the CPU of a client by round."""
    return {row.round: row.cpu for row in rows if row.client == name and not row.failed}


def ratio(over: Mapping[int, float], under: Mapping[int, float]) -> str:
    """Return the median of the ratios inside each round, or nothing if there is no round."""
    found = [over[number] / under[number] for number in over if number in under]
    return f"{median(found):.2f}" if found else ""


def line(cells: Collection[str]) -> str:
    """Return a line of a table."""
    return f"| {' | '.join(cells)} |"


def machine(given: argparse.Namespace, load: float) -> str:
    """Return what the figures depend on: the day, the machine, its load, and versions."""
    how = f"rounds: {given.rounds}, {'no TLS' if given.plain else 'TLS'}"
    how += ", a tenth of everything" if given.quick else ""
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count()
    packages = sorted({kind.package for kind in CLIENTS.values()} | set(BELOW))
    found = {name: version(name) for name in packages}
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, {how}; {cores} cores of {processor()}, "
        f"{platform.system()}, load {load:.1f} before and "
        f"{os.getloadavg()[0]:.1f} after; Python {platform.python_version()}, "
        + ", ".join(f"{name} {number}" for name, number in found.items() if number)
    )


def processor() -> str:
    """Return the name of the CPU."""
    known = Path("/proc/cpuinfo")
    lines = known.read_text("utf-8").splitlines() if known.exists() else []
    names = [text.partition(": ")[2] for text in lines if text.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def version(package: str) -> str | None:
    """Return the version that is installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def installed(names: Collection[str]) -> list[str]:
    """Return the clients that are here, and say what is missing."""
    missing = [name for name in names if version(CLIENTS[name].package) is None]
    for name in missing:
        say(f"{name} is left out: {CLIENTS[name].package} is not installed")
    if version("niquests"):
        say("niquests is installed: it replaces urllib3, and slows down all that use requests")
    return [name for name in names if name not in missing]


def save(text: str, path: Path) -> None:
    """Write ``text`` between the markers of a file."""
    before, _, rest = path.read_text("utf-8").partition(BEGIN)
    _, found, after = rest.partition(END)
    if not found:
        raise SystemExit(f"{path.name} lacks the lines {BEGIN} and {END}")
    path.write_text(f"{before}{BEGIN}\n{text}\n\n{END}{after}", "utf-8")


def say(text: str) -> None:
    """Tell the user how it goes, apart from the tables."""
    print(text, file=sys.stderr, flush=True)


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("--rounds", type=int, default=5, help="default 5; long scenarios take part in fewer")
    for name, known in (("--clients", list(CLIENTS)), ("--scenarios", list(SCENARIOS))):
        add(name, nargs="+", choices=known, default=known, metavar="NAME", help=", ".join(known))
    add("--plain", action="store_true", help="HTTP without TLS")
    add("--quick", action="store_true", help="a tenth of everything, to see that it works")
    page, hint = HERE / "README.md", "write the tables into FILE, between its markers"
    add("--save", type=Path, nargs="?", const=page, metavar="FILE", help=hint + "; or README.md")
    return parser.parse_args()


def main() -> int:
    """Measure, print the tables, and save them if asked to; 1 if a client failed."""
    given, load = arguments(), os.getloadavg()[0]
    names, tls = installed(given.clients), not given.plain
    with TemporaryDirectory() as folder, Bench(names, Path(folder), tls=tls) as bench:
        rows = list(run(bench, given.scenarios, given.rounds, quick=given.quick))
    text = f"{machine(given, load)}\n{tables(rows)}"
    print(text)
    if given.save:
        save(text, given.save)
    return int(len(bench.workers) < len(names) or any(row.failed for row in rows))


if __name__ == "__main__":
    sys.exit(main())
