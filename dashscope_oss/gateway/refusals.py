"""From the bytes of a call to a :class:`Job`, or to the refusal that the service would send.

Codes and texts are the vendor's (its status-code page and English error page), because clients
match on them. Where no text of the service is known, one is made in its manner.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NoReturn

from dashscope_oss import tokens
from dashscope_oss.checks import RANGES, wants_json
from dashscope_oss.errors import ProtocolError
from dashscope_oss.gateway.job import Job
from dashscope_oss.messages import ROLES, Message, ToolCall
from dashscope_oss.record import Endpoint, ModelInfo
from dashscope_oss.reply import decode

MAX_BODY_BYTES = 32_000_000

_EMPTY_CONTENT = "Role must be user or assistant and Content length must be greater than 0."
_NOT_SERVED = "Model can not be found. GET /api/v1/models lists what this gateway serves."
_NO_INPUT = 'Either "prompt" or "messages" must exist and cannot both be none'


class Refusal(Exception):
    """A call that is not answered: the vendor's status, code and text."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message

    @property
    def body(self) -> dict[str, object]:
        """The error's body, without ``request_id``."""
        return {"code": self.code, "message": self.message}


UNAVAILABLE = (503, "ModelUnavailable", "Model is unavailable, try again later.")


def read_job(
    body: bytes,
    *,
    endpoint: Endpoint,
    stream: bool,
    request_id: str,
    record_of: Callable[[str], ModelInfo | None],
) -> Job:
    """Return the job in ``body``.

    Raises:
        Refusal: for whatever the service refuses.
    """
    data = _json(body)
    record = _record(data, record_of)
    if record.endpoint != endpoint:
        _invalid("url error, please check url！")
    parameters = _mapping(data.get("parameters"), "parameters")
    messages, prompt = _input(record, _mapping(data.get("input"), "input"))
    job = Job(
        record=record,
        messages=messages,
        prompt=prompt,
        parameters=parameters,
        stream=stream,
        request_id=request_id,
    )
    _check_parameters(parameters)
    _check_abilities(job)
    _check_length(job)
    return job


def _invalid(message: str) -> NoReturn:
    raise Refusal(400, "InvalidParameter", message)


def _json(body: bytes) -> dict[str, object]:
    try:
        return decode(body)
    except ProtocolError:
        _invalid("Required body invalid, please check the request body format.")


def _record(data: Mapping[str, object], record_of: Callable[[str], ModelInfo | None]) -> ModelInfo:
    model = data.get("model")
    if not isinstance(model, str) or not model:
        raise Refusal(
            400, "BadRequest.EmptyModel", 'Required parameter "model" missing from request.'
        )
    record = record_of(model)
    if record is None:
        raise Refusal(404, "ModelNotFound", _NOT_SERVED)
    return record


def _mapping(value: object, name: str) -> dict[str, object]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        _invalid(
            f"Required parameter({name}) missing or invalid, please check the request parameters."
        )
    return value


def _input(
    record: ModelInfo, given: Mapping[str, object]
) -> tuple[tuple[Message, ...] | None, str | None]:
    prompt, messages = given.get("prompt"), given.get("messages")
    if messages is None:
        return _prompt_input(record, prompt, given.get("history"))
    if not isinstance(messages, list):
        _invalid("Input should be a valid list: input.messages")
    if not messages:
        _invalid(_EMPTY_CONTENT.rstrip(".") if prompt else "[] is too short")
    if prompt:
        _invalid('Only one of the parameters "prompt" and "messages" can be present')
    if not record.takes_messages:
        _invalid(f"The model {record.id} only supports prompt input.")
    turns = tuple(_message(record, message) for message in messages)
    _check_turns(turns)
    return turns, None


def _prompt_input(
    record: ModelInfo, prompt: object, history: object
) -> tuple[tuple[Message, ...] | None, str | None]:
    if prompt is None:
        _invalid(_NO_INPUT)
    if not isinstance(prompt, str):
        _invalid("Input should be a valid string: input.prompt")
    if not prompt.strip():
        _invalid("Range of input length should be [1, N]".replace("N", str(_limit(record))))
    if not record.takes_prompt:
        _invalid(f"The model {record.id} only supports messages input.")
    turns = _history(history)
    if not turns:
        return None, prompt
    turns.append(Message("user", prompt))
    if record.takes_messages or record.template is None:
        return tuple(turns), None
    return None, record.template.render(turns)


def _history(history: object) -> list[Message]:
    """The turns of the older ``input.history``: a list of ``{"user": …, "bot": …}``."""
    if history is None:
        return []
    rounds = history if isinstance(history, list) else [history]
    turns: list[Message] = []
    for round_ in rounds:
        user, bot = (round_.get("user"), round_.get("bot")) if isinstance(round_, dict) else (0, 0)
        if not isinstance(user, str) or not isinstance(bot, str):
            _invalid('Input should be a list of {"user": str, "bot": str}: input.history')
        turns += [Message("user", user), Message("assistant", bot)]
    return turns


def _message(record: ModelInfo, message: object) -> Message:
    if not isinstance(message, Mapping):
        _invalid("Input should be a valid dictionary or instance of GPT3Message")
    role = message.get("role")
    if role not in ROLES:
        raise Refusal(400, "InvalidParameter", _EMPTY_CONTENT)
    calls = _tool_calls(message.get("tool_calls"))
    content = _content(record, message, optional=bool(calls))
    if role == "user" and not content:
        raise Refusal(400, "InvalidParameter", _EMPTY_CONTENT)
    if message.get("partial"):
        _invalid("Partial mode is not supported by this gateway.")
    call_id = message.get("tool_call_id")
    return Message(
        role,
        content,
        tool_calls=calls,
        tool_call_id=call_id if isinstance(call_id, str) else None,
    )


def _content(record: ModelInfo, message: Mapping[str, object], *, optional: bool) -> str:
    content = message.get("content")
    if content is None:
        if optional:
            return ""
        _invalid("The content field is a required field.")
    if isinstance(content, str):
        return content
    if record.endpoint == "text-generation" or not isinstance(content, list):
        _invalid("input content must be a string.")
    return "".join(_part(part) for part in content)


def _part(part: object) -> str:
    if isinstance(part, Mapping) and isinstance(part.get("text"), str):
        return str(part["text"])
    _invalid("This gateway takes text only: input.messages.content")


def _tool_calls(calls: object) -> tuple[ToolCall, ...]:
    if not isinstance(calls, list):
        return ()
    found = []
    for index, call in enumerate(calls):
        function = call.get("function") if isinstance(call, Mapping) else None
        if isinstance(call, Mapping) and isinstance(function, Mapping):
            found.append(
                ToolCall(
                    id=str(call.get("id", "")),
                    name=str(function.get("name", "")),
                    arguments=str(function.get("arguments", "")),
                    index=index,
                )
            )
    return tuple(found)


def _check_turns(turns: tuple[Message, ...]) -> None:
    known: set[str] = set()
    for turn in turns:
        known.update(call.id for call in turn.tool_calls)
        if turn.role == "tool" and turn.tool_call_id not in known:
            _invalid(
                'Messages with role "tool" must be a response to a preceding message with '
                '"tool_calls"'
            )
    if all(turn.role == "system" for turn in turns):
        _invalid(_EMPTY_CONTENT)


def _check_parameters(parameters: Mapping[str, object]) -> None:
    for name, (accepts, text) in RANGES.items():
        value = parameters.get(name)
        if value is not None and not accepts(value):
            _invalid(text)


def _check_abilities(job: Job) -> None:
    record, given = job.record, job.parameters
    for name in ("enable_thinking", "incremental_output", "logprobs"):
        if not isinstance(given.get(name, False), bool):
            _invalid(f"Input should be a valid boolean: parameters.{name}")
    if not isinstance(given.get("tools", []), list):
        _invalid("Input should be a valid list: parameters.tools")
    if given.get("logprobs"):
        _invalid("logprobs is not supported by this gateway.")
    if given.get("n", 1) != 1:
        _invalid("This gateway gives one answer a call: Range of n should be [1, 1]")
    if given.get("tools") and not record.tools:
        _invalid("The tool call is not supported.")
    most = record.max_output
    asked = given.get("max_tokens")
    if most is not None and isinstance(asked, int) and asked > most:
        _invalid(f"Range of max_tokens should be [1, {most}]")
    if record.stream_only and not job.stream:
        _invalid(
            "This model only support stream mode, please enable the stream parameter to access "
            "the model."
        )
    if record.incremental == "forced" and given.get("incremental_output") is False:
        _invalid("The incremental_output parameter of this model cannot be set to False.")
    _check_thinking(job)


def _check_thinking(job: Job) -> None:
    switch = job.parameters.get("enable_thinking")
    if wants_json(job.parameters) and job.record.thinks(
        switch if isinstance(switch, bool) else None
    ):
        _invalid("Json mode response is not supported when enable_thinking is true")
    if switch and job.record.thinking == "none":
        raise Refusal(
            400,
            "InvalidParameter.NotSupportEnableThinking",
            "The model does not support enable_thinking.",
        )
    if switch is False and job.record.thinking == "always":
        _invalid("The value of the enable_thinking parameter is restricted to True.")
    if switch and job.record.thinking_streams and not job.stream:
        _invalid("parameter.enable_thinking must be set to false for non-streaming calls")


def _limit(record: ModelInfo) -> int:
    return record.input_limit or 2**31 - 1


def _check_length(job: Job) -> None:
    texts = [job.prompt] if job.prompt is not None else [m.content for m in job.messages or ()]
    least = sum(tokens.at_least(text, job.record.tokenizer) for text in texts)
    if least > _limit(job.record):
        _invalid(f"Range of input length should be [1, {_limit(job.record)}]")
