"""What refusals say of the rate that a server grants: decided without waiting."""

from dashscope_oss.batch.calls.adaptive_rate import AdaptiveRate


def reopened_after(refusals_at):
    """A rate of ten calls, two of which are refused; the server takes calls again after 10 s."""
    rate = AdaptiveRate()
    periods = [rate.send(0.0) for _ in range(10)]
    for at in refusals_at:
        rate.refuse(periods[0], at)
    probe = rate.send(10.0)
    rate.grant(probe, 10.0)
    return rate


def test_the_rate_is_what_was_granted_on_average_the_refusal_included():
    rate = reopened_after([0.5, 0.6])

    rate.send(10.0)  # 9 calls in 10 seconds were granted; a twentieth less is taken
    assert round(1 / rate.wait(10.0), 3) == 0.855


def test_several_refusals_of_one_burst_are_one():
    assert reopened_after([0.5]).period == reopened_after([0.5, 0.6, 0.7]).period == 1


def test_a_refusal_that_comes_late_counts_for_no_later_round():
    rate = reopened_after([0.5])

    rate.refuse(0, 11.0)

    assert (rate.wait(11.0), rate.period) == (0.0, 1)
