"""What Ray Data gives a worker and gets from it; nothing here needs Ray."""

import json
import pickle
from dataclasses import asdict

import pytest

from dashscope_oss import AsyncClient, AuthenticationError, Endpoint, find_model
from dashscope_oss.batch.files.formats import open_reader
from dashscope_oss.batch.rows.columns import Columns
from dashscope_oss.gateway import Fault
from tests.batch.cluster.rows import answers, read_rows, write_rows


@pytest.fixture
def files(tmp_path):
    """Blocks of three rows."""
    from dashscope_oss.batch.cluster.blocks import BlockFiles

    source = write_rows(tmp_path / "in.parquet", ["a", "b", "c", "d"], block_rows=3)
    return BlockFiles(open_reader(source), tmp_path)


async def result_of_first_block(files, engine):
    """What comes of a batch that holds the first block."""
    import pyarrow as pa

    from dashscope_oss.batch.cluster.block_actor import BlockActor
    from dashscope_oss.batch.cluster.blocks import blocks_of

    actor = BlockActor(
        files=files,
        form=Columns(find_model("llama3-8b-instruct"), prompt="prompt"),
        client=AsyncClient(Endpoint.resolve(base_url=engine.base_url)),
        limits=(None, None, 1),
        concurrency=2,
        start="now",
        retry_failed=False,
    )
    batch = pa.Table.from_pylist([asdict(block) for block in blocks_of(files.rows)][:1])
    (row,) = (await actor(batch)).to_pylist()
    return row


async def test_a_batch_is_a_block_and_its_result_the_counts(files, gateway):
    row = await result_of_first_block(files, gateway())

    assert (row["error"], json.loads(row["counts"])["answered"]) == (None, 3)
    assert [answer for _, answer in answers(read_rows(files.answered(0)))] == [
        "You said: a",
        "You said: b",
        "You said: c",
    ]


async def test_an_error_that_ends_the_run_comes_back_whole(files, gateway):
    """Ray would keep neither its class nor its words."""
    engine = gateway(Fault(status=401, code="InvalidApiKey", message="wrong key"))

    row = await result_of_first_block(files, engine)

    error = pickle.loads(row["error"])
    assert isinstance(error, AuthenticationError)
    assert "wrong key" in str(error)
