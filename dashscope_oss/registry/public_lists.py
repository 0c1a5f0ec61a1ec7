"""Reads what others say of the models: models.dev's list, litellm's, and the service's own. Pure.

Each has a form of its own, which tells which it is:

- models.dev, https://models.dev/api.json: providers, each with its ``models``.
- litellm, ``model_prices_and_context_window.json``: ids with the provider before the slash.
- the service, ``GET /api/v1/models``: pages of ``output.models``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from dashscope_oss.errors import ConfigurationError
from dashscope_oss.registry.model_info import Modality

Entry: TypeAlias = Mapping[str, object]
MODALITIES: tuple[Modality, ...] = ("text", "image", "video", "audio")

_PROVIDERS = ("alibaba-cn", "alibaba")
_PREFIX = "dashscope/"


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedModel:
    """One model of a list; ``None`` stands for what the list does not say.

    Attributes:
        id: the name by which the service knows it.
        context_window: tokens of input and output together.
        max_input: most input tokens.
        max_output: most output tokens.
        tools: takes tool definitions.
        modalities: for each kind of content that the list speaks of, whether messages may hold it.
        is_open: its weights are open.
        is_retired: the list says that it has left, or is about to.
    """

    id: str
    context_window: int | None = None
    max_input: int | None = None
    max_output: int | None = None
    tools: bool | None = None
    modalities: Mapping[Modality, bool]
    is_open: bool | None = None
    is_retired: bool = False


@dataclass(frozen=True, slots=True)
class PublicList:
    """The chat models of a list.

    Attributes:
        name: who says so.
        models: what is said, by id.
        is_complete: what it does not list, the service does not have.
    """

    name: str
    models: Mapping[str, ListedModel]
    is_complete: bool = False


def read_list(data: object) -> PublicList:
    """Return what a JSON file holds, whichever of the three forms it has.

    Raises:
        ConfigurationError: if it has none of them, or no model of this service.
    """
    public: PublicList | None = None
    if isinstance(data, Mapping):
        if service_models(data) is not None:
            public = service_list([data])
        elif providers := _providers(data):
            public = PublicList("models.dev", _by_id(_models_dev(providers)))
        else:
            public = PublicList("litellm", _by_id(_litellm(data)))
    if public is None or not public.models:
        raise ConfigurationError(
            "this is none of the lists that can be compared: models.dev's api.json, litellm's "
            "model_prices_and_context_window.json, or an answer of GET /api/v1/models"
        )
    return public


def service_list(pages: Iterable[Mapping[str, object]]) -> PublicList:
    """Return what the service answered, page after page; complete if no page is missing."""
    answered = list(pages)
    entries = [entry for page in answered for entry in service_models(page) or ()]
    is_complete = len(entries) >= max((stated_total(page) or 0 for page in answered), default=0)
    models = _by_id(map(_service_model, filter(_is_chat, entries)))
    return PublicList("the service", models, is_complete=is_complete)


def _by_id(models: Iterable[ListedModel]) -> dict[str, ListedModel]:
    by_id: dict[str, ListedModel] = {}
    for model in models:
        by_id.setdefault(model.id, model)
    return by_id


def _providers(data: Mapping[str, object]) -> Sequence[Mapping[str, object]]:
    """Return the providers of models.dev that are this service, Beijing's first."""
    providers = [_mapping(data.get(name)).get("models") for name in _PROVIDERS]
    return [models for models in providers if isinstance(models, Mapping)]


def _models_dev(providers: Sequence[Mapping[str, object]]) -> Iterator[ListedModel]:
    for models in providers:
        for id, listed in models.items():
            entry = _mapping(listed)
            limit, modalities = _mapping(entry.get("limit")), _mapping(entry.get("modalities"))
            if "text" in _texts(modalities.get("output")):
                yield ListedModel(
                    id=id,
                    context_window=_count(limit.get("context")),
                    max_input=_count(limit.get("input")),
                    max_output=_count(limit.get("output")),
                    tools=_flag(entry.get("tool_call")),
                    modalities=_all_modalities(_texts(modalities.get("input"))),
                    is_open=_flag(entry.get("open_weights")),
                    is_retired=entry.get("status") == "deprecated",
                )


def _litellm(data: Mapping[str, object]) -> Iterator[ListedModel]:
    for key, listed in data.items():
        entry = _mapping(listed)
        if entry.get("litellm_provider") == "dashscope" and entry.get("mode", "chat") == "chat":
            yield ListedModel(
                id=key.removeprefix(_PREFIX),
                max_input=_count(entry.get("max_input_tokens")),
                max_output=_count(entry.get("max_output_tokens")),
                tools=_flag(entry.get("supports_function_calling")),
                modalities={
                    modality: supported
                    for modality, name in _LITELLM_MODALITIES.items()
                    if (supported := _flag(entry.get(name))) is not None
                },
                is_retired="deprecation_date" in entry,
            )


_LITELLM_MODALITIES: Mapping[Modality, str] = {
    "image": "supports_vision",
    "video": "supports_video_input",
    "audio": "supports_audio_input",
}


def service_models(page: Mapping[str, object]) -> list[Entry] | None:
    """Return the models on a page of the service's answer, ``None`` if it has no list of them."""
    models = _output(page).get("models")
    return [_mapping(model) for model in models] if isinstance(models, list) else None


def stated_total(page: Mapping[str, object]) -> int | None:
    """Return how many models the service has on all pages, ``None`` if the page does not say."""
    output = _output(page)
    totals = (output.get("total"), output.get("total_count"))
    return next((total for total in totals if isinstance(total, int)), None)


def _output(page: Mapping[str, object]) -> Mapping[str, object]:
    return _mapping(page.get("output") or page.get("data"))


def _is_chat(entry: Entry) -> bool:
    """Whether it answers with text to text; old answers of the service do not say."""
    stated = _mapping(entry.get("inference_metadata"))
    answers = _texts(stated.get("response_modality"))
    takes = _texts(stated.get("request_modality"))
    return bool(entry.get("model")) and (not stated or ("text" in answers and "text" in takes))


def _service_model(entry: Entry) -> ListedModel:
    limits = _mapping(entry.get("model_info"))
    takes = _texts(_mapping(entry.get("inference_metadata")).get("request_modality"))
    features = entry.get("features")
    return ListedModel(
        id=str(entry.get("model")),
        context_window=_count(limits.get("context_window")),
        max_input=_count(limits.get("max_input_tokens")),
        max_output=_count(limits.get("max_output_tokens")),
        tools="function-calling" in features if isinstance(features, list) else None,
        modalities=_all_modalities(takes) if takes else {},
        is_open=_flag(entry.get("opensource")),
    )


def _all_modalities(listed: Sequence[str]) -> dict[Modality, bool]:
    return {modality: modality in listed for modality in MODALITIES}


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}


def _texts(value: object) -> list[str]:
    return [str(item).lower() for item in value] if isinstance(value, list) else []


def _count(value: object) -> int | None:
    """Return a number of tokens; 0 stands in these lists for what nobody knows."""
    return value if isinstance(value, int) and value > 0 else None


def _flag(value: object) -> bool | None:
    return value if isinstance(value, bool) else None
