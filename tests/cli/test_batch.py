"""`dashscope-oss batch`: a file of prompts, answered into another file."""

import os
import signal
import threading
from pathlib import Path

import pytest

from dashscope_oss.gateway import Answer, Fault
from tests.cli.batch_rows import numbered, read_rows, write_rows

MODEL = "llama3-8b-instruct"


def asked(engine):
    """What was asked, in the order in which it came."""
    return [request.body["input"]["messages"][-1]["content"] for request in engine.requests]


def test_the_output_has_the_rows_with_their_answers_in_their_order(batch, gateway):
    engine = gateway()
    write_rows(*numbered(50))

    status, out, err = batch(engine, "in.jsonl", "out.jsonl")

    rows = read_rows()
    assert status == 0
    assert [(row["id"], row["answer"]) for row in rows] == [
        (number, f"You said: question {number}") for number in range(50)
    ]
    assert "rows answered" in out
    assert "50 of 50" in out
    assert "The answers are in out.jsonl" in err


def test_given_again_the_command_asks_nothing_and_writes_the_same(batch, gateway):
    engine = gateway()
    write_rows(*numbered(3))
    batch(engine, "in.jsonl", "out.jsonl")
    first = Path("out.jsonl").read_bytes()

    status, out, _ = batch(engine, "in.jsonl", "out.jsonl")

    assert (status, len(engine.requests), Path("out.jsonl").read_bytes()) == (0, 3, first)
    assert "answered earlier" in out


def test_rows_that_are_new_or_changed_are_asked(batch, gateway):
    engine = gateway()
    write_rows(*numbered(3))
    batch(engine, "in.jsonl", "out.jsonl")
    write_rows({"id": 0, "prompt": "question 0"}, {"id": 1, "prompt": "other"}, *numbered(2))

    batch(engine, "in.jsonl", "out.jsonl")

    assert sorted(asked(engine)[3:]) == ["other", "question 0"]
    assert [row["answer"][10:] for row in read_rows()] == [
        "question 0",
        "other",
        "question 0",
        "question 1",
    ]


def test_rows_that_have_moved_keep_their_answers(batch, gateway, monkeypatch):
    """Two are put in before all others, one is taken out; a kill in the middle changes nothing."""
    engine = gateway()
    rows = [*numbered(40)]
    write_rows(*rows)
    batch(engine, "in.jsonl", "out.jsonl")
    write_rows({"prompt": "new"}, {"prompt": "newer"}, *rows[:20], *rows[21:])

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("dashscope_oss.batch.jobs.local_job.JobRun._record", killed)
        assert batch(engine, "in.jsonl", "out.jsonl")[0] == 130
    known = len(engine.requests)
    status, _, _ = batch(engine, "in.jsonl", "out.jsonl")

    assert (status, sorted(asked(engine)[known:])) == (0, ["new", "newer"])
    assert all(row["answer"] == f"You said: {row['prompt']}" for row in read_rows())
    assert len(read_rows()) == 41
    write_rows(*rows)
    batch(engine, "in.jsonl", "out.jsonl")
    assert len(engine.requests) == known + 2  # the one that was taken out is known still


def test_a_changed_parameter_is_a_new_run_and_replaces_no_output(batch, gateway):
    engine = gateway()
    write_rows(*numbered(2))
    batch(engine, "in.jsonl", "out.jsonl")
    first = Path("out.jsonl").read_bytes()
    changed = ("in.jsonl", "out.jsonl", "--parameter", "temperature=0.7")

    status, _, err = batch(engine, *changed)
    assert (status, len(engine.requests), Path("out.jsonl").read_bytes()) == (2, 2, first)
    assert "out.jsonl is there already, and not from this run" in err

    status, _, err = batch(engine, *changed, "--overwrite")
    assert (status, len(engine.requests)) == (0, 4)
    assert "This is a new run, because something is different: parameters.temperature" in err
    assert engine.requests[-1].body["parameters"]["temperature"] == 0.7


def failing_once(*prompts):
    """An engine's entry: these prompts are refused the first time."""
    left = [*prompts]

    def entry(request):
        question = request.messages[-1].content
        if question in left:
            left.remove(question)
            return Fault(status=400, code="DataInspectionFailed", message="not this")
        return Answer(f"answer to {question}")

    return entry


def test_failed_rows_stand_apart_and_are_asked_again_alone(batch, gateway):
    engine = gateway(failing_once("question 1"))
    write_rows(*numbered(3))

    status, out, err = batch(engine, "in.jsonl", "out.jsonl")
    assert status == 1
    assert "1 (ContentBlockedError 1)" in out
    assert "Rows without an answer: 1; out.jsonl.failed.jsonl says why" in err
    assert [row["id"] for row in read_rows()] == [0, 2]
    (failed,) = read_rows("out.jsonl.failed.jsonl")
    assert (failed["row"], failed["class"]) == (2, "ContentBlockedError")
    assert (failed["code"], failed["input"]["id"]) == ("DataInspectionFailed", 1)
    assert "not this" in failed["message"]

    status, out, err = batch(engine, "in.jsonl", "out.jsonl")
    assert (status, len(engine.requests)) == (1, 3)
    assert "1 failed and are not asked again, which --retry-failed would do" in err
    assert "1 (1 earlier)" in out

    status, _, err = batch(engine, "in.jsonl", "out.jsonl", "--retry-failed")
    assert (status, asked(engine)[3:]) == (0, ["question 1"])
    assert "1 failed and are asked again" in err
    assert [row["id"] for row in read_rows()] == [0, 1, 2]
    assert not Path("out.jsonl.failed.jsonl").exists()


BAD_ROWS = ({"prompt": "good"}, "no json", {"text": "?"}, {"prompt": " "}, {"prompt": "last"})


def test_rows_that_cannot_be_asked_are_told_counted_and_set_apart(batch, gateway):
    engine = gateway()
    write_rows(*BAD_ROWS)

    status, out, err = batch(engine, "in.jsonl", "out.jsonl")

    assert (status, sorted(asked(engine))) == (1, ["good", "last"])
    assert "3 (UnsupportedInputError 3)" in out
    for number, reason in (
        (2, "the line is not JSON"),
        (3, "the row has no column prompt; its columns: text"),
    ):
        assert f"row {number}: {reason}" in err
    assert [row["row"] for row in read_rows("out.jsonl.failed.jsonl")] == [2, 3, 4]


def test_strictly_the_first_row_that_cannot_be_asked_ends_the_run(batch, gateway):
    write_rows(*BAD_ROWS)

    status, _, err = batch(gateway(), "in.jsonl", "out.jsonl", "--strict")

    assert (status, Path("out.jsonl").exists()) == (2, False)
    assert "dashscope-oss: row 2: the line is not JSON" in err


def test_of_many_such_rows_the_first_are_shown(batch, gateway):
    write_rows({"prompt": "good"}, *["no json"] * 20)

    _, _, err = batch(gateway(), "in.jsonl", "out.jsonl")

    assert err.count("the line is not JSON") == 10
    assert err.count("more such rows: see out.jsonl.failed.jsonl at the end") == 1


@pytest.mark.parametrize(
    "fault",
    [
        Fault(status=401, code="InvalidApiKey"),
        Fault(status=404, code="ModelNotFound"),
        Fault(status=403, code="AccessDenied"),
        Fault(status=404, code="NotFound"),
    ],
    ids=lambda fault: fault.code,
)
def test_what_would_fail_every_row_ends_the_run(batch, gateway, fault):
    """No row is marked as failed: all are asked when the reason is gone."""
    engine = gateway(fault)
    write_rows(*numbered(500))

    status, _, err = batch(engine, "in.jsonl", "out.jsonl", "--concurrency", "4")

    assert (status, len(engine.requests) < 10, Path("out.jsonl").exists()) == (1, True, False)
    assert fault.code in err


def test_calls_that_are_put_off_are_told_once_for_each_reason(batch, gateway):
    slower = Fault(code="Throttling.RateQuota", message="Slower, please.")
    engine = gateway(slower, slower, Answer("four"))
    write_rows(*numbered(4))

    status, out, err = batch(engine, "in.jsonl", "out.jsonl", "--concurrency", "2")

    assert (status, "calls put off by the service  2" in out) == (0, True)
    assert err.count("Slower, please") == err.count("All calls wait, and are then made again") == 1
    assert "2 put off" in err


def test_without_a_connection_the_run_says_so_and_ends(batch, gateway, monkeypatch):
    """At the wrong address; no row is marked as failed."""
    monkeypatch.setattr("dashscope_oss.batch.calls.tries.MAX_UNCONNECTED_PAUSES", 1)
    engine = gateway()
    write_rows(*numbered(20))
    nowhere = ("--base-url", "http://127.0.0.1:9/api/v1")

    status, _, err = batch(engine, "in.jsonl", "out.jsonl", *nowhere)

    assert (status, Path("out.jsonl").exists()) == (1, False)
    assert err.startswith("llama3-8b-instruct: no answer from 127.0.0.1:9")
    assert "\ndashscope-oss: llama3-8b-instruct: no answer from 127.0.0.1:9" in err
    assert batch(engine, "in.jsonl", "out.jsonl")[0] == 0
    assert len(engine.requests) == 20


def test_a_budget_of_tokens_stops_the_run_and_holds_for_the_next_start(batch, gateway):
    engine = gateway(Answer("four"))
    write_rows(*numbered(100))
    limited = ("--max-tokens-total", "50", "--concurrency", "1")

    status, _, err = batch(engine, "in.jsonl", "out.jsonl", *limited)

    answered = len(engine.requests)
    assert (status, 3 < answered < 30, Path("out.jsonl").exists()) == (1, True, False)
    assert "Stopped: the answers have used up --max-tokens-total, 50" in err
    assert f"{answered} rows are answered and kept in out.jsonl.checkpoint" in err
    assert "the same command with a larger --max-tokens-total goes on" in err
    batch(engine, "in.jsonl", "out.jsonl", *limited)
    assert len(engine.requests) == answered + 1  # the budget is used up already


def test_a_deadline_stops_the_run(batch, gateway):
    engine = gateway(Answer(pieces=("a", "b"), pause=0.05))
    write_rows(*numbered(10_000))

    status, _, err = batch(engine, "in.jsonl", "out.jsonl", "--deadline", "1s")

    assert (status, Path("out.jsonl").exists()) == (1, False)
    assert "Stopped: --deadline has passed." in err


@pytest.mark.parametrize(
    ("number", "reason"),
    [(signal.SIGINT, "Ctrl-C"), (signal.SIGTERM, "the system ended it (SIGTERM)")],
)
def test_ctrl_c_finishes_what_is_under_way_and_says_how_to_go_on(batch, gateway, number, reason):
    hold = threading.Event()

    def entry(request):
        if len(engine.requests) == 4:
            os.kill(os.getpid(), number)
            threading.Timer(0.2, hold.set).start()
        return Answer(pieces=("so", " it is"), hold=hold)

    engine = gateway(entry)
    write_rows(*numbered(100))

    status, _, err = batch(engine, "in.jsonl", "out.jsonl", "--concurrency", "4")

    assert (status, len(engine.requests)) == (130, 4)
    assert "Finishing the calls under way; Ctrl-C again ends at once." in err
    assert f"Stopped: {reason}. 4 rows are answered and kept in out.jsonl.checkpoint" in err


def test_a_second_ctrl_c_ends_at_once(batch, gateway):
    hold = threading.Event()

    def entry(request):
        os.kill(os.getpid(), signal.SIGINT)
        return Answer(pieces=("so", " it is"), hold=hold)

    write_rows(*numbered(100))
    try:
        status, _, _ = batch(gateway(entry), "in.jsonl", "out.jsonl", "--concurrency", "2")
    finally:
        hold.set()

    assert status == 130


def test_the_output_is_there_though_nobody_reads_the_table(batch, gateway, monkeypatch):
    """As in `dashscope-oss batch ... | head -1`."""

    class ClosedError(Exception):
        pass

    def closed(*_):
        raise ClosedError

    write_rows(*numbered(3))
    monkeypatch.setattr("dashscope_oss.batch.report.summary.Summary.__str__", closed)

    with pytest.raises(ClosedError):
        batch(gateway(), "in.jsonl", "out.jsonl")

    assert len(read_rows()) == 3


def test_a_later_row_with_a_column_of_the_answers_loses_nothing(batch, gateway):
    write_rows({"prompt": "a"}, {"prompt": "b", "answer": "precious"})

    batch(gateway(), "in.jsonl", "out.jsonl")

    (failed,) = read_rows("out.jsonl.failed.jsonl")
    assert (failed["row"], failed["input"]["answer"]) == (2, "precious")
    assert "the row already has a column answer; give" in failed["message"]


def test_tables_are_read_and_written(batch, gateway):
    Path("in.csv").write_text("id,question\n1,床前明月光\n", "utf-8")

    batch(gateway(), "in.csv", "out.csv", "--prompt-column", "question", "--answer-column", "a")

    assert (
        Path("out.csv")
        .read_text("utf-8")
        .splitlines()[1]
        .startswith("1,床前明月光,You said: 床前明月光,")
    )


def test_a_batch_file_is_answered_in_its_form(batch, gateway):
    engine = gateway()
    body = {"model": MODEL, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 9}
    row = {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": body}
    write_rows(row, {**row, "custom_id": "b", "url": "/v1/embeddings"})

    status, _, _ = batch(engine, "in.jsonl", "out.jsonl", model=None)

    (answered,), (failed,) = read_rows(), read_rows("out.jsonl.failed.jsonl")
    assert (status, engine.requests[0].body["parameters"]["max_tokens"]) == (1, 9)
    assert answered["custom_id"] == "a"
    message = answered["response"]["body"]["choices"][0]["message"]
    assert message["content"] == "You said: Hi"
    assert (failed["custom_id"], failed["response"]) == ("b", None)


def test_a_batch_file_has_no_other_form(batch, gateway):
    write_rows({"custom_id": "a", "body": {}})

    status, _, err = batch(gateway(), "in.jsonl", "out.csv")

    assert (status, "answered in its own form: out.csv is no .jsonl" in err) == (2, True)


def test_an_answer_without_counts_is_estimated_for_the_budget(batch, gateway):
    """Ziya reports no usage; a budget must not wait for figures that never come."""
    engine = gateway(Answer("word " * 40))
    write_rows(*numbered(50))

    status, out, _ = batch(
        engine,
        *("in.jsonl", "out.jsonl", "--max-tokens-total", "100", "--concurrency", "1"),
        model="ziya-llama-13b-v1",
    )

    assert (status, len(engine.requests) < 10) == (1, True)
    assert "answers without counts" in out
