"""Batches on a real Ray cluster of two small machines, both on this one."""

import os
import pickle
import signal
import threading
from collections import Counter

import pytest

from dashscope_oss.gateway import Answer, Fault
from tests.batch.cluster.rows import answers, read_rows, write_rows

MODEL = "llama3-8b-instruct"
CONCURRENCY = 8
ROWS = 1200

# Ray talks to the machine's own address, and leaves sockets open when it ends.
pytestmark = [
    pytest.mark.ray,
    pytest.mark.enable_socket,
    pytest.mark.filterwarnings("ignore"),
]


# A machine that is gone is noticed in seconds. One that is only slow, as on a computer with much
# else to do, has minutes: Ray would take it for lost, and end the process in which pytest runs.
PATIENCE = {
    "health_check_period_ms": 500,
    "health_check_timeout_ms": 60_000,
    "agent_register_timeout_ms": 300_000,
    "worker_register_timeout_seconds": 300,
    "gcs_rpc_server_reconnect_timeout_s": 300,
    "enable_metrics_collection": False,
}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """Two machines with room for one actor each; one cluster at a time."""
    from filelock import FileLock
    from ray.cluster_utils import Cluster

    small = {"num_cpus": 1, "object_store_memory": 80 * 2**20, "include_log_monitor": False}
    head = {**small, "include_dashboard": False, "no_monitor": True, "_system_config": PATIENCE}
    with (
        FileLock(tmp_path_factory.getbasetemp().parent / "ray.lock"),
        pytest.MonkeyPatch.context() as environment,
    ):
        # Ray's dozen processes would take twice as long, and nothing of ours is in them alone.
        environment.delenv("COVERAGE_PROCESS_CONFIG", raising=False)
        cluster = Cluster(initialize_head=True, head_node_args=head)
        cluster.second = cluster.add_node(**small)
        yield cluster
        cluster.shutdown()


@pytest.fixture(scope="module")
def connection(cluster):
    """This process stays connected: Ray need not start anew for each test."""
    from dashscope_oss.batch.cluster.ray_job import connected

    with connected(cluster.address):
        yield


@pytest.fixture
def batch(command, cluster, tmp_path):
    """Run the command on the cluster: ``status, out, err = batch(engine, *arguments)``."""

    def run(engine, *arguments, output="out.parquet"):
        where = ("--base-url", engine.base_url, "--ray", cluster.address, "--actors", "2")
        files = (str(tmp_path / "in.parquet"), str(tmp_path / output))
        return command("batch", *files, "--model", MODEL, *where, *arguments)

    return run


def kill_an_actor():
    """Kill one that asks, as the system would."""
    from ray._private.state import actors

    asking = [
        actor
        for actor in actors().values()
        if actor["State"] == "ALIVE" and "MapWorker" in actor["ActorClassName"]
    ]
    os.kill(asking[0]["Pid"], signal.SIGKILL)


class Losses:
    """An engine's entry that counts what is asked, and loses an actor and a machine meanwhile."""

    def __init__(self, **losses):
        self.calls, self.lost, self._lock = Counter(), [], threading.Lock()
        self._losses = losses

    def __call__(self, request):
        question = request.messages[-1].content
        with self._lock:
            self.calls[question] += 1
            for name, (at, lose) in [*self._losses.items()]:
                if self.calls.total() >= at:
                    del self._losses[name]
                    threading.Thread(target=self._lose, args=(name, lose)).start()
        return Answer(pieces=("answer", f" to {question}"), pause=0.02)

    def _lose(self, name, lose):
        lose()
        self.lost.append(name)


def test_an_actor_and_a_machine_are_lost_and_the_output_is_that_of_one_machine(
    batch, cluster, command, gateway, tmp_path
):
    """No row is missing or there twice, and only what was under way is asked again."""
    prompts = [f"{n}" if n % 400 else " " for n in range(ROWS)]
    source = write_rows(tmp_path / "in.parquet", prompts, block_rows=60)
    losses = Losses(
        actor=(200, kill_an_actor),
        machine=(500, lambda: cluster.remove_node(cluster.second, allow_graceful=False)),
    )

    status, out, _ = batch(gateway(losses), "--concurrency", str(CONCURRENCY))

    assert (status, sorted(losses.lost)) == (1, ["actor", "machine"])
    assert "1,197 of 1,200" in out
    assert losses.calls.total() - 1197 <= 2 * CONCURRENCY
    alone = gateway(Losses())
    single = tmp_path / "single.parquet"
    where = ("--base-url", alone.base_url, "--concurrency", "16")
    command("batch", str(source), str(single), "--model", MODEL, *where)
    assert answers(read_rows(tmp_path / "out.parquet")) == answers(read_rows(single))
    assert [
        (tmp_path / f"{name}.parquet.failed.jsonl").read_bytes() for name in ("out", "single")
    ] == [(tmp_path / "single.parquet.failed.jsonl").read_bytes()] * 2


@pytest.mark.usefixtures("connection")
def test_stopped_by_its_budget_a_run_over_a_folder_goes_on_by_finished_blocks(
    batch, gateway, tmp_path
):
    folder = tmp_path / "in.parquet"
    folder.mkdir()
    write_rows(folder / "a.parquet", map(str, range(25)), block_rows=10)
    write_rows(folder / "b.parquet", map(str, range(25, 60)), block_rows=10)
    engine = gateway(Answer("one two three"))

    status, _, err = batch(engine, "--max-tokens-total", "30")
    assert (status, (tmp_path / "out.parquet").exists()) == (1, False)
    assert "Stopped: the answers have used up" in err

    status, out, _ = batch(engine)
    assert status == 0
    assert [row["prompt"] for row in read_rows(tmp_path / "out.parquet")] == [*map(str, range(60))]
    assert "answered earlier" in out
    assert len(engine.requests) <= 60 + 2 * 16  # of the blocks that were under way

    assert batch(engine)[0] == 0
    assert len(engine.requests) <= 60 + 2 * 16
    assert batch(engine, "--parameter", "temperature=0.5")[0] == 2  # another run's output


@pytest.mark.usefixtures("connection")
def test_a_deadline_stops_a_run(batch, gateway, tmp_path):
    write_rows(tmp_path / "in.parquet", map(str, range(40)), block_rows=5)

    status, _, err = batch(gateway(Answer("a")), "--deadline", "0s")

    assert (status, "--deadline has passed" in err) == (1, True)


@pytest.mark.usefixtures("connection")
def test_a_wrong_key_ends_the_run_in_plain_words(batch, gateway, tmp_path):
    """In a process that is connected already, and stays so."""
    import ray

    write_rows(tmp_path / "in.parquet", ["a", "b"], block_rows=1)
    engine = gateway(Fault(status=401, code="InvalidApiKey", message="wrong key"))

    status, _, err = batch(engine)

    assert ray.is_initialized()
    assert status == 1
    assert f"dashscope-oss: {MODEL}: wrong key" in err
    assert "Traceback" not in err


@pytest.mark.usefixtures("connection")
def test_a_dataset_is_answered_by_actors_without_the_key_in_what_they_are_sent(
    gateway, monkeypatch
):
    import ray

    from dashscope_oss import AsyncClient, Endpoint
    from dashscope_oss.batch.ray import AskModel

    key = "sk-not-in-any-pickle"
    monkeypatch.setenv("DASHSCOPE_API_KEY", key)
    engine = gateway()
    settings = {"model": MODEL, "base_url": engine.base_url, "actors": 1}

    dataset = ray.data.from_items([{"id": n, "prompt": f"{n}"} for n in range(40)])
    rows = dataset.map_batches(
        AskModel,
        fn_constructor_kwargs=settings,
        batch_format="pyarrow",
        batch_size=10,
        concurrency=1,
    ).take_all()

    assert sorted(answers(rows)) == [(n, f"You said: {n}") for n in range(40)]
    client = AsyncClient(Endpoint.resolve(base_url=engine.base_url))
    assert key.encode() not in pickle.dumps(client)
