"""What is made of settings: connections and prompt functions. They follow when one changes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from llama_index.core.base.llms.generic_utils import (
    messages_to_prompt as generic_messages_to_prompt,
)
from llama_index.core.llms.llm import default_completion_to_prompt
from pydantic import PrivateAttr

from dashscope_oss import AsyncClient, Client, Endpoint
from dashscope_oss.registry.lookup import no_model_named
from dashscope_oss.tokens.rate_limits import rate_limits_of
from dashscope_oss.transport.options import CONNECTION_SETTINGS, ClientOptions
from llama_index_dashscope_oss._convert.prompt_functions import (
    CompletionToPrompt,
    MessagesToPrompt,
    is_users_own,
)
from llama_index_dashscope_oss._settings.aliases import (
    fields_by_name,
    refuse_repeated,
    refuse_settings_as_parameters,
    refuse_unknown,
)
from llama_index_dashscope_oss._settings.fields import LLMSettings, without_incremental_output

_OF_PROMPT_FUNCTIONS = ("model", "model_info", "is_function_calling_model")


def _check_names(cls: type[LLMSettings], settings: Mapping[str, Any]) -> None:
    """Raise for a setting that there is not, and for a missing model."""
    if cls.model_config.get("extra") == "forbid":
        refuse_unknown(cls, without_incremental_output(dict(settings)))
    if cls.model_fields["model"].is_required() and not {"model", "model_name"} & settings.keys():
        raise no_model_named()


class ConfiguredLLM(LLMSettings):
    """A model with the two clients and the prompt functions that its settings ask for."""

    _client: Client = PrivateAttr()
    _async_client: AsyncClient = PrivateAttr()

    def __init__(self, model: str | None = None, /, **settings: Any) -> None:  # noqa: ANN401 - any setting
        refuse_repeated(type(self), [*settings, *["model"] * (model is not None)])
        if model is not None:
            settings["model"] = model
        settings.pop("class_name", None)  # LlamaIndex adds it to what it dumps
        # Not in a validator: pydantic would hide which error it was.
        _check_names(type(self), settings)
        super().__init__(**without_incremental_output(settings))
        refuse_settings_as_parameters(type(self), self.additional_kwargs)
        self._make_clients()
        self._choose_prompt_functions()

    def close(self) -> None:
        """Close the connections of the blocking methods; the next call opens new ones."""
        self._client.close()

    async def aclose(self) -> None:
        """Close the connections of the running event loop; the next call opens new ones."""
        await self._async_client.aclose()

    def _make_clients(self) -> None:
        endpoint = Endpoint.resolve(
            base_url=self.base_url,
            region=self.region,
            api_key=self.api_key,
            workspace=self.workspace,
        )
        options = ClientOptions.of(self, "LlamaIndex", rate_limits_of(self))
        self._client = Client(endpoint, options)
        self._async_client = AsyncClient(endpoint, options)

    def _choose_prompt_functions(self) -> None:
        """Take the family's template where the user gave no function of his own."""
        model_info = self._resolve_model()
        template = None if model_info.takes_messages else model_info.template
        if not is_users_own(self.messages_to_prompt):
            self.messages_to_prompt = (
                MessagesToPrompt(template, model_info) if template else generic_messages_to_prompt
            )
        if not is_users_own(self.completion_to_prompt):
            self.completion_to_prompt = (
                CompletionToPrompt(template) if template else default_completion_to_prompt
            )

    def _follow(self, changed: Iterable[str]) -> None:
        """Make anew what depends on the settings that changed."""
        names = set(changed)
        if "additional_kwargs" in names:
            refuse_settings_as_parameters(type(self), self.additional_kwargs)
        if names.intersection(CONNECTION_SETTINGS):
            self._make_clients()
        if names.intersection(_OF_PROMPT_FUNCTIONS):
            self._choose_prompt_functions()

    def __setattr__(self, name: str, value: Any) -> None:  # noqa: ANN401 - any setting
        field = fields_by_name(type(self)).get(name, name)
        before = self.__dict__.get(field)
        super().__setattr__(field, value)
        try:
            self._follow([field])
        except Exception:  # a refused setting must not count in the next call
            super().__setattr__(field, before)
            raise
