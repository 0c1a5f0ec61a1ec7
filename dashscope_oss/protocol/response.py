"""From the service's JSON to a :class:`Reply`.

Both shapes of an answer are read, ``output.text`` and ``output.choices``, and an error wherever
it stands. Whatever cannot be read raises: no answer is made up, and none is empty because it
could not be read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple, NoReturn

from pydantic_core import to_json

from dashscope_oss.errors import ProtocolError
from dashscope_oss.messages import Json, Reply, SearchResult, ToolCall, Usage
from dashscope_oss.prompts.echo import EchoFilter
from dashscope_oss.protocol.error_mapping import error_in_body, reports_error
from dashscope_oss.protocol.json_body import quoted, text_or_empty
from dashscope_oss.protocol.request import Request
from dashscope_oss.protocol.streaming.answer_text import AnswerText
from dashscope_oss.protocol.streaming.incremental import Regime
from dashscope_oss.protocol.streaming.tool_calls import NO_ARGUMENTS, new_call_id
from dashscope_oss.protocol.tools import read_tool_call
from dashscope_oss.tokens import estimates

SERVED_BY_HEADER = "x-dashscope-oss-served-by"
"""A gateway's word on which weights answer."""
INCREMENTAL_HEADER = "x-dashscope-oss-incremental"
"""A gateway's word on whether events hold new text, ``true``, or all the text so far."""

NAMELESS_CALL = "the answer calls a tool without naming it"


def read_reply(request: Request, data: Mapping[str, object], served_by: str | None = None) -> Reply:
    """Return the reply in the body of a call that did not stream.

    Raises:
        DashScopeError: if the body reports an error.
        ProtocolError: if it holds neither text nor choices.
    """
    if reports_error(data):
        raise error_in_body(data, status_code=None, model=request.model_info.id)
    try:
        output = _answering_output(data)
    except ProtocolError as error:
        error.model = request.model_info.id
        error.request_id = text_or_empty(data.get("request_id")) or None
        raise
    text, reasoning, is_stopped = _whole_answer(request, output)
    return Reply(
        text=text,
        reasoning=reasoning,
        tool_calls=tuple(map(_whole_call, output.tool_calls)),
        finish_reason="stop" if is_stopped else output.finish_reason,
        usage=read_usage(data.get("usage")) or estimate_usage(request, text),
        request_id=text_or_empty(data.get("request_id")) or None,
        served_by=served_by,
        logprobs=output.logprobs,
        search_results=read_search_results(output.search_info),
        images=output.images,
        raw=data,
    )


def answer_text(request: Request, regime: Regime) -> AnswerText:
    """Return what makes the text of the answer to ``request``."""
    return AnswerText(
        regime,
        echo=_echo_filter(request),
        stops=request.own_stops,
        splits_thoughts=request.split_think,
        may_lack_opening=request.may_think,
    )


def _whole_answer(request: Request, output: Output) -> tuple[str, str, bool]:
    """Return text and thoughts of an answer that came whole, and whether a stop text ended it."""
    if request.prompt is None and not request.split_think and not request.own_stops:
        return output.text, output.reasoning, False  # nothing to take off
    answer = answer_text(request, Regime("incremental"))
    text, reasoning = answer.push(output.text, output.reasoning)
    held_text, held_reasoning = answer.end()
    return text + held_text, reasoning + held_reasoning, answer.is_stopped


class Output(NamedTuple):
    """The ``output`` of one body or event, in either shape.

    ``has_finish_reason`` tells whether it has a place for the finish reason, ``is_answer``
    whether it has one for text, reasoning or tool calls, be they empty.
    """

    text: str
    reasoning: str
    tool_calls: tuple[ToolCall, ...]
    finish_reason: str | None
    has_finish_reason: bool
    is_answer: bool
    logprobs: Json | None = None
    search_info: Json | None = None
    images: tuple[str, ...] = ()

    @property
    def is_plain(self) -> bool:
        """Whether it is text of an answer that goes on, and nothing else."""
        more = self.tool_calls or self.logprobs or self.search_info or self.images
        return self.finish_reason is None and not (self.reasoning or more)


def read_output(data: Mapping[str, object]) -> Output | None:
    """Return the output of a body or an event, ``None`` if it has none.

    Raises:
        ProtocolError: if text is no text, or tool calls are no list of calls.
    """
    output = data.get("output")
    if not isinstance(output, dict):
        if not isinstance(data.get("text"), str):
            return None
        output = data  # as the sample of the page LLaMA has it
    choices = output.get("choices")
    if isinstance(choices, list) and choices and isinstance(choices[0], dict):
        choice = choices[0]
        return _read_choice(choice, output) if not choice.get("index") else None
    if "text" in output or output.get("finish_reason") or "search_info" in output:
        is_answer = output.get("text") is not None
        search_info = _mapping_or_none(output.get("search_info"))
        text = _content(output.get("text"))
        return Output(text, "", (), *_finish(output), is_answer, search_info=search_info)
    return None


def read_search_results(search_info: Json | None) -> tuple[SearchResult, ...]:
    """Return the web pages that an answer names; entries without an address are left out."""
    results = (search_info or {}).get("search_results")
    pages = (
        [page for page in results if isinstance(page, dict)] if isinstance(results, list) else []
    )
    return tuple(
        SearchResult(
            index=_counts(page).get("index"),
            title=text_or_empty(page.get("title")),
            url=text_or_empty(page.get("url")),
            site_name=text_or_empty(page.get("site_name")),
        )
        for page in pages
        if text_or_empty(page.get("url"))
    )


def read_usage(usage: object) -> Usage | None:
    """Return the counts as reported.

    0 tokens in and 0 out are ``None``: the vendor fills in zeros where nothing was counted.
    """
    counts = _counts(usage)
    input_tokens, output_tokens = counts.get("input_tokens"), counts.get("output_tokens")
    if not isinstance(usage, dict) or not (input_tokens or output_tokens):
        return None
    of_prompt = _counts(usage.get("prompt_tokens_details"))
    of_input = counts | _counts(usage.get("input_tokens_details"))
    # What was written into the cache is counted in one of three places.
    written = _counts(usage.get("cache_creation")) | counts | of_prompt
    return Usage(
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        total_tokens=counts.get("total_tokens"),
        cached_tokens=of_prompt.get("cached_tokens"),
        reasoning_tokens=_counts(usage.get("output_tokens_details")).get("reasoning_tokens"),
        cache_creation_tokens=written.get(
            "cache_creation_input_tokens", written.get("ephemeral_5m_input_tokens")
        ),
        image_tokens=of_input.get("image_tokens"),
        video_tokens=of_input.get("video_tokens"),
        audio_tokens=of_input.get("audio_tokens"),
    )


def estimate_usage(request: Request, text: str) -> Usage | None:
    """Return estimated counts for a call with this answer, if the caller asked for them."""
    if not request.estimate_usage:
        return None
    return estimates.estimate_usage(request.text, text, request.model_info.tokenizer)


def _whole_call(call: ToolCall) -> ToolCall:
    """Return a call that came whole, with an id, and as the pieces of a stream give it."""
    if call.arguments.strip() in NO_ARGUMENTS:
        call = replace(call, arguments="")
    return call if call.id else replace(call, id=new_call_id())


def _answering_output(data: Mapping[str, object]) -> Output:
    output = read_output(data)
    if output is None or not output.is_answer:
        raise ProtocolError(f"the answer holds neither text nor choices: {quoted(to_json(data))}")
    if not all(call.name for call in output.tool_calls):
        raise ProtocolError(NAMELESS_CALL)
    return output


def _echo_filter(request: Request) -> EchoFilter:
    model_info = request.model_info
    if request.prompt is None:
        return EchoFilter("none", "")
    template = model_info.template
    marks = (template.ends, template.next_turns) if template else ()
    return EchoFilter(model_info.echo, request.prompt, *marks)


def _read_choice(choice: Mapping[str, object], output: Mapping[str, object]) -> Output:
    message = choice.get("message")
    if not isinstance(message, dict):
        message = {}
    thoughts, calls = message.get("reasoning_content"), message.get("tool_calls")
    reasoning = _content(thoughts) if thoughts else ""
    tool_calls = _read_tool_calls(calls) if calls else ()
    content = message.get("content")
    logprobs, search_info = choice.get("logprobs"), output.get("search_info")
    return Output(
        _content(content),
        reasoning,
        tool_calls,
        *_finish(choice if "finish_reason" in choice else output),
        "content" in message or bool(reasoning or tool_calls),
        _mapping_or_none(logprobs) if logprobs else None,
        _mapping_or_none(search_info) if search_info else None,
        _images(content) if isinstance(content, list) else (),
    )


def _mapping_or_none(value: object) -> Json | None:
    return value if isinstance(value, dict) else None


def _finish(holder: Mapping[str, object]) -> tuple[str | None, bool]:
    reason = holder.get("finish_reason")
    is_stated = isinstance(reason, str) and reason not in ("", "null")
    return str(reason) if is_stated else None, "finish_reason" in holder


def _content(content: object) -> str:
    """Return the text of a content; one without text or images raises."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        texts = [part["text"] for part in content if isinstance(part, dict) and "text" in part]
        is_known = texts or not content or _images(content)
        return "".join(map(_text, texts)) if is_known else _raise_no_text(content)
    return _text(content)


def _images(content: list[object]) -> tuple[str, ...]:
    """Return the addresses of the images in a content."""
    addresses = (part.get("image") for part in content if isinstance(part, dict))
    return tuple(address for address in addresses if isinstance(address, str) and address)


def _text(content: object) -> str:
    if isinstance(content, str):
        return content
    return "" if content is None else _raise_no_text(content)


def _raise_no_text(content: object) -> NoReturn:
    raise ProtocolError(f"the text of the answer is not a string: {quoted(to_json(content))}")


def _read_tool_calls(calls: object) -> tuple[ToolCall, ...]:
    if not isinstance(calls, list) or not all(isinstance(call, dict) for call in calls):
        raise ProtocolError(
            f"the tool calls of the answer are not a list of calls: {quoted(to_json(calls))}"
        )
    return tuple(map(read_tool_call, calls))


def _counts(holder: object) -> dict[str, int]:
    """Return the entries that are counts; ``True`` is none."""
    if not holder or not isinstance(holder, dict):
        return {}
    return {name: n for name, n in holder.items() if type(n) is int and n >= 0}
