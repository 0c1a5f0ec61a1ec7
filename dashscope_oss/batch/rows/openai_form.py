"""Rows in the form of OpenAI's batch files: custom_id, method, url, body; answered in its form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from dashscope_oss.batch.rows.outcome import Failure
from dashscope_oss.batch.rows.settings import stated_parameters
from dashscope_oss.batch.rows.wire_messages import read_messages
from dashscope_oss.errors import UnsupportedInputError
from dashscope_oss.messages import Json, Options, Reply, Usage
from dashscope_oss.protocol import tools
from dashscope_oss.protocol.request import Request, chat_request
from dashscope_oss.protocol.validation import NOT_PARAMETERS
from dashscope_oss.registry.lookup import find_model
from dashscope_oss.registry.model_info import ModelInfo

_CHAT = "/chat/completions"
_NOT_PARAMETERS = {*NOT_PARAMETERS, "stream_options"}


def is_openai_form(values: Json) -> bool:
    """Whether a row is one of a batch file."""
    return "custom_id" in values and isinstance(values.get("body"), Mapping)


@dataclass(frozen=True)
class OpenAIForm:
    """Rows of a batch file.

    Attributes:
        model_info: answers instead of the models that the rows name.
        options: parameters for rows that set none of their own.
    """

    model_info: ModelInfo | None = None
    options: Options = field(default_factory=Options)

    @property
    def settings(self) -> dict[str, object]:
        """What makes a run: with other settings the same rows are another run."""
        return {
            "form": "OpenAI",
            "model": self.model_info and self.model_info.id,
            "parameters": stated_parameters(self.options),
        }

    def request(self, values: Json) -> Request:
        """Return the request of a row.

        Raises:
            UnsupportedInputError: if it is no call of chat completions, or the model cannot carry
                it.
        """
        body = values.get("body")
        if not isinstance(body, Mapping) or not isinstance(values.get("custom_id"), str):
            raise UnsupportedInputError("the row has no custom_id, or no body")
        url = str(values.get("url"))
        if not url.endswith(_CHAT):
            raise UnsupportedInputError(f"url is {url:.100}; only {_CHAT} can be answered")
        model_info = self.model_info or _named_model(body.get("model"))
        options = self.options.merged(_parameters(body, model_info))
        messages = read_messages(body.get("messages"), "messages", model_info.id)
        return chat_request(model_info, messages, options)

    def answer_columns(self) -> list[str]:
        """Return the columns of an answer: its row holds no others."""
        return ["id", "custom_id", "response", "error"]

    def answered(self, number: int, values: Json, reply: Reply) -> dict[str, object]:
        """Return the line of an answered row."""
        body = _mapping(values.get("body"))
        model = self.model_info.id if self.model_info else body.get("model")
        return _line(number, values, 200, reply.request_id, _completion(number, model, reply))

    def failed(self, number: int, values: Json | None, failure: Failure) -> dict[str, object]:
        """Return the line of a row without an answer."""
        error = {
            "code": failure.code or failure.kind,
            "message": failure.message,
            "type": failure.kind,
        }
        status = failure.status_code
        if status is None:
            return _line(number, values or {}, None, None, None) | {"error": error}
        return _line(number, values or {}, status, failure.request_id, {"error": error})


def _named_model(name: object) -> ModelInfo:
    if not isinstance(name, str) or not name.strip():
        raise UnsupportedInputError("the body names no model; set one for all with --model")
    return find_model(name)


def _parameters(body: Json, model_info: ModelInfo) -> dict[str, object]:
    parameters = {name: v for name, v in body.items() if name not in _NOT_PARAMETERS}
    definitions = parameters.get("tools")
    if "tool_choice" in parameters and isinstance(definitions, list):
        parameters["tool_choice"] = tools.tool_choice(
            parameters["tool_choice"], definitions, model_info.id
        )
    return parameters


def _line(
    number: int,
    values: Json,
    status: int | None,
    request_id: str | None,
    body: object,
) -> dict[str, object]:
    response = {"status_code": status, "request_id": request_id or "", "body": body}
    return {
        "id": f"batch_req_{number}",
        "custom_id": values.get("custom_id"),
        "response": None if status is None else response,
        "error": None,
    }


def _completion(number: int, model: object, reply: Reply) -> dict[str, object]:
    choice = {
        "index": 0,
        "message": tools.write_answer(reply),
        "finish_reason": reply.finish_reason,
        "logprobs": reply.logprobs,
    }
    return {
        "id": f"chatcmpl-{reply.request_id or number}",
        "object": "chat.completion",
        "created": 0,
        "model": model,
        "choices": [choice],
        "usage": reply.usage and _usage(reply.usage),
    }


def _usage(usage: Usage) -> dict[str, object]:
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.total_tokens,
    }


def _mapping(value: object) -> Json:
    return value if isinstance(value, Mapping) else {}
