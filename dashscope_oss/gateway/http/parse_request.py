"""From the bytes of a call to an :class:`EngineRequest`, or to the error the service would send."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pydantic_core import from_json

from dashscope_oss.gateway.api_error import NOT_JSON, APIError, invalid
from dashscope_oss.gateway.engines.engine_request import EngineRequest
from dashscope_oss.gateway.http.parameters import check_parameters
from dashscope_oss.messages import ROLES, Message, ToolCall
from dashscope_oss.registry.model_info import Endpoint, ModelInfo
from dashscope_oss.tokens import estimates

_EMPTY_CONTENT = "Role must be user or assistant and Content length must be greater than 0."
_NOT_SERVED = "Model can not be found. GET /api/v1/models lists what this gateway serves."
_NO_INPUT = 'Either "prompt" or "messages" must exist and cannot both be none'
# Where any id is served it stands in logs and metrics.
_LONGEST_ID = 256


def parse_request(
    body: bytes,
    *,
    endpoint: Endpoint,
    stream: bool,
    request_id: str,
    record_of: Callable[[str], ModelInfo | None],
) -> EngineRequest:
    """Return the job in ``body``.

    Raises:
        APIError: for whatever the service refuses.
    """
    data = _json(body)
    model_info = _record(data, record_of)
    if model_info.endpoint != endpoint:
        invalid("url error, please check url！")
    given = _mapping(data.get("parameters"), "parameters")
    messages, prompt = _input(model_info, _mapping(data.get("input"), "input"))
    job = EngineRequest(
        model_info=model_info,
        messages=messages,
        prompt=prompt,
        parameters={name: value for name, value in given.items() if value is not None},
        stream=stream,
        request_id=request_id,
    )
    check_parameters(job)
    _check_length(job)
    return job


def _json(body: bytes) -> dict[str, object]:
    try:
        found: object = from_json(body, allow_inf_nan=False)
    except ValueError:
        invalid(NOT_JSON)
    if not isinstance(found, dict):
        invalid(NOT_JSON)
    return found


def _record(data: Mapping[str, object], record_of: Callable[[str], ModelInfo | None]) -> ModelInfo:
    model = data.get("model")
    if not isinstance(model, str) or not model:
        raise APIError(
            400, "BadRequest.EmptyModel", 'Required parameter "model" missing from request.'
        )
    model_info = record_of(model) if len(model) <= _LONGEST_ID else None
    if model_info is None:
        raise APIError(404, "ModelNotFound", _NOT_SERVED)
    return model_info


def _mapping(value: object, name: str) -> dict[str, object]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        invalid(
            f"Required parameter({name}) missing or invalid, please check the request parameters."
        )
    return value


def _input(
    model_info: ModelInfo, given: Mapping[str, object]
) -> tuple[tuple[Message, ...] | None, str | None]:
    prompt, messages = given.get("prompt"), given.get("messages")
    if messages is None:
        return _prompt_input(model_info, prompt, given.get("history"))
    if not isinstance(messages, list):
        invalid("Input should be a valid list: input.messages")
    if not messages:
        invalid(_EMPTY_CONTENT.rstrip(".") if prompt else "[] is too short")
    if prompt:
        invalid('Only one of the parameters "prompt" and "messages" can be present')
    if not model_info.takes_messages:
        invalid(f"The model {model_info.id} only supports prompt input.")
    turns = tuple(_message(model_info, message) for message in messages)
    _check_turns(turns)
    return turns, None


def _prompt_input(
    model_info: ModelInfo, prompt: object, history: object
) -> tuple[tuple[Message, ...] | None, str | None]:
    if prompt is None:
        invalid(_NO_INPUT)
    if not isinstance(prompt, str):
        invalid("Input should be a valid string: input.prompt")
    if not prompt.strip():
        invalid("Range of input length should be [1, N]".replace("N", str(_limit(model_info))))
    if not model_info.takes_prompt:
        invalid(f"The model {model_info.id} only supports messages input.")
    turns = _history(history)
    if not turns:
        return None, prompt
    turns.append(Message("user", prompt))
    if model_info.takes_messages or model_info.template is None:
        return tuple(turns), None
    return None, model_info.template.render(turns)


def _history(history: object) -> list[Message]:
    """The turns of the older ``input.history``: a list of ``{"user": …, "bot": …}``."""
    if history is None:
        return []
    rounds = history if isinstance(history, list) else [history]
    turns: list[Message] = []
    for round_ in rounds:
        user, bot = (round_.get("user"), round_.get("bot")) if isinstance(round_, dict) else (0, 0)
        if not isinstance(user, str) or not isinstance(bot, str):
            invalid('Input should be a list of {"user": str, "bot": str}: input.history')
        turns += [Message("user", user), Message("assistant", bot)]
    return turns


def _message(model_info: ModelInfo, message: object) -> Message:
    if not isinstance(message, Mapping):
        invalid("Input should be a valid dictionary or instance of GPT3Message")
    role = message.get("role")
    if role not in ROLES:
        invalid(_EMPTY_CONTENT)
    calls = _tool_calls(message.get("tool_calls"))
    content = _content(model_info, message, optional=bool(calls))
    if role == "user" and not content:
        invalid(_EMPTY_CONTENT)
    if message.get("partial"):
        invalid("Partial mode is not supported by this gateway.")
    call_id = message.get("tool_call_id")
    return Message(
        role,
        content,
        tool_calls=calls,
        tool_call_id=call_id if isinstance(call_id, str) else None,
    )


def _content(model_info: ModelInfo, message: Mapping[str, object], *, optional: bool) -> str:
    content = message.get("content")
    if content is None:
        if optional:
            return ""
        invalid("The content field is a required field.")
    if isinstance(content, str):
        return content
    if model_info.endpoint == "text-generation" or not isinstance(content, list):
        invalid("input content must be a string.")
    return "".join(_part(part) for part in content)


def _part(part: object) -> str:
    text = part.get("text") if isinstance(part, Mapping) else None
    if not isinstance(text, str):
        invalid("This gateway takes text only: input.messages.content")
    return text


def _tool_calls(calls: object) -> tuple[ToolCall, ...]:
    if calls is None:
        return ()
    if not isinstance(calls, list):
        invalid("Input should be a valid list: input.messages.tool_calls")
    return tuple(_tool_call(call, index) for index, call in enumerate(calls))


def _tool_call(call: object, index: int) -> ToolCall:
    function = call.get("function") if isinstance(call, Mapping) else None
    if not isinstance(call, Mapping) or not isinstance(function, Mapping):
        invalid("Input should be a valid dictionary: input.messages.tool_calls")
    id, name, arguments = call.get("id", ""), function.get("name"), function.get("arguments", "")
    if not (isinstance(id, str) and isinstance(name, str) and isinstance(arguments, str)):
        invalid("Input should be a valid string: input.messages.tool_calls")
    return ToolCall(id=id, name=name, arguments=arguments, index=index)


def _check_turns(turns: tuple[Message, ...]) -> None:
    known: set[str] = set()
    for turn in turns:
        known.update(call.id for call in turn.tool_calls)
        if turn.role == "tool" and turn.tool_call_id not in known:
            invalid(
                'Messages with role "tool" must be a response to a preceding message with '
                '"tool_calls"'
            )
    if all(turn.role == "system" for turn in turns):
        invalid(_EMPTY_CONTENT)


def _limit(model_info: ModelInfo) -> int:
    return model_info.input_limit or 2**31 - 1


def _check_length(job: EngineRequest) -> None:
    least = sum(estimates.at_least(text, job.model_info.tokenizer) for text in job.texts)
    if least > _limit(job.model_info):
        invalid(f"Range of input length should be [1, {_limit(job.model_info)}]")
