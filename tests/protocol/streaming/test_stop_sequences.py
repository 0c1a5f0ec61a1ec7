"""An answer ends before the first stop text, however its pieces are cut."""

from hypothesis import example, given
from hypothesis import strategies as st

from dashscope_oss.protocol.streaming.stop_sequences import StopSequenceFilter


@example(["a", "bbb", "a"], ["b", "abbba"])
@given(st.lists(st.text("ab|", max_size=4)), st.lists(st.text("ab|", min_size=1), max_size=3))
def test_any_cut_of_the_answer_ends_at_the_same_place(pieces, stops):
    stop_filter = StopSequenceFilter(stops)
    passed = "".join(map(stop_filter.push, pieces)) + stop_filter.end()

    text = "".join(pieces)
    so_far = (text[:size] for size in range(len(text) + 1))
    stopped = next((begin for begin in so_far if begin.endswith(tuple(stops))), None)
    assert stop_filter.hit == (stopped is not None)
    if stopped is None:
        assert passed == text
    else:
        assert passed == stopped[: -max(len(stop) for stop in stops if stopped.endswith(stop))]


def test_text_is_handed_on_as_soon_as_it_cannot_be_a_stop_text():
    stop_filter = StopSequenceFilter(["##"])
    assert [stop_filter.push(piece) for piece in ("a#", "b", "##c", "d")] == ["a", "#b", "", ""]
    assert stop_filter.end() == ""


def test_without_stop_texts_everything_passes():
    assert StopSequenceFilter([]).push("##") == "##"
