"""The fuzzers' targets hold for what they begin with, and notice what they are there for."""

from __future__ import annotations

import random

import pytest

from dashscope_oss.gateway.protocol.native import parse_request
from dashscope_oss.gateway.protocol.openai import parse_request as openai_request
from dashscope_oss.protocol import response
from dashscope_oss.protocol.assembler import Assembler
from dashscope_oss.protocol.streaming import sse
from tests.fuzz.seeds import SEEDS, WORDS
from tests.fuzz.targets import TARGETS


@pytest.mark.parametrize("target", TARGETS)
def test_a_target_holds_for_its_seeds_and_for_what_is_left_of_them(target):
    """Cut off, doubled, and with a word of the protocol thrown in; ``make fuzz`` goes further."""
    chance = random.Random(target)
    for seed in SEEDS[target]:
        place = chance.randrange(len(seed) + 1)
        word = chance.choice(WORDS).encode()
        for data in (seed, seed[:place], seed * 2, seed[:place] + word + seed[place:]):
            TARGETS[target](data)


@pytest.mark.parametrize("target", TARGETS)
def test_a_target_takes_input_that_is_shorter_than_its_head(target):
    TARGETS[target](b"")


BROKEN = {
    "decoder": (sse.Decoder, "_hold", lambda self, part: None),
    "stream": (Assembler, "so_far", lambda self: "other"),
    "reply": (response, "_content", lambda content: content),
    "request": (parse_request, "parse_input", lambda model_info, data: (None, None)),
    "completion": (openai_request, "parse_input", lambda model_info, data: (None, None)),
}


@pytest.mark.parametrize("target", BROKEN)
def test_a_target_notices_what_is_broken(target, monkeypatch):
    """Bytes lost at a cut, another text so far, a text that is none, a request without input."""
    monkeypatch.setattr(*BROKEN[target])
    with pytest.raises((AssertionError, TypeError, AttributeError)):
        list(map(TARGETS[target], SEEDS[target]))
