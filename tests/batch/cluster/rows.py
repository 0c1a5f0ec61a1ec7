"""Parquet files of numbered prompts, for the tests of clusters."""


def write_rows(path, prompts, *, block_rows):
    import pyarrow as pa
    import pyarrow.parquet as pq

    prompts = [*prompts]
    table = pa.table({"id": [*range(len(prompts))], "prompt": prompts})
    pq.write_table(table, path, row_group_size=block_rows)
    return path


def read_rows(path):
    import pyarrow.parquet as pq

    return pq.read_table(path).to_pylist()


def answers(rows):
    return [(row["id"], row["answer"]) for row in rows]
