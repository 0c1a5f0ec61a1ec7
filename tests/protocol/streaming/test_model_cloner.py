"""Copies of pydantic objects that equal those that pydantic makes, and share nothing."""

import pickle

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr

from dashscope_oss.protocol.streaming.model_cloner import ModelCloner


class Piece(BaseModel):
    model_config = ConfigDict(extra="allow")

    text: str = ""
    facts: dict[str, int] = Field(default_factory=dict)
    calls: list[str] = Field(default_factory=list)
    _hidden: list[int] = PrivateAttr(default_factory=list)


class OtherPiece(Piece):
    """Another class."""


ORIGINAL = Piece(text="", facts={"a": 1}, more="m")


def test_a_clone_equals_an_object_that_pydantic_made():
    clone = ModelCloner(ORIGINAL).clone(text="hi")
    assert clone == Piece(text="hi", facts={"a": 1}, more="m")
    assert clone.model_dump(exclude_unset=True) == {"text": "hi", "facts": {"a": 1}, "more": "m"}
    assert pickle.loads(pickle.dumps(clone)) == clone


def test_no_clone_shares_a_list_a_dict_or_its_set_fields_with_another():
    cloner = ModelCloner(ORIGINAL)
    one = cloner.clone(text="one")
    one.facts["b"] = 2
    one.calls = ["x"]
    one.further = 3
    two = cloner.clone(text="two")
    two.calls.append("y")
    assert cloner.clone(text="") == ORIGINAL == Piece(text="", facts={"a": 1}, more="m")
    assert one.model_fields_set != two.model_fields_set


class PlainPiece(BaseModel):
    text: str = ""


def test_a_model_without_extra_fields_and_private_attributes_is_cloned_too():
    clone = ModelCloner(PlainPiece(text="a")).clone(text="b")
    assert clone == PlainPiece(text="b")
    assert clone.model_copy() == clone


def test_a_change_takes_the_place_of_the_originals_value():
    assert ModelCloner(ORIGINAL).clone(facts={"z": 9}).facts == {"z": 9}


def test_it_knows_of_which_class_its_objects_are():
    assert ModelCloner(ORIGINAL).makes(BaseModel)
    assert not ModelCloner(ORIGINAL).makes(OtherPiece)
