"""What refusals say of the rate that a server grants: decided without waiting."""

from dashscope_oss.batch.calls.adaptive_rate import AdaptiveRate


def reopened_after(refusals_at, retry_after=None):
    """A rate after ten calls, some of which were refused; the server takes calls again at 10 s."""
    rate = AdaptiveRate()
    periods = [rate.send(0.0) for _ in range(10)]
    for at in refusals_at:
        rate.refuse(periods[0], at, retry_after)
    probe = rate.send(10.0)
    rate.grant(probe, 10.0)
    return rate


def rate_of(rate, now=10.0):
    """Calls a second: one more makes the next one wait for its share of time."""
    rate.send(now)
    return round(1 / rate.wait(now), 3)


def test_the_rate_is_what_was_granted_on_average_with_the_time_that_the_server_took_no_calls():
    """Ten of eleven in ten seconds, and a twentieth less for caution."""
    assert rate_of(reopened_after([5.0], retry_after=5.0)) == 0.95


def test_a_short_pause_after_which_calls_are_granted_at_once_is_not_the_servers():
    """Ten of eleven in five seconds: the pause was this side's own choice."""
    assert rate_of(reopened_after([5.0])) == 1.9


def test_several_refusals_of_one_burst_are_one():
    assert reopened_after([0.5]).period == reopened_after([0.5, 0.6, 0.7]).period == 1


def test_a_refusal_that_comes_late_counts_for_no_later_round():
    rate = reopened_after([0.5])

    rate.refuse(0, 11.0)

    assert (rate.wait(11.0), rate.period) == (0.0, 1)
