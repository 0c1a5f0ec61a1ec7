"""What a call costs, in yuan."""

from dataclasses import replace
from datetime import date

import pytest

from dashscope_oss import Usage, find_model
from dashscope_oss.tokens.prices import cost

PRICED = replace(find_model("glm-5"), price_in=0.004, price_out=0.016, priced_on=date(2026, 10, 9))


@pytest.mark.parametrize(
    ("usage", "yuan"),
    [
        (Usage(1000, 500), 0.004 + 0.008),
        (Usage(1000, 0, cached_tokens=500), 0.002 + 0.2 * 0.002),
        (Usage(1000, 0, cached_tokens=500, cache_creation_tokens=0), 0.002 + 0.1 * 0.002),
        (Usage(1000, 0, cached_tokens=0, cache_creation_tokens=1000), 1.25 * 0.004),
        (Usage(10, 0, cached_tokens=1000), 0.2 * 0.004),
        (Usage(1000), None),
        (Usage(output_tokens=5), None),
    ],
)
def test_tokens_from_and_into_the_cache_have_their_own_price(usage, yuan):
    assert cost(PRICED, usage) == (yuan if yuan is None else pytest.approx(yuan))


@pytest.mark.parametrize("field", ["price_in", "price_out", "priced_on"])
def test_a_price_that_no_dated_source_states_is_not_made_up(field):
    assert cost(replace(PRICED, **{field: None}), Usage(1000, 500)) is None
