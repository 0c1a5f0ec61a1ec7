"""What each event added, where events hold new text, all the text so far, or nobody knows."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashscope_oss import ProtocolError
from dashscope_oss.protocol.streaming.incremental import IncrementalText, Regime

pieces_of_any_text = st.lists(st.text(max_size=6), min_size=1, max_size=8)


def added(mode, texts):
    text = IncrementalText(Regime(mode))
    return [*map(text.push, texts), text.end()]


def counted(mode, texts):
    """The whole text of events that are pairs of a text and a count of tokens."""
    regime = Regime(mode)
    text = IncrementalText(regime)
    pieces = []
    for piece, count in texts:
        regime.note_counts(None if count is None else {"output_tokens": count})
        pieces.append(text.push(piece))
    return "".join([*pieces, text.end()])


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
    assert IncrementalText(Regime("unknown")).push("It is a place") == "It is a place"


def test_a_text_that_does_not_begin_with_the_one_before_proves_new_text():
    assert added("unknown", ["ha", "ha", "lo ", "ha", "."]) == ["ha", "", "halo ", "ha", ".", ""]


def test_texts_that_keep_growing_prove_text_so_far():
    """Those that a drawing may have, too, do not count."""
    assert added("unknown", ["ha", "haha", "hahalo", "hahalo!"]) == ["ha", "", "", "halo!", ""]


def test_one_growth_of_a_long_text_is_proof_enough():
    first = "The old palace in the middle of the town"
    assert added("unknown", [first, first + " is large"]) == [first, " is large", ""]


def test_what_is_not_clear_at_the_end_was_text_so_far():
    assert added("unknown", ["ha", "haha"]) == ["ha", "", "ha"]


def test_the_end_gives_what_was_held_back_once():
    text = IncrementalText(Regime("unknown"))
    text.push("ha")
    text.push("haha")
    assert (text.end(), text.end()) == ("ha", "")


WHOLE = "Hangzhou is the capital of Zhejiang"


@pytest.mark.parametrize("mode", ["expected", "unknown"])
@pytest.mark.parametrize(
    "last", [[], [WHOLE], [WHOLE + "\n", WHOLE]], ids=["cut", "same", "trimmed"]
)
def test_text_so_far_where_new_text_was_asked_for_is_not_doubled(mode, last):
    """Two events tell, and the last may repeat the one before it or lack its last white space."""
    for ends in ((20, 23, 26), (20, 35), (8, 35), (8, 20, 35)):
        texts = [*(WHOLE[:end] for end in ends), *last]
        assert "".join(added(mode, texts)).rstrip() == max(texts, key=len).rstrip()


@pytest.mark.parametrize("mode", ["expected", "unknown"])
@pytest.mark.parametrize("text", ["ha", "哈", "\n"])
def test_events_that_are_all_the_same_are_all_new_text(mode, text):
    assert "".join(added(mode, [text] * 3)) == text * 3


def test_text_so_far_is_told_from_letter_to_letter():
    assert "".join(added("expected", [WHOLE[:end] for end in range(1, 7)])) == WHOLE[:6]


def test_a_last_event_that_lacks_the_white_space_of_the_one_before_is_whole():
    assert added("cumulative", ["a", "ab \n", "ab"]) == ["a", "b \n", "", ""]


@pytest.mark.parametrize(
    "texts",
    [
        ["a", "aa", "aaa", "aaaa", "aaaaa", "aaaaaa"],
        ["1", "12", "1"],
        ["-" * 16, "-" * 20, "-" * 24, "|", "-" * 16, "-" * 20, "-" * 24],
        ["\n", "\nIt is a place"],
    ],
    ids=["drawing", "numbers", "table", "white space"],
)
def test_new_text_that_begins_like_the_text_before_is_new_text(texts):
    assert "".join(added("expected", texts)) == "".join(texts)


@pytest.mark.parametrize("mode", ["expected", "unknown", "unasked"])
def test_few_events_of_text_so_far_are_not_doubled_even_if_new_text_was_promised(mode):
    for texts in (
        ["Hi", "Hi there"],
        ["我", "我是"],
        ["我", "我是", "我是通义"],
        ["Hi", "Hi", "Hi there"],
        ["Hi there ", "Hi there friend. \n", "Hi there friend."],
        ["Yes", "Yes, it is.</s>", "Yes, it is."],
        [WHOLE, WHOLE],
    ):
        assert "".join(added(mode, texts)) == max(texts, key=len)


@pytest.mark.parametrize("mode", ["expected", "unknown"])
def test_counts_of_tokens_tell_what_texts_alone_cannot(mode):
    for texts, whole in (
        ([("ha", 1), ("ha", 2), ("ha", 3)], "hahaha"),
        ([("ha", None), ("ha", None), ("ha", 3)], "hahaha"),
        ([("哈", 1), ("哈", 2)], "哈哈"),
        ([("1", 1), ("12", 3)], "112"),
        ([("1", 1), ("12", 2)], "12"),
        ([("ha", 1), ("haha", 2)], "haha"),
        ([("ha", 1), ("haha", 3), ("haha", 5)], "hahahahaha"),
        ([("no", 2), ("no", 3)], "no"),
        ([("--", None), ("--", None), ("--", None), ("--", 2)], "--"),
        ([("aa", None), ("aa", None), ("aa", 9)], "aaaaaa"),
        ([("Go", 1), ("Go on", 2), ("Go on", 2)], "Go on"),
    ):
        assert counted(mode, texts) == whole


def test_an_event_that_repeats_text_and_count_adds_nothing_once_counts_have_grown():
    texts = [("", 4), ("so ", 5), ("so ", 5), ("it ", 6), ("is", 7)]
    assert counted("unknown", texts) == "so it is"


@pytest.mark.parametrize("count", [None, 0, 1, "2", True])
def test_counts_that_never_grow_or_are_none_tell_nothing(count):
    assert counted("unknown", [("ha", count), ("ha", count), ("!", count)]) == "haha!"


@pytest.mark.parametrize(("mode", "times"), [("expected", 20), ("unknown", 20), ("unasked", 1)])
def test_texts_that_are_all_the_same_are_not_held_back_without_end(mode, times):
    pieces = added(mode, ["ha"] * 20)
    assert "".join(pieces) == "ha" * times
    assert pieces[-1] == ""


def test_texts_that_only_repeat_each_other_are_text_so_far_where_new_text_was_not_asked_for():
    assert "".join(added("unasked", ["ha", "ha"])) == "ha"


def test_what_one_text_of_a_stream_proves_holds_for_the_others():
    regime = Regime("unknown")
    thoughts, text = IncrementalText(regime), IncrementalText(regime)
    assert [thoughts.push(WHOLE[:end]) for end in (18, 22)] == [WHOLE[:18], WHOLE[18:22]]
    assert [text.push(piece) for piece in ("a", "aa")] == ["a", "a"]


def test_what_was_held_back_is_handed_on_once_another_text_proves_new_text():
    regime = Regime("unknown")
    thoughts, text = IncrementalText(regime), IncrementalText(regime)
    held = [text.push("ha"), text.push("ha")]
    thoughts.push("so")
    thoughts.push("it")
    assert [*held, text.push("!")] == ["ha", "", "ha!"]


def test_a_last_event_of_text_so_far_may_lack_a_few_characters():
    """A stop text, say, that the service takes off at the end; more is a change."""
    assert added("cumulative", ["a", "a User:", "a"]) == ["a", " User:", "", ""]
    with pytest.raises(ProtocolError, match="changed text"):
        added("cumulative", ["a", "a" * 40, "a"])


def test_a_character_that_is_not_complete_yet_is_handed_on_when_it_is():
    texts = ["a\ufffd", "a\ufffd\ufffd", "a宫", "a宫\ufffd"]
    assert added("cumulative", texts) == ["a", "", "宫", "", "\ufffd"]


def test_trimmed_text_where_nobody_knows_the_mode_is_text_so_far():
    assert "".join(added("unknown", ["ab", "abc \n", "abc"])) == "abc \n"
