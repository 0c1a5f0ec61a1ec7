"""Neutral values that every call is made of: what goes in, what comes out.

They know neither DashScope's protocol nor a framework. All but :class:`Delta` are frozen;
``None`` means "not stated", never zero.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import ClassVar, Literal, TypeAlias, get_args

Role: TypeAlias = Literal["system", "user", "assistant", "tool"]
ROLES: tuple[Role, ...] = get_args(Role)

Json: TypeAlias = "Mapping[str, object]"


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call of a tool that a model asked for, or a piece of one while it streams.

    Attributes:
        id: what the tool's result must name.
        name: the tool.
        arguments: the JSON text as the model wrote it.
        index: tells parallel calls apart. In a stream a later piece of a call has the index and
            more ``arguments`` only.
    """

    id: str = ""
    name: str = ""
    arguments: str = ""
    index: int | None = None


MediaKind: TypeAlias = Literal["image", "video", "audio"]
FileSource: TypeAlias = str | bytes
"""An address (``https://``, ``http://``, ``oss://`` or ``data:``), or the bytes of the file itself.
Nobody reads a local file by its name: read it and pass its bytes."""


@dataclass(frozen=True, slots=True)
class TextPart:
    """A piece of a turn's text.

    Attributes:
        text: the text.
        cache_mark: keep everything up to the end of this part in the service's context cache.
    """

    text: str
    cache_mark: bool = False


@dataclass(frozen=True, slots=True)
class ImagePart:
    """An image in a turn.

    Attributes:
        source: the image.
        cache_mark: as for :class:`TextPart`.
        options: how it is read: ``min_pixels``, ``max_pixels``.
        name: what errors call it, a file's name for example. Not sent.
    """

    kind: ClassVar[MediaKind] = "image"

    source: FileSource
    cache_mark: bool = False
    options: Json = field(default_factory=dict)
    name: str = ""


@dataclass(frozen=True, slots=True)
class VideoPart:
    """A video in a turn: a file, or its frames.

    Attributes:
        source: the video, or images that are its frames in order.
        cache_mark: as for :class:`TextPart`.
        options: how it is read: ``fps``, ``max_frames``, ``min_pixels``, ``max_pixels``,
            ``total_pixels``.
        name: what errors call it. Not sent.
    """

    kind: ClassVar[MediaKind] = "video"

    source: FileSource | tuple[FileSource, ...]
    cache_mark: bool = False
    options: Json = field(default_factory=dict)
    name: str = ""


@dataclass(frozen=True, slots=True)
class AudioPart:
    """A recording in a turn.

    Attributes:
        source: the recording.
        cache_mark: as for :class:`TextPart`.
        options: none are known; sent as they are.
        name: what errors call it. Not sent.
    """

    kind: ClassVar[MediaKind] = "audio"

    source: FileSource
    cache_mark: bool = False
    options: Json = field(default_factory=dict)
    name: str = ""


MediaPart: TypeAlias = ImagePart | VideoPart | AudioPart
Part: TypeAlias = TextPart | MediaPart
MEDIA_PARTS: Mapping[str, type[MediaPart]] = {
    part.kind: part for part in (ImagePart, VideoPart, AudioPart)
}
"""The classes of parts that are no text, by their kind."""


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation.

    Attributes:
        role: who speaks.
        content: the text; of a turn with ``parts`` the text of all of them.
        tool_calls: the calls that an assistant's turn makes.
        tool_call_id: the call that a tool's turn answers.
        tool_name: the tool that a tool's turn comes from, if that is known. Not sent: the call
            names it.
        reasoning: what the model thought before this answer of its own.
        partial: the answer goes on where this last turn of the assistant's ends.
        parts: text, images, videos and recordings in their order, for a turn that holds more than
            text, or a cache mark; :meth:`of_parts` makes such a turn.
    """

    role: Role
    content: str
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    reasoning: str | None = None
    partial: bool = False
    tool_name: str | None = None
    parts: tuple[Part, ...] = ()

    @classmethod
    def of_parts(cls, role: Role, parts: Iterable[Part]) -> Message:
        """Return a turn that consists of ``parts``; mere text becomes a turn without them."""
        kept = tuple(parts)
        content = "".join(part.text for part in kept if isinstance(part, TextPart))
        return cls(role, content, parts=kept if any(map(_is_more_than_text, kept)) else ())

    @property
    def all_parts(self) -> tuple[Part, ...]:
        """The parts; a turn of mere text has one, or none if it is empty."""
        return self.parts or ((TextPart(self.content),) if self.content else ())


def _is_more_than_text(part: Part) -> bool:
    return part.cache_mark or not isinstance(part, TextPart)


@dataclass(frozen=True, slots=True)
class Usage:
    """Token counts as the service reported them; ``None`` where it reported nothing.

    ``total_tokens`` is the sum of input and output if it was not reported itself.
    ``output_tokens`` includes ``reasoning_tokens``; ``input_tokens`` includes all that follow:
    ``cached_tokens``, which were read from the context cache, ``cache_creation_tokens``, which
    were written into it, and the tokens of images, videos and recordings. ``estimated`` marks
    counts that nobody reported, given because the caller asked for estimates.
    """

    input_tokens: int | None = None
    output_tokens: int | None = None
    total_tokens: int | None = None
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None
    estimated: bool = False
    cache_creation_tokens: int | None = None
    image_tokens: int | None = None
    video_tokens: int | None = None
    audio_tokens: int | None = None

    def __post_init__(self) -> None:
        if self.total_tokens is not None:
            return
        if self.input_tokens is not None and self.output_tokens is not None:
            object.__setattr__(self, "total_tokens", self.input_tokens + self.output_tokens)

    def _repr_html_(self) -> str:
        counts = {f.name: getattr(self, f.name) for f in fields(self)}
        special = {name: count for name, count in counts.items() if count}
        always = {"input_tokens": self.input_tokens, "output_tokens": self.output_tokens}
        return html_table(always | special, unknown="not reported")


@dataclass(frozen=True, slots=True)
class SearchResult:
    """A web page that the service found and the model read.

    Attributes:
        index: the number by which the answer may cite it, from 1.
        title: of the page.
        url: of the page.
        site_name: the site that it belongs to.
    """

    index: int | None
    title: str
    url: str
    site_name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a caller may set for a call. ``None`` is not sent: the service's default applies.

    Ranges are the vendor's general ones; the pages of the ten seed models document none of the
    sampling parameters, so for those the service may ignore them.

    Attributes:
        temperature: in [0, 2).
        top_p: in (0, 1].
        top_k: at least 0; 0 or more than 100 turns it off.
        seed: in [0, 2**31 - 1] by the pages; the service refuses only above 2**63 - 1.
        max_tokens: tokens of the answer, thinking not counted; at least 1.
        max_completion_tokens: tokens of thoughts and answer together; at least 1.
        stop: text, or several, or ids of tokens, at which the answer ends.
        repetition_penalty: above 0; 1 is none.
        presence_penalty: in [-2, 2].
        enable_thinking: turns thinking on or off on a model that can do both.
        thinking_budget: most tokens the model may think.
        reasoning_effort: how much the model thinks, one of the levels in its record.
        preserve_thinking: let the model read the thoughts of its earlier answers.
        enable_search: let the model search the web, where the service offers it.
        search_options: how it searches; ``{"enable_source": True}`` makes it name its sources.
        vl_high_resolution_images: read images in their full resolution, for more tokens.
        tools: functions in the OpenAI form, ``{"type": "function", "function": {...}}``.
        tool_choice: ``"auto"``, ``"none"`` or one function in the same form.
        parallel_tool_calls: allow several calls in one answer.
        response_format: ``{"type": "json_object"}`` and the like.
        extra: merged into ``parameters`` as it is; wins over the fields above.
        media_options: ``options`` for every image and video of the call that has none of that
            name itself. Not sent itself.
        cache_system_prompt: mark the system text, and with it the tools, for the context cache;
            without a system text the first turn. Not sent itself.
        send_reasoning: send the thoughts of all earlier answers along, or of none; ``None``
            leaves it to the model's record. Not sent itself.
        strict: refuse parameters that the vendor's page of the model does not document. Not sent.
        split_think: take thoughts that the model writes between ``<think>`` and ``</think>`` for
            reasoning, not for text. Not sent.
        estimate_usage: where the service reports no usage, give an estimate, marked as one. Not
            sent.
        check_length: refuse an input that is surely too long for the model. Not sent.
    """

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    seed: int | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    stop: str | Sequence[str] | Sequence[int] | Sequence[Sequence[int]] | None = None
    repetition_penalty: float | None = None
    presence_penalty: float | None = None
    enable_thinking: bool | None = None
    thinking_budget: int | None = None
    reasoning_effort: str | None = None
    preserve_thinking: bool | None = None
    enable_search: bool | None = None
    search_options: Json | None = None
    vl_high_resolution_images: bool | None = None
    tools: Sequence[Json] | None = None
    tool_choice: str | Json | None = None
    parallel_tool_calls: bool | None = None
    response_format: Json | None = None
    extra: Json = field(default_factory=dict)
    media_options: Json = field(default_factory=dict)
    cache_system_prompt: bool = False
    send_reasoning: bool | None = None
    strict: bool = False
    estimate_usage: bool = False
    split_think: bool = False
    check_length: bool = True

    @classmethod
    def of(cls, settings: object) -> Options:
        """Return the options that ``settings`` holds in its own attributes of these names."""
        attributes = vars(settings)
        values = {name: attributes.get(name) for name in _NAMES}
        return cls(**{name: value for name, value in values.items() if value is not None})

    def merged(self, overrides: Json) -> Options:
        """Return these options with ``overrides`` over them; other names go into ``extra``."""
        if not overrides:
            return self
        options = {name: value for name, value in overrides.items() if name in _NAMES}
        extra = {name: value for name, value in overrides.items() if name not in _NAMES}
        return replace(self, **options, extra={**self.extra, **extra})  # type: ignore[arg-type]


_SWITCHES = (
    "media_options",
    "cache_system_prompt",
    "send_reasoning",
    "strict",
    "estimate_usage",
    "split_think",
    "check_length",
)
OPTION_NAMES: tuple[str, ...] = tuple(
    f.name for f in fields(Options) if f.name not in ("extra", *_SWITCHES)
)
"""Names of the options, in the order in which they are sent."""
_NAMES = frozenset((*OPTION_NAMES, *_SWITCHES))


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A whole answer.

    Attributes:
        text: the answer; empty only if the model really said nothing.
        reasoning: what the model thought before it answered, if the service sent it.
        tool_calls: calls that the model asked for, arguments complete.
        finish_reason: ``stop``, ``length``, ``tool_calls``, or ``None`` if the service sent none.
        usage: token counts, or ``None`` if the service reported none.
        request_id: the service's id of the call, for its support.
        served_by: the weights that answered, where a gateway says so.
        logprobs: log probabilities as the service sent them, if they were asked for.
        search_results: the web pages that the model read, if they were asked for.
        images: addresses of images in the answer.
        raw: the reply as it came, with text and ``usage`` left as they were.
    """

    text: str
    reasoning: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    finish_reason: str | None = None
    usage: Usage | None = None
    request_id: str | None = None
    served_by: str | None = None
    logprobs: Json | None = None
    search_results: tuple[SearchResult, ...] = ()
    images: tuple[str, ...] = ()
    raw: Json = field(default_factory=dict)


# Not frozen: that would make each of the many pieces of a stream three times as dear.
@dataclass(slots=True, kw_only=True)
class Delta:
    """What one event of a stream added.

    The fields are those of :class:`Reply`, but ``text``, ``reasoning`` and the ``arguments`` of
    ``tool_calls`` are the new pieces only. ``finish_reason`` and ``usage`` come with the last
    delta; those in between may have an empty ``text`` and nothing else.
    """

    text: str = ""
    reasoning: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    finish_reason: str | None = None
    usage: Usage | None = None
    request_id: str | None = None
    served_by: str | None = None
    logprobs: Json | None = None
    search_results: tuple[SearchResult, ...] = ()
    images: tuple[str, ...] = ()
    raw: Json = field(default_factory=dict)
    last: bool = False

    @property
    def is_plain(self) -> bool:
        """Whether it holds text and nothing else that a caller would look at."""
        more = self.tool_calls or self.search_results or self.images or self.logprobs is not None
        return not (self.last or self.reasoning or more)


def html_table(rows: Mapping[str, object], unknown: str) -> str:
    """Return names and values as an HTML table, which is how notebooks show a value.

    Args:
        rows: a name and its value for each row.
        unknown: what stands for ``None``.
    """
    from html import escape  # noqa: PLC0415 - only notebooks need it

    left = "style='text-align:left'"
    words = {escape(name): escape(_in_words(value, unknown)) for name, value in rows.items()}
    cells = (
        f"<tr><th {left}>{name}</th><td {left}>{text}</td></tr>" for name, text in words.items()
    )
    return f"<table>{''.join(cells)}</table>"


def _in_words(value: object, unknown: str) -> str:
    if value is None:
        return unknown
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or "none"
    return str(value)
