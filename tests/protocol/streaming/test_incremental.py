"""What each event added, where events hold new text, all the text so far, or nobody knows."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashscope_oss import ProtocolError
from dashscope_oss.protocol.streaming.incremental import IncrementalText

pieces_of_any_text = st.lists(st.text(max_size=6), min_size=1, max_size=8)


def added(mode, texts):
    text = IncrementalText(mode)
    return [*map(text.push, texts), text.end()]


def so_far(pieces):
    return ["".join(pieces[: n + 1]) for n in range(len(pieces))]


@given(pieces_of_any_text)
def test_new_text_of_any_kind_adds_up(pieces):
    assert "".join(added("incremental", pieces)) == "".join(pieces)


@given(pieces_of_any_text)
def test_text_so_far_of_any_kind_adds_up(pieces):
    assert "".join(added("cumulative", so_far(pieces))) == "".join(pieces)


def test_text_that_is_taken_back_is_an_error():
    with pytest.raises(ProtocolError, match="changed text"):
        added("cumulative", ["hello", "help"])


def test_an_empty_event_changes_nothing():
    assert added("cumulative", ["a", "", "ab"]) == ["a", "", "b", ""]


def test_the_first_text_is_handed_on_at_once_even_if_nobody_knows_the_mode():
    assert IncrementalText("unknown").push("It is a place") == "It is a place"


def test_a_text_that_does_not_begin_with_the_one_before_proves_new_text():
    assert added("unknown", ["ha", "ha", "lo ", "ha", "."]) == ["ha", "", "halo ", "ha", ".", ""]


def test_texts_that_keep_growing_prove_text_so_far():
    assert added("unknown", ["ha", "haha", "hahalo", "hahalo!"]) == ["ha", "", "halo", "!", ""]


def test_one_growth_of_a_long_text_is_proof_enough():
    first = "The old palace in the middle of the town"
    assert added("unknown", [first, first + " is large"]) == [first, " is large", ""]


def test_what_is_not_clear_at_the_end_was_text_so_far():
    assert added("unknown", ["ha", "haha"]) == ["ha", "", "ha"]


def test_the_end_gives_what_was_held_back_once():
    text = IncrementalText("unknown")
    text.push("ha")
    text.push("haha")
    assert (text.end(), text.end()) == ("ha", "")


WHOLE = "Hangzhou is the capital of Zhejiang"


@pytest.mark.parametrize("mode", ["expected", "unknown"])
@pytest.mark.parametrize("ends", [(20, 23, 26), (20, 35), (8, 35), (8, 20, 35)])
@pytest.mark.parametrize(
    "last", [[], [WHOLE], [WHOLE + "\n", WHOLE]], ids=["cut", "same", "trimmed"]
)
def test_text_so_far_where_new_text_was_asked_for_is_not_doubled(mode, ends, last):
    """Two events tell, and the last may repeat the one before it or lack its last white space."""
    texts = [*(WHOLE[:end] for end in ends), *last]
    assert "".join(added(mode, texts)).rstrip() == max(texts, key=len).rstrip()


@pytest.mark.parametrize("mode", ["expected", "unknown"])
@pytest.mark.parametrize("text", ["ha", "哈", "\n"])
def test_events_that_are_all_the_same_are_all_new_text(mode, text):
    assert "".join(added(mode, [text] * 3)) == text * 3


def test_repeated_text_that_was_handed_on_before_it_could_be_told_is_an_error():
    """The first letters may be a drawing; then the answer would be doubled."""
    with pytest.raises(ProtocolError, match="repeats the text so far"):
        added("expected", [WHOLE[:end] for end in range(1, 7)])


def test_a_last_event_that_lacks_the_white_space_of_the_one_before_is_whole():
    assert added("cumulative", ["a", "ab \n", "ab"]) == ["a", "b \n", "", ""]


@pytest.mark.parametrize(
    "texts",
    [
        ["a", "aa", "aaa", "aaaa", "aaaaa", "aaaaaa"],
        ["1", "12", "1"],
        ["-" * 16, "-" * 20, "-" * 24, "|", "-" * 16, "-" * 20, "-" * 24],
    ],
    ids=["drawing", "numbers", "table"],
)
def test_new_text_that_begins_like_the_text_before_is_new_text(texts):
    assert "".join(added("expected", texts)) == "".join(texts)


def test_letters_that_grow_a_little_may_still_be_a_drawing():
    assert "".join(added("expected", ["ab", "abc", "abcd", "abcde", "x"])) == "ababcabcdabcdex"


def test_trimmed_text_where_nobody_knows_the_mode_is_text_so_far():
    assert "".join(added("unknown", ["ab", "abc \n", "abc"])) == "abc \n"
