"""Estimates of token counts, and how much they may be too high."""

import pytest

from dashscope_oss.tokens import estimates

TEXT = "守塔人擦灯在本子里写道海面平静" * 100


@pytest.mark.parametrize(("family", "error"), [("llama3", 1.2), ("baichuan", 2.0), ("llama2", 1.0)])
def test_a_low_estimate_is_the_estimate_less_its_error(family, error):
    low, about = estimates.low_estimate(TEXT, family), estimates.estimate(TEXT, family)
    assert low == pytest.approx(about / error, abs=1)
    assert estimates.at_least(TEXT, family) <= low
