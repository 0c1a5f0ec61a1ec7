"""The arguments of ``dashscope-oss batch``: what they mean, and what cannot be meant."""

import argparse
from contextlib import nullcontext
from pathlib import Path

import pytest

from dashscope_oss.cli.batch import seconds, whole_number
from dashscope_oss.cli.choices.batch import parameters
from dashscope_oss.errors import ConfigurationError
from tests.cli.batch_rows import numbered, write_rows


class TestOnACluster:
    """What cannot be done there is told before anything is started."""

    @pytest.fixture
    def on_ray(self, batch, gateway):
        from tests.batch.cluster import rows

        rows.write_rows(Path("in.parquet"), ["a"], block_rows=1)
        engine = gateway()

        def run(source, output, *arguments, **settings):
            return batch(engine, source, output, "--ray", "127.0.0.1:1", *arguments, **settings)

        return run

    @pytest.mark.parametrize(
        ("source", "output"), [("in.jsonl", "out.parquet"), ("in.parquet", "out.jsonl")]
    )
    def test_other_formats(self, on_ray, source, output):
        write_rows(*numbered(1))

        status, _, err = on_ray(source, output)

        assert (status, "--ray reads and writes .parquet files" in err) == (2, True)

    def test_a_strict_run(self, on_ray):
        status, _, err = on_ray("in.parquet", "out.parquet", "--strict")

        assert (status, "--strict has no use with --ray" in err) == (2, True)

    def test_a_batch_file(self, on_ray):
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.table({"custom_id": ["a"], "body": [{"model": "b"}]}), "in.parquet")

        status, _, err = on_ray("in.parquet", "out.parquet", model=None)

        assert (status, "--ray takes no batch files" in err) == (2, True)

    @pytest.mark.filterwarnings("ignore::DeprecationWarning:ray")
    def test_an_address_without_a_cluster(self, on_ray):
        status, _, err = on_ray("in.parquet", "out.parquet")

        assert (status, "no Ray cluster at 127.0.0.1:1" in err) == (2, True)

    @pytest.mark.parametrize("more", [[], ["--overwrite"]])
    def test_ctrl_c(self, on_ray, monkeypatch, more):
        def interrupt(*_):
            raise KeyboardInterrupt

        monkeypatch.setattr("dashscope_oss.batch.cluster.ray_job.connected", nullcontext)
        monkeypatch.setattr("dashscope_oss.batch.cluster.ray_job.RayJob.ask", interrupt)

        if more:
            Path("out.parquet").write_text("of another run")
        status, _, err = on_ray("in.parquet", "out.parquet", *more)

        assert (status, "Stopped: Ctrl-C." in err) == (130, True)
        assert "the same command goes on" in err

    def test_an_output_of_another_run(self, on_ray):
        Path("out.parquet").write_text("precious")

        status, _, err = on_ray("in.parquet", "out.parquet")

        assert (status, Path("out.parquet").read_text()) == (2, "precious")
        assert "out.parquet is there already, and not from this run" in err


class TestArguments:
    @pytest.mark.parametrize(
        ("text", "expected"), [("90", 90), ("90s", 90), ("1h30m", 5400), ("2d", 172_800)]
    )
    def test_times(self, text, expected):
        assert seconds(text) == expected

    @pytest.mark.parametrize("text", ["", "soon", "1.5h", "-3", "5x"])
    def test_what_is_no_time(self, text):
        with pytest.raises(argparse.ArgumentTypeError, match="write 90s, 30m"):
            seconds(text)

    @pytest.mark.parametrize("text", ["0", "-5", "1.5", "many", ""])
    def test_what_is_no_number(self, text):
        with pytest.raises(argparse.ArgumentTypeError, match="no whole number of at least 1"):
            whole_number(text, least=1)

    def test_numbers(self):
        assert whole_number("7", least=7) == 7

    def test_parameters(self):
        assert parameters(["temperature=0.2", "stop=a=b", 'response_format={"type": "x"}']) == {
            "temperature": 0.2,
            "stop": "a=b",
            "response_format": {"type": "x"},
        }

    @pytest.mark.parametrize("pairs", [["temperature"], ["=1"], ["a=1", "a=2"]])
    def test_what_is_no_parameter(self, pairs):
        with pytest.raises(ConfigurationError, match="NAME=VALUE, each name once"):
            parameters(pairs)

    def test_at_the_vendors_host_the_limits_are_those_of_the_record(self, tmp_path, monkeypatch):
        from dashscope_oss import find_model
        from dashscope_oss.cli import batch, command

        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("DASHSCOPE_API_KEY", "sk-test")
        write_rows(*numbered(1))
        stated = find_model("kimi-k2.5").requests_per_minute
        line = ["batch", "in.jsonl", "out.jsonl", "--model", "kimi-k2.5"]

        def limits(*arguments):
            job, _ = batch.build_job(command._parse([*line, *arguments]))
            return job.pace._limits.requests_per_minute

        assert stated
        assert limits() == stated
        assert limits("--requests-per-minute", "7") == 7
        assert limits("--base-url", "http://127.0.0.1:8000/api/v1") is None
