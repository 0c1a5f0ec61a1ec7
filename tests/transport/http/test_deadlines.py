import httpcore2
import pytest

from dashscope_oss.transport.http.deadlines import Deadline, WaitLimit, seconds_left


@pytest.mark.parametrize("limit", [None, 3.0])
def test_a_limit_without_a_deadline_stays_as_it_is(limit):
    assert seconds_left(limit, httpcore2.ReadTimeout) == limit


def test_a_read_takes_no_longer_than_what_is_left_of_the_call():
    assert seconds_left(WaitLimit(60, Deadline(2)), httpcore2.ReadTimeout) <= 2
    assert seconds_left(WaitLimit(1, Deadline(60)), httpcore2.ReadTimeout) == 1


def test_no_read_begins_once_the_call_has_ended():
    with pytest.raises(httpcore2.ReadTimeout):
        seconds_left(WaitLimit(60, Deadline(0.0)), httpcore2.ReadTimeout)
