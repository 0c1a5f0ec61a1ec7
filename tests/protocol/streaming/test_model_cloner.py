import pickle

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr

from dashscope_oss.protocol.streaming.model_cloner import ModelCloner


class Piece(BaseModel):
    model_config = ConfigDict(extra="allow")

    text: str = ""
    facts: dict[str, int] = Field(default_factory=dict)
    calls: list[str] = Field(default_factory=list)
    _hidden: list[int] = PrivateAttr(default_factory=list)


FIRST = Piece(text="", facts={"a": 1}, more="m")


def test_a_cast_equals_an_object_that_pydantic_made():
    made = ModelCloner(FIRST).clone(text="hi")
    assert made == Piece(text="hi", facts={"a": 1}, more="m")
    assert made.model_dump(exclude_unset=True) == {"text": "hi", "facts": {"a": 1}, "more": "m"}
    assert pickle.loads(pickle.dumps(made)) == made


def test_no_cast_shares_a_list_a_dict_or_its_set_fields_with_another():
    mould = ModelCloner(FIRST)
    one = mould.clone(text="one")
    one.facts["b"] = 2
    one.calls = ["x"]
    one.further = 3
    two = mould.clone(text="two")
    two.calls.append("y")
    assert mould.clone(text="") == FIRST == Piece(text="", facts={"a": 1}, more="m")
    assert one.model_fields_set != two.model_fields_set


def test_a_value_that_is_given_takes_the_place_of_the_first_one():
    assert ModelCloner(FIRST).clone(facts={"z": 9}).facts == {"z": 9}
