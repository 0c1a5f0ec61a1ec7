"""The models that a gateway serves, in OpenAI's form."""

import httpx

from dashscope_oss import all_models
from tests.gateway.protocol.openai.calls import door


def test_the_models_are_listed(gateway):
    """All at once: OpenAI's list has no pages."""
    url = door(gateway().base_url)

    listed = httpx.get(f"{url}/models").json()

    assert listed["object"] == "list"
    assert [model["id"] for model in listed["data"]] == [model.id for model in all_models()]
    assert listed["data"][0].keys() == {"id", "object", "created", "owned_by", "served_by"}


def test_one_model_is_described(gateway):
    url = door(gateway().base_url)

    model = httpx.get(f"{url}/models/glm-5").json()

    assert model in httpx.get(f"{url}/models").json()["data"]
    assert (model["object"], model["served_by"]) == ("model", "none (scripted)")


def test_a_model_that_is_not_served_is_not_found(gateway):
    response = httpx.get(f"{door(gateway().base_url)}/models/nobody/at-all")

    assert (response.status_code, response.json()["error"]["code"]) == (404, "model_not_found")
    assert "`nobody/at-all`" in response.json()["error"]["message"]
