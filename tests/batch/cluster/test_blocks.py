"""A block of rows, answered by one worker; nothing here needs Ray."""

import json

import pytest

from dashscope_oss import AsyncClient, AuthenticationError, Endpoint, find_model
from dashscope_oss.batch import Pace
from dashscope_oss.batch.files.formats import open_reader
from dashscope_oss.batch.rows.columns import Columns
from dashscope_oss.gateway import Answer, Fault
from tests.batch.cluster.rows import answers, read_rows, write_rows


@pytest.fixture
def worker(tmp_path):
    """A worker for blocks of three rows: ``worker(engine, retry_failed=True)``."""
    from dashscope_oss.batch.cluster.blocks import BlockFiles, BlockWorker

    source = write_rows(tmp_path / "in.parquet", [f"{n}" for n in range(7)], block_rows=3)

    def make(engine, *, rows=source, start="now", **settings):
        form = Columns(find_model("llama3-8b-instruct"), prompt="prompt")
        client = AsyncClient(Endpoint.resolve(base_url=engine.base_url))
        files = BlockFiles(open_reader(rows), tmp_path)
        return BlockWorker(files, form, client, Pace(), 2, start, **settings)

    return make


def block(worker, number=1):
    from dashscope_oss.batch.cluster.blocks import blocks_of

    return blocks_of(worker.files.rows)[number]


def asked(engine):
    return [request.body["input"]["messages"][-1]["content"] for request in engine.requests]


async def test_a_block_is_answered_and_written(worker, gateway):
    own = worker(gateway())

    tally = await own.answer(block(own))

    assert answers(read_rows(own.files.answered(1))) == [
        (3, "You said: 3"),
        (4, "You said: 4"),
        (5, "You said: 5"),
    ]
    assert (tally.answered, tally.failed) == (3, 0)
    assert own.files.is_finished(1, retry_failed=True)
    assert not own.files.log(1).exists()


async def test_rows_have_their_number_in_the_whole_file(worker, gateway):
    own = worker(gateway(Fault(status=400, code="InvalidParameter")))

    await own.answer(block(own))

    assert [json.loads(line)["row"] for line in own.files.failures(1)] == [4, 5, 6]


def failing_on(*prompts):
    def entry(request):
        question = request.messages[-1].content
        return Fault(status=400, code="Bad") if question in prompts else Answer(f"to {question}")

    return entry


async def test_what_a_killed_worker_has_answered_is_not_asked_again(worker, gateway):
    """The first one dies, by a wrong key, after two answers."""
    broken = gateway(Answer("a"), Answer("b"), Fault(status=401, code="InvalidApiKey"))
    own = worker(broken)
    with pytest.raises(AuthenticationError):
        await own.answer(block(own))

    engine = gateway(Answer("c"))
    tally = await worker(engine).answer(block(own))

    assert (len(engine.requests), tally.answered, tally.earlier) == (1, 3, 0)


async def test_rows_of_an_earlier_start_count_as_earlier(worker, gateway):
    broken = gateway(Answer("a"), Answer("b"), Fault(status=401, code="InvalidApiKey"))
    own = worker(broken, start="before")
    with pytest.raises(AuthenticationError):
        await own.answer(block(own))

    tally = await worker(gateway(Answer("c"))).answer(block(own))

    assert (tally.answered, tally.earlier) == (1, 2)


async def test_failed_rows_are_asked_again_alone(worker, gateway):
    own = worker(gateway(failing_on("4")), start="before")
    await own.answer(block(own))
    assert own.files.is_finished(1, retry_failed=False)
    assert not own.files.is_finished(1, retry_failed=True)

    engine = gateway(failing_on())
    again = worker(engine, retry_failed=True)
    tally = await again.answer(block(again))

    assert (asked(engine), tally.answered, tally.earlier) == (["4"], 1, 2)
    assert [answer for _, answer in answers(read_rows(own.files.answered(1)))] == [
        "to 3",
        "to 4",
        "to 5",
    ]
    assert own.files.failures(1) == []


async def test_rows_that_failed_earlier_stay_failed(worker, gateway):
    """A worker that died meanwhile has left their outcome in the log."""
    own = worker(gateway(failing_on("3")), start="before")
    await own.answer(block(own))
    own.files.answered(1).unlink()

    engine = gateway()
    tally = await worker(engine).answer(block(own))

    assert (engine.requests, tally.earlier, tally.earlier_failed) == ([], 2, 1)


@pytest.mark.parametrize(("start", "counts"), [("now", (2, 0, 1, 0)), ("later", (0, 2, 0, 1))])
async def test_a_finished_block_is_not_asked_again(worker, gateway, start, counts):
    """Its machine was lost before it could say so."""
    own = worker(gateway(failing_on("4")))
    await own.answer(block(own))

    engine = gateway()
    tally = await worker(engine, start=start).answer(block(own))

    assert engine.requests == []
    assert (tally.answered, tally.earlier, tally.failed, tally.earlier_failed) == counts
    assert own.files.state(1).tokens > 0


async def test_a_row_that_cannot_be_asked_is_told_with_its_number(worker, gateway, tmp_path):
    rows = write_rows(tmp_path / "bad.parquet", ["a", " ", None], block_rows=3)
    own = worker(gateway(), rows=rows)

    tally = await own.answer(block(own, 0))

    reasons = [json.loads(line) for line in own.files.failures(0)]
    assert [reason["row"] for reason in reasons] == [2, 3]
    assert "row 3: column prompt is empty" in reasons[1]["message"]
    assert tally.errors == {"UnsupportedInputError": 2}


def test_large_row_groups_are_split_into_a_copy(tmp_path, monkeypatch):
    from dashscope_oss.batch.cluster import blocks

    source = write_rows(tmp_path / "in.parquet", map(str, range(7)), block_rows=7)
    reader = open_reader(source)
    assert blocks.split_rows(reader, tmp_path / "copy.parquet") is reader

    monkeypatch.setattr(blocks, "MAX_BLOCK_ROWS", 6)
    monkeypatch.setattr(blocks, "BLOCK_ROWS", 3)
    copy = blocks.split_rows(reader, tmp_path / "copy.parquet")

    assert [block.num_rows for block in blocks.blocks_of(copy)] == [3, 3, 1]
    assert read_rows(copy.path) == read_rows(source)
    copied_at = copy.path.stat().st_mtime_ns
    assert blocks.split_rows(reader, copy.path).path.stat().st_mtime_ns == copied_at


def test_row_groups_of_several_files_are_blocks_with_rows_counted_through(tmp_path):
    from dashscope_oss.batch.cluster.blocks import BlockFiles, blocks_of

    for name in "ab":
        write_rows(tmp_path / f"{name}.parquet", [f"{name}{n}" for n in range(3)], block_rows=2)
    files = BlockFiles(open_reader(tmp_path), tmp_path / "run")

    assert [
        [(number, values["prompt"]) for number, values in files.read(block)]
        for block in blocks_of(files.rows)
    ] == [[(1, "a0"), (2, "a1")], [(3, "a2")], [(4, "b0"), (5, "b1")], [(6, "b2")]]
