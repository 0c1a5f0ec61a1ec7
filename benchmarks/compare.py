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
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from random import Random
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, Self

import trustme
from clients import CLIENTS, HTTP, LANGCHAIN_LIMIT, LLAMA_INDEX_LIMIT, Kind

HERE = Path(__file__).parent
BEGIN, END = "<!-- results -->", "<!-- end of results -->"
OURS = {LANGCHAIN_LIMIT: "ChatDashScopeOSS", LLAMA_INDEX_LIMIT: "DashScopeOSS"}
BELOW = ("aiohttp", "dashscope", "httpcore2", "openai", "pydantic", "requests")
FOREIGN = ("DASHSCOPE_", "OPENAI_", "LANGCHAIN_", "LANGSMITH_")
COLUMNS = ("client", "CPU us", "of the limit", "ours of it", "wall s", "opened", "most", "MB")


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """What every client does ``count`` times; times in seconds.

    Attributes:
        latency: before an answer.
        pause: between the pieces of a stream.
        rounds: the most that are worth their time.
        smaller: the scenario with fewer calls at once, to compare the cost of a call with.
        without: clients that would take too long.
    """

    title: str
    do: str
    count: int
    pieces: int = 1
    latency: float = 0.0
    pause: float = 0.0
    rounds: int = 99
    smaller: str = ""
    without: tuple[str, ...] = ()

    def tenth(self) -> Scenario:
        """Return a smaller one."""
        count, pieces = max(1, self.count // 10), max(1, self.pieces // 10)
        return replace(self, count=count, pieces=pieces)


CALLS = Scenario(title="1,000 calls one after the other", do="invoke", count=1000)
BURST = Scenario(title="A stream of 1,000 pieces, sent at once", do="stream", count=15, pieces=1000)
PACED = replace(BURST, title="A stream of 500 pieces, 2 ms apart", count=1, pieces=500, pause=0.002)
CROWD = Scenario(
    title="1,000 async calls at once, answered after 50 ms", do="many", count=1000, latency=0.05
)
SCENARIOS = {
    "invoke": CALLS,
    "ainvoke": replace(CALLS, title=f"{CALLS.title}, async", do="ainvoke"),
    "stream": BURST,
    "paced": PACED,
    "astream": replace(BURST, title=f"{BURST.title}, async", do="astream"),
    "apaced": replace(PACED, title=f"{PACED.title}, async", do="astream"),
    "many": replace(CROWD, rounds=3),
    # OpenAILike spent more than 18 minutes of CPU on 5,000 calls at once.
    "crowd": replace(
        CROWD,
        title=CROWD.title.replace("1,000", "5,000"),
        count=5000,
        rounds=2,
        smaller="many",
        without=("OpenAILike",),
    ),
    "threads": replace(CROWD, title="640 calls from 64 threads", do="threads", count=640, rounds=3),
}
ASYNC = ("ainvoke", "astream", "many")
"""What a client for async scenarios alone can do."""


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

    def answer(self) -> dict[str, Any]:
        """Return the next line."""
        assert self.process.stdout  # noqa: S101 - a pipe
        ended = '{"failed": "its process ended"}'
        line: dict[str, Any] = json.loads(self.process.stdout.readline() or ended)
        return line

    def ask(self, **values: object) -> dict[str, Any]:
        """Send a line and return the answer."""
        assert self.process.stdin  # noqa: S101 - a pipe
        try:
            print(json.dumps(values), file=self.process.stdin, flush=True)
        except BrokenPipeError:
            return {"failed": "its process ended"}
        return self.answer()


class Bench(ExitStack):
    """The service, and a worker for each client, on another core than the service's."""

    def __init__(self, names: Collection[str], folder: Path, *, tls: bool) -> None:
        super().__init__()
        env, certificate = trusting(folder)
        cores = sorted(os.sched_getaffinity(0)) if sys.platform == "linux" else [0]
        command = ["service.py", *([certificate] if tls else [])]
        self.service = self.enter_context(Process(*command, cores=cores[-1:], env=env))
        address = f"http{'s' if tls else ''}://127.0.0.1:{self.service.answer()['port']}"
        self.workers = {
            name: self.enter_context(
                Process(
                    *("worker.py", name, address),
                    cores=cores[:-1] or cores,
                    env=env | packages_first(CLIENTS[name]),
                )
            )
            for name in names
        }
        for name, worker in list(self.workers.items()):
            if failed := worker.answer().get("failed"):
                say(f"{name} did not start: {failed}")
                del self.workers[name]

    def measure(self, row: Row, scenario: Scenario) -> Row:
        """Let one client do one scenario once."""
        self.service.ask(latency=scenario.latency, pieces=scenario.pieces, pause=scenario.pause)
        worker = self.workers[row.client]
        cost = worker.ask(do=scenario.do, count=scenario.count, pieces=scenario.pieces)
        counts = self.service.ask()
        if "failed" in cost:
            failed = " ".join(cost["failed"].replace("|", "/").split())
            say(f"{row.client}, {row.scenario}: {failed}")
            return replace(row, failed=failed)
        cost["cpu"] *= 1e6 / (scenario.count * scenario.pieces)
        return replace(row, **cost, opened=counts["opened"], most=counts["most"])


def trusting(folder: Path) -> tuple[dict[str, str], str]:
    """Return an environment that trusts a certificate made in ``folder``, and the certificate.

    It has no proxies and no settings of the clients.
    """
    authority, certificate = trustme.CA(), str(folder / "service.pem")
    trusted = str(folder / "authority.pem")
    authority.cert_pem.write_to_path(trusted)
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(certificate)
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(FOREIGN) and not name.lower().endswith("_proxy")
    }
    return kept | {"SSL_CERT_FILE": trusted, "REQUESTS_CA_BUNDLE": trusted}, certificate


def run(bench: Bench, keys: Collection[str], rounds: int, *, quick: bool) -> Iterator[Row]:
    """Go from round to scenario to client, so that what the machine does besides falls on all.

    The order of the clients is another in each round: none is always the one after a long one.
    """
    failed = set()
    for number in range(rounds):
        for key in keys:
            scenario = SCENARIOS[key].tenth() if quick else SCENARIOS[key]
            names = takers(bench.workers, scenario)
            for name in shuffled(names, number) if number < scenario.rounds else ():
                if (key, name) not in failed:
                    row = bench.measure(Row(scenario=key, client=name, round=number), scenario)
                    failed |= {(key, name)} if row.failed else set()
                    yield row
        say(f"round {number + 1} of {rounds} done")


def takers(names: Collection[str], scenario: Scenario) -> list[str]:
    """Return who takes part: a client for async scenarios alone has no others."""
    able = [name for name in names if scenario.do in ASYNC or not CLIENTS[name].only_async]
    return [name for name in able if name not in scenario.without]


def shuffled(names: Sequence[str], seed: int) -> list[str]:
    """Return the names in an order that is the seed's own."""
    return Random(seed).sample(names, len(names))  # noqa: S311 - no secret


def tables(rows: list[Row]) -> str:
    """Return a table in Markdown for each scenario."""
    lines = []
    for key in dict.fromkeys(row.scenario for row in rows):
        scenario, some = SCENARIOS[key], [row for row in rows if row.scenario == key]
        lines += ["", f"### {scenario.title} (`{key}`)", "", line(COLUMNS)]
        lines.append(line(["---"] + ["---:"] * (len(COLUMNS) - 1)))
        measured = {row.client for row in some}
        names = [name for name in CLIENTS if name in measured]
        lines += [summary(name, some) for name in names]
        if growth := ", ".join(grown(rows, key, names)):
            lines += ["", f"CPU of a call, of that in `{scenario.smaller}`: {growth}."]
    return "\n".join(lines)


def grown(rows: list[Row], key: str, names: Iterable[str]) -> Iterator[str]:
    """How the cost of a call grows with the calls at once, for each client."""
    smaller = [row for row in rows if row.scenario == SCENARIOS[key].smaller]
    larger = [row for row in rows if row.scenario == key]
    for name in names:
        if growth := ratio(costs(larger, name), costs(smaller, name)):
            yield f"{name} {growth}"


def summary(name: str, rows: list[Row]) -> str:
    """Return the line of one client, medians over the rounds."""
    own = [row for row in rows if row.client == name]
    if failed := own[-1].failed:
        return line([name, f"failed: {failed}"] + [""] * (len(COLUMNS) - 2))

    def middle(of: Callable[[Row], float]) -> float:
        return median(map(of, own))

    cpu, limit = costs(rows, name), CLIENTS[name].limit
    ours = costs(rows, OURS.get(limit, "")) if OURS.get(limit) != name else {}
    memory = [row.memory for row in own if row.memory is not None]
    return line(
        [
            name,
            f"{middle(lambda row: row.cpu):.0f} ({min(cpu.values()):.0f}-{max(cpu.values()):.0f})",
            ratio(cpu, costs(rows, limit)),
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
    ratios = [over[number] / under[number] for number in over if number in under]
    return f"{median(ratios):.2f}" if ratios else ""


def line(cells: Collection[str]) -> str:
    """Return a line of a table."""
    return f"| {' | '.join(cells)} |"


def machine(options: argparse.Namespace, load: float) -> str:
    """Return what the figures depend on: the day, the machine, its load, and versions."""
    how = f"rounds: {options.rounds}, {'no TLS' if options.plain else 'TLS'}"
    how += ", a tenth of everything" if options.quick else ""
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count()
    names = {kind.package: kind for kind in CLIENTS.values()} | {
        package: Kind(package, CLIENTS[HTTP].make) for package in BELOW
    }
    versions = {package: version(kind) for package, kind in sorted(names.items())}
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, {how}; {cores} cores of {processor()}, "
        f"{platform.system()}, load {load:.1f} before and "
        f"{os.getloadavg()[0]:.1f} after; Python {platform.python_version()}, "
        + ", ".join(f"{package} {number}" for package, number in versions.items() if number)
    )


def processor() -> str:
    """Return the name of the CPU."""
    file = Path("/proc/cpuinfo")
    lines = file.read_text("utf-8").splitlines() if file.exists() else []
    names = [text.partition(": ")[2] for text in lines if text.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def packages(kind: Kind) -> str:
    """Return the folder of packages that a client has for itself."""
    return str(Path(sys.prefix, kind.folder))


def packages_first(kind: Kind) -> dict[str, str]:
    """Return the environment variable that puts a client's own packages first, or nothing."""
    before = [packages(kind)] if kind.folder else []
    path = os.pathsep.join([*before, *filter(None, [os.environ.get("PYTHONPATH")])])
    return {"PYTHONPATH": path} if path else {}


def version(kind: Kind) -> str | None:
    """Return the version of a client's package that is installed."""
    path = [packages(kind), *sys.path] if kind.folder else sys.path
    installed = metadata.distributions(name=kind.package, path=path)
    return next((distribution.version for distribution in installed), None)


def installed(names: Collection[str]) -> list[str]:
    """Return the clients that are here, and tell what is missing."""
    missing = [name for name in names if version(CLIENTS[name]) is None]
    for name in missing:
        say(f"{name} is left out: {CLIENTS[name].package} is not installed")
    if version(Kind("niquests", CLIENTS[HTTP].make)):
        say("niquests is installed: it replaces urllib3, and slows down all that use requests")
    return [name for name in names if name not in missing]


def save(text: str, path: Path) -> None:
    """Write ``text`` between the markers of a file."""
    before, _, rest = path.read_text("utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
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
    for name, all_of in (("--clients", list(CLIENTS)), ("--scenarios", list(SCENARIOS))):
        add(name, nargs="+", choices=all_of, default=all_of, metavar="NAME", help=", ".join(all_of))
    add("--plain", action="store_true", help="HTTP without TLS")
    add("--quick", action="store_true", help="a tenth of everything, to see that it works")
    page, hint = HERE / "README.md", "write the tables into FILE, between its markers"
    add("--save", type=Path, nargs="?", const=page, metavar="FILE", help=hint + "; or README.md")
    return parser.parse_args()


def main() -> int:
    """Measure, print the tables, and save them if asked to; 1 if a client failed."""
    options, load = arguments(), os.getloadavg()[0]
    names, tls = installed(options.clients), not options.plain
    with TemporaryDirectory() as folder, Bench(names, Path(folder), tls=tls) as bench:
        rows = list(run(bench, options.scenarios, options.rounds, quick=options.quick))
    text = f"{machine(options, load)}\n{tables(rows)}"
    print(text)
    if options.save:
        save(text, options.save)
    return int(len(bench.workers) < len(names) or any(row.failed for row in rows))


if __name__ == "__main__":
    sys.exit(main())
