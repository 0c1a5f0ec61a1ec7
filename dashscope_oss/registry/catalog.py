"""The models that the registry knows from the start.

Sources, as the records name them:

- page: the vendor's API page of the family (LLaMA, Ziya-LLaMA, BELLE-LLaMA, BiLLa, Baichuan).
- retirement: the vendor's page of retired models (下线), with the batches of 2025-05-08,
  2025-07-02, 2026-03-30, 2026-05-13 and 2026-10-10.
- rate: the vendor's rate-limit page of 2026-02-24, also for requests and tokens a minute.
  deepseek, glm, kimi, minimax: its pages of those series, 2026. native: its description of the
  native API, 2026.
- capture: published traffic of the service. lists: model lists of other projects, 2026-07 to -11.

Prices of current models differ between sources and change; the registry holds only those that
the ten seed pages state.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import date

from dashscope_oss.prompts.templates import BAICHUAN2, BELLE, BILLA, LLAMA2, LLAMA3, PLAIN, ZIYA
from dashscope_oss.registry.model_info import ModelInfo

_READ = date(2026, 11, 21)
_SUCCESSORS = ("qwen-max", "qwen-plus", "qwen-flash")

# Decisions on contradictions that several pages share.
_METERING = (
    "The page says use is billed by tokens, and that this model has no metering; its HTTP sample "
    "has no usage key, and the zeros of its SDK sample are filled in by the SDK: usage is None."
)
_REQUEST_ID = "The page's tables write request_Id; every JSON sample writes request_id: the latter."

_SEED = ModelInfo(
    id="",
    family="",
    maker="",
    status="retired",
    retired_on=date(2025, 7, 2),
    successors=_SUCCESSORS,
    checked=_READ,
    documented_parameters=(),
)

_LLAMA2 = replace(
    _SEED,
    family="llama2",
    maker="Meta",
    inputs=("prompt", "messages"),
    template=LLAMA2,
    strict_turns=True,
    reports_finish=False,
    context_window=4096,
    tokenizer="llama2",
    price_in=0.0,
    price_out=0.0,
    free_quota="1,000,000 tokens after application, for 180 days",
    documented_parameters=("result_format",),
    source="page LLaMA; window and quota: its later edition of 2024; retirement",
    notes=(
        "Input limit: this page says 2048 (7b) and 4096 (13b), a later edition 4,000 for both: "
        "this page's figures.",
        "The table says output holds text only, the SDK sample asks for result_format=message: "
        "message is asked for with messages, and both shapes are read.",
        "The HTTP table has input.prompt only, the HTTP sample sends input.messages: both work.",
        "The SDK sample prints text outside output; the table and the HTTP sample put it inside: "
        "inside.",
        "A sample answer leaks the marker '[/Inst:'; it is the model's text and is left alone.",
        _REQUEST_ID,
    ),
)
_LLAMA3 = replace(
    _LLAMA2,
    family="llama3",
    inputs=("messages",),
    template=LLAMA3,
    context_window=8000,
    max_input=6500,
    max_output=1500,
    tokenizer="llama3",
    notes=(
        "Listed in the overview, missing from the page's parameter tables: the overview counts.",
        "Limits: this page says 6,500 in and 1,500 out, a later edition 8,000 in all: this page's.",
        "The HTTP table calls input.prompt required, the overview says messages only: messages.",
        _REQUEST_ID,
    ),
)
_ZIYA = replace(
    _SEED,
    id="ziya-llama-13b-v1",
    family="ziya",
    maker="IDEA-CCNL",
    inputs=("prompt",),
    template=ZIYA,
    reports_usage=False,
    reports_finish=False,
    echo="spaced",
    context_window=2048,
    tokenizer="llama2",
    weights="Fengshenbang/Ziya-LLaMA-13B-v1 v1.0.3",
    source="page Ziya-LLaMA; window: config of the weights (2048 positions); retirement",
    notes=(
        "Both samples begin with '<s>' and the prompt with a space before each colon, and end "
        "with '</s>': the answer is what stands between.",
        "An older LLaMA-Factory template joins turns by a line break, the maker's code by "
        "nothing: the maker's.",
        _METERING,
        _REQUEST_ID,
    ),
)
_BELLE = replace(
    _SEED,
    id="belle-llama-13b-2m-v1",
    family="belle",
    maker="LianjiaTech",
    inputs=("prompt",),
    template=BELLE,
    reports_usage=False,
    reports_finish=False,
    context_window=2048,
    tokenizer="llama2",
    weights="AI-ModelScope/BELLE-LLaMA-13B-2M v1.0.1",
    source="page BELLE-LLaMA; window: LLaMA's 2048 positions; retirement",
    notes=(
        "The page writes 'Human:你好', the maker's card 'Human: 你好': the page's, without space.",
        "Only this page documents the two SSE headers, over a sample titled 'SSE off': both "
        "headers are sent for a stream, to every model.",
        _METERING,
        _REQUEST_ID,
    ),
)
_BILLA = replace(
    _SEED,
    id="billa-7b-sft-v1",
    family="billa",
    maker="Neutralzz",
    inputs=("prompt",),
    template=BILLA,
    reports_usage=False,
    reports_finish=False,
    context_window=2048,
    tokenizer="llama2-zh",
    weights="AI-ModelScope/BiLLa-7B-SFT v1.0.5",
    source="page BiLLa; window: LLaMA's 2048 positions; retirement",
    notes=(
        "The SDK sample sends a bare question and shows the answer to another one, the HTTP "
        "sample sends 'Human: …\\nAssistant: ': the latter is the template.",
        "The maker calls its multi-turn ability weak.",
        "The table's sample values come from another page and are ignored.",
        _METERING,
        _REQUEST_ID,
    ),
)
_BAICHUAN1 = replace(
    _SEED,
    id="baichuan-7b-v1",
    family="baichuan1-base",
    maker="Baichuan",
    inputs=("prompt",),
    template=PLAIN,
    reports_usage=False,
    reports_finish=False,
    echo="line",
    context_window=4096,
    tokenizer="baichuan",
    price_in=0.0,
    price_out=0.0,
    free_quota="1,000,000 tokens on application, for 180 days; not callable afterwards",
    documented_parameters=("result_format",),
    source="page Baichuan; retirement",
    notes=(
        "A base model: it continues text, best after examples of one line each.",
        "One usage row says no metering, the sample reports 5/470, the HTTP table gives usage to "
        "the two baichuan2 models only: None here.",
        "The page's sample answer repeats the prompt and its model is not named: an exact leading "
        "copy is removed for all three.",
        _REQUEST_ID,
    ),
)
_BAICHUAN2 = replace(
    _BAICHUAN1,
    id="",
    family="baichuan2",
    inputs=("prompt", "messages"),
    template=BAICHUAN2,
    strict_turns=True,
    reports_usage=True,
    reports_finish=True,
    price_in=0.006,
    price_out=0.006,
    free_quota="1,000,000 tokens on application, for 180 days",
    notes=(
        "The title speaks of baichuan-13B and the text of a 7B model; the served ids are those of "
        "the overview.",
        "baichuan2-13b is missing from the parameter rows ('only 7b takes messages'), yet overview "
        "and HTTP sample use it with messages: it takes them.",
        "finish_reason is placed at output or at output.choices, 'null' described as null: both "
        "places and both spellings are read.",
        "output.choices.message is typed List, the sample has an object in a list of choices: "
        "the sample.",
        "The page's sample answer repeats the prompt: an exact leading copy is removed.",
        _REQUEST_ID,
    ),
)

_SEEDS = (
    replace(_LLAMA2, id="llama2-7b-chat-v2", max_input=2048),
    replace(_LLAMA2, id="llama2-13b-chat-v2", max_input=4096),
    replace(_LLAMA3, id="llama3-8b-instruct"),
    replace(_LLAMA3, id="llama3-70b-instruct"),
    _ZIYA,
    _BELLE,
    _BILLA,
    _BAICHUAN1,
    replace(_BAICHUAN2, id="baichuan2-7b-chat-v1"),
    replace(_BAICHUAN2, id="baichuan2-13b-chat-v1", price_in=0.008, price_out=0.008),
)

# Hosted today. "Hosted" means: listed by the named source and not on the retirement list.
_HOSTED = ModelInfo(
    id="",
    family="",
    maker="",
    status="hosted",
    incremental="yes",
    thinking="hybrid",
    thinks_by_default=True,
    tools=True,
    structured="json_object",
    checked=_READ,
)
_QWEN35 = replace(
    _HOSTED,
    reasoning_in_history="tool_turns",
    system_turns="first",
    family="qwen3.5",
    maker="Qwen",
    endpoint="multimodal-generation",
    modalities=("text", "image", "video"),
    preserve_thinking=True,
    text_reply=False,
    incremental="forced",
    context_window=262_144,
    max_output=65_536,
    tokenizer="qwen",
    source="native; rate; lists",
    notes=("Its endpoint follows from the series being multimodal; no page lists it by id.",),
)
_DEEPSEEK4 = replace(
    _HOSTED,
    reasoning_in_history="tool_turns",
    family="deepseek-v4",
    maker="DeepSeek",
    text_reply=False,
    context_window=1_000_000,
    max_output=393_216,
    max_tokens_counts_thoughts=True,
    max_completion_tokens=True,
    thinking_streams=False,
    reasoning_efforts=("high", "max"),
    source="capture; lists",
    unsupported_parameters=("top_k",),
    notes=("A captured call that did not stream thought all the same.",),
)
_GLM5 = replace(
    _HOSTED,
    reasoning_in_history="tool_turns",
    family="glm",
    maker="Zhipu",
    context_window=202_752,
    max_output=131_072,
    source="glm; lists",
)
_KIMI = replace(
    _HOSTED,
    reasoning_in_history="tool_turns",
    family="kimi",
    maker="Moonshot",
    endpoint="multimodal-generation",
    modalities=("text", "image", "video"),
    preserve_thinking=True,
    text_reply=False,
    context_window=262_144,
    max_output=16_384,
    structured="unknown",
    source="kimi; lists",
)
_MINIMAX = replace(
    _HOSTED,
    reasoning_in_history="tool_turns",
    system_turns="first",
    family="minimax",
    maker="MiniMax",
    context_window=196_608,
    max_output=32_768,
    thinking="always",
    structured="unknown",
    source="minimax; rate; lists",
    notes=("32,768 counts thinking and answer together.",),
)
_DIRECT = replace(
    _HOSTED,
    thinking="unknown",
    thinks_by_default=False,
    structured="unknown",
    incremental="unknown",
    source="lists; supplier's page",
    notes=("Supplied directly by its maker; must be activated in the console.",),
)

_CURRENT = (
    replace(_QWEN35, id="qwen3.5-397b-a17b"),
    replace(_QWEN35, id="qwen3.5-122b-a10b"),
    replace(_QWEN35, id="qwen3.5-35b-a3b"),
    replace(_QWEN35, id="qwen3.5-27b"),
    replace(_QWEN35, id="qwen3.6-35b-a3b", family="qwen3.6", source="native; lists"),
    replace(_QWEN35, id="qwen3.6-27b", family="qwen3.6", source="native; lists"),
    replace(_DEEPSEEK4, id="deepseek-v4-pro"),
    replace(_DEEPSEEK4, id="deepseek-v4-flash"),
    replace(_GLM5, id="glm-5", max_output=16_384, structured="unknown"),
    replace(_GLM5, id="glm-5.1", max_input=202_745),
    replace(_GLM5, id="glm-5.2", context_window=None, max_input=1_048_576, source="lists"),
    replace(
        _KIMI,
        id="kimi-k2.5",
        max_input=258_048,
        max_output=32_768,
        notes=("260,096 in when it does not think.",),
    ),
    replace(_KIMI, id="kimi-k2.6"),
    replace(
        _KIMI,
        id="kimi-k2.7-code",
        context_window=None,
        max_input=229_376,
        thinking="always",
        structured="json_object",
        source="lists",
        notes=("Its endpoint follows from its taking images; no page lists it by id.",),
    ),
    replace(_MINIMAX, id="MiniMax-M2.5", max_input=196_601),
    replace(
        _DIRECT,
        id="MiniMax/MiniMax-M2.5",
        family="minimax",
        maker="MiniMax",
        context_window=204_800,
        max_output=131_072,
    ),
    replace(
        _DIRECT,
        id="MiniMax/MiniMax-M2.7",
        family="minimax",
        maker="MiniMax",
        context_window=204_800,
        max_output=131_072,
    ),
    replace(_DIRECT, id="kimi/kimi-k2.6", family="kimi", maker="Moonshot"),
    replace(
        _DIRECT,
        id="kimi/kimi-k2.5",
        family="kimi",
        maker="Moonshot",
        context_window=262_144,
        max_output=262_144,
    ),
    replace(_DIRECT, id="vanchin/deepseek-v4-pro", family="deepseek-v4", maker="DeepSeek"),
    replace(
        _DIRECT,
        id="siliconflow/deepseek-v3.2",
        family="deepseek-v3",
        maker="DeepSeek",
        context_window=163_840,
        max_output=65_536,
    ),
)


def _retired(
    when: date,
    successors: tuple[str, ...],
    family: str,
    maker: str,
    ids: str,
    base: ModelInfo | None = None,
) -> Iterable[ModelInfo]:
    common = base or ModelInfo(id="", family=family, maker=maker, thinking="unknown")
    for id in ids.split():
        yield replace(
            common,
            id=id,
            family=family,
            maker=maker,
            status="retired",
            retired_on=when,
            successors=successors,
            source=common.source or "retirement",
            checked=_READ,
        )


_QWEN = ModelInfo(id="", family="", maker="Qwen", tokenizer="qwen")
_QWEN25 = replace(_QWEN, context_window=131_072, max_output=8192, tools=True)
_QWEN3 = replace(
    _QWEN25,
    text_reply=False,
    incremental="forced",
    thinking="hybrid",
    thinks_by_default=True,
    structured="json_object",
    source="native; retirement",
)
_QWEN3_BIG = replace(_QWEN3, max_output=16_384)
_QWEN3_INSTRUCT = replace(_QWEN3, thinking="none", thinks_by_default=False, max_output=None)
_QWEN3_THINKING = replace(_QWEN3_INSTRUCT, thinking="always")
_CODER = replace(_QWEN25, context_window=262_144, max_output=65_536)
_DEEPSEEK = ModelInfo(
    id="", family="", maker="", context_window=131_072, tools=True, source="deepseek; retirement"
)
_DEEPSEEK31 = replace(_DEEPSEEK, max_input=98_304, max_output=65_536, thinking="hybrid")
_DEEPSEEK_R1 = replace(_DEEPSEEK, max_input=98_304, max_output=16_384, thinking="always")
_DISTILL = ModelInfo(id="", family="", maker="", thinking="always")
_GLM4 = ModelInfo(
    id="",
    family="",
    maker="",
    thinking="hybrid",
    context_window=202_752,
    max_input=169_984,
    max_output=16_384,
    source="glm; retirement",
)
_LLAMA31 = ModelInfo(
    id="",
    family="",
    maker="",
    template=LLAMA3,
    context_window=128_000,
    tokenizer="llama3",
    source="later edition of the page LLaMA; retirement",
)
_CHATGLM = ModelInfo(id="", family="", maker="", source="page ChatGLM; retirement")

_2025_07, _2025_05 = date(2025, 7, 2), date(2025, 5, 8)
_2026_03, _2026_05, _2026_10 = date(2026, 3, 30), date(2026, 5, 13), date(2026, 10, 10)
_Q36, _Q37 = ("qwen3.6-flash", "qwen3.7-plus"), ("qwen3.7-plus",)
_Q37_GLM = ("qwen3.7-plus", "glm-5.2")

_RETIRED = (
    *_retired(
        _2025_07,
        _SUCCESSORS,
        "llama3",
        "Meta",
        "llama3.1-8b-instruct llama3.1-70b-instruct llama3.1-405b-instruct",
        _LLAMA31,
    ),
    *_retired(
        _2025_07,
        _SUCCESSORS,
        "llama3",
        "Meta",
        "llama3.2-1b-instruct llama3.2-3b-instruct",
        replace(_LLAMA31, context_window=32_000, max_input=30_000),
    ),
    *_retired(
        _2025_07,
        _SUCCESSORS,
        "llama3",
        "Meta",
        "llama3.3-70b-instruct",
        replace(_LLAMA31, context_window=None),
    ),
    *_retired(
        _2025_07,
        _SUCCESSORS,
        "chatglm",
        "Zhipu",
        "chatglm-6b-v2",
        replace(_CHATGLM, inputs=("prompt",), template=PLAIN),
    ),
    *_retired(
        _2025_07,
        _SUCCESSORS,
        "chatglm",
        "Zhipu",
        "chatglm3-6b",
        replace(
            _CHATGLM,
            inputs=("prompt", "messages"),
            context_window=7500,
            max_input=6000,
            max_output=1500,
        ),
    ),
    *_retired(
        _2026_03,
        ("qwen3.5-flash",),
        "llama4",
        "Meta",
        "llama-4-scout-17b-16e-instruct llama-4-maverick-17b-128e-instruct",
    ),
    *_retired(
        _2025_05,
        (),
        "qwen1",
        "Qwen",
        "qwen-72b-chat qwen-14b-chat qwen-7b-chat qwen-1.8b-chat qwen-1.8b-longcontext-chat",
        _QWEN,
    ),
    *_retired(
        _2026_03,
        (),
        "qwen1.5",
        "Qwen",
        "qwen1.5-110b-chat qwen1.5-72b-chat qwen1.5-32b-chat qwen1.5-14b-chat qwen1.5-7b-chat "
        "qwen1.5-1.8b-chat qwen1.5-0.5b-chat",
        _QWEN,
    ),
    *_retired(
        _2026_03,
        (),
        "qwen2",
        "Qwen",
        "qwen2-57b-a14b-instruct qwen2-72b-instruct qwen2-7b-instruct qwen2-1.5b-instruct "
        "qwen2-0.5b-instruct",
        _QWEN,
    ),
    *_retired(
        _2026_05,
        (),
        "qwen2.5",
        "Qwen",
        "qwen2.5-72b-instruct qwen2.5-32b-instruct qwen2.5-14b-instruct qwen2.5-7b-instruct",
        _QWEN25,
    ),
    *_retired(
        _2026_05,
        (),
        "qwen2.5",
        "Qwen",
        "qwen2.5-3b-instruct qwen2.5-1.5b-instruct qwen2.5-0.5b-instruct qwen2.5-14b-instruct-1m "
        "qwen2.5-7b-instruct-1m",
        _QWEN,
    ),
    *_retired(
        _2026_05,
        (),
        "qwq",
        "Qwen",
        "qwq-32b qwq-32b-preview",
        replace(_QWEN, thinking="always", stream_only=True),
    ),
    *_retired(
        _2026_05,
        (),
        "qwen3",
        "Qwen",
        "qwen3-4b qwen3-1.7b qwen3-0.6b",
        replace(_QWEN3, context_window=None, max_output=None),
    ),
    *_retired(_2026_10, _Q36, "qwen3", "Qwen", "qwen3-8b qwen3-14b", _QWEN3),
    *_retired(
        _2026_10, _Q36, "qwen3", "Qwen", "qwen3-32b qwen3-30b-a3b qwen3-235b-a22b", _QWEN3_BIG
    ),
    *_retired(
        _2026_10,
        _Q36,
        "qwen3",
        "Qwen",
        "qwen3-235b-a22b-instruct-2507 qwen3-30b-a3b-instruct-2507",
        _QWEN3_INSTRUCT,
    ),
    *_retired(
        _2026_10,
        _Q36,
        "qwen3",
        "Qwen",
        "qwen3-235b-a22b-thinking-2507 qwen3-30b-a3b-thinking-2507",
        _QWEN3_THINKING,
    ),
    *_retired(
        _2026_10,
        _Q36,
        "qwen3",
        "Qwen",
        "qwen3-next-80b-a3b-instruct",
        replace(_QWEN3_INSTRUCT, text_reply=True, max_output=32_768),
    ),
    *_retired(
        _2026_10,
        _Q36,
        "qwen3",
        "Qwen",
        "qwen3-next-80b-a3b-thinking",
        replace(_QWEN3_THINKING, max_output=32_768),
    ),
    *_retired(_2026_10, _Q37, "qwen3-coder", "Qwen", "qwen3-coder-next", _QWEN),
    *_retired(
        _2026_10,
        _Q37,
        "qwen3-coder",
        "Qwen",
        "qwen3-coder-30b-a3b-instruct qwen3-coder-480b-a35b-instruct",
        _CODER,
    ),
    *_retired(_2026_10, _Q37, "deepseek-v3", "DeepSeek", "deepseek-v3", _DEEPSEEK),
    *_retired(
        _2026_10,
        _Q37,
        "deepseek-v3",
        "DeepSeek",
        "deepseek-v3.1 deepseek-v3.2 deepseek-v3.2-exp",
        _DEEPSEEK31,
    ),
    *_retired(
        _2026_10, _Q37, "deepseek-r1", "DeepSeek", "deepseek-r1 deepseek-r1-0528", _DEEPSEEK_R1
    ),
    *_retired(
        _2026_10,
        _Q37,
        "deepseek-r1-distill",
        "DeepSeek",
        "deepseek-r1-distill-qwen-7b deepseek-r1-distill-qwen-14b deepseek-r1-distill-qwen-32b",
        _DISTILL,
    ),
    *_retired(_2026_10, _Q37_GLM, "glm", "Zhipu", "glm-4.5 glm-4.5-air"),
    *_retired(_2026_10, _Q37_GLM, "glm", "Zhipu", "glm-4.6 glm-4.7", _GLM4),
    *_retired(_2026_10, _Q37_GLM, "minimax", "MiniMax", "MiniMax-M2.1"),
    *_retired(
        _2026_10,
        _Q37_GLM,
        "kimi",
        "Moonshot",
        "Moonshot-Kimi-K2-Instruct",
        ModelInfo(
            id="",
            family="",
            maker="",
            context_window=131_072,
            max_output=8192,
            source="kimi; retirement",
        ),
    ),
    *_retired(
        _2026_10,
        _Q37_GLM,
        "kimi",
        "Moonshot",
        "kimi-k2-thinking",
        ModelInfo(
            id="",
            family="",
            maker="",
            thinking="always",
            context_window=262_144,
            max_input=229_376,
            max_output=16_384,
            source="kimi; retirement",
        ),
    ),
)

# Listed in March 2026, on no retirement list since.
_UNCERTAIN = tuple(
    ModelInfo(
        id=id,
        family="deepseek-r1-distill",
        maker="DeepSeek",
        status="unknown",
        thinking="always",
        context_window=32_768,
        max_output=16_384,
        source="deepseek; rate",
        checked=date(2026, 3, 24),
    )
    for id in (
        "deepseek-r1-distill-qwen-1.5b",
        "deepseek-r1-distill-llama-8b",
        "deepseek-r1-distill-llama-70b",
    )
)

# Requests and tokens a minute, as the page "rate" lists them for Beijing; its 0 for a model that
# had left by then says nothing. Models that left later keep what they had.
_RATES = {
    (10, 20_000): "llama-4-scout-17b-16e-instruct llama-4-maverick-17b-128e-instruct",
    (60, 100_000): """deepseek-r1-0528 deepseek-r1-distill-qwen-1.5b deepseek-r1-distill-llama-8b
        deepseek-r1-distill-llama-70b Moonshot-Kimi-K2-Instruct kimi-k2-thinking kimi-k2.5""",
    (60, 1_000_000): "glm-4.6 glm-4.7 glm-5 MiniMax-M2.5",
    (600, 1_000_000): """qwen3-8b qwen3-14b qwen3-30b-a3b qwen3-235b-a22b
        qwen3-235b-a22b-instruct-2507 qwen3-235b-a22b-thinking-2507 qwen3-30b-a3b-instruct-2507
        qwen3-30b-a3b-thinking-2507 qwen3-next-80b-a3b-instruct qwen3-next-80b-a3b-thinking
        qwen3-coder-30b-a3b-instruct qwen3-coder-480b-a35b-instruct qwen3.5-397b-a17b
        qwen3.5-122b-a10b qwen3.5-35b-a3b qwen3.5-27b""",
    (1200, 1_000_000): """qwen2.5-72b-instruct qwen2.5-32b-instruct qwen2.5-14b-instruct
        qwen2.5-7b-instruct""",
    (2400, 1_000_000): "qwen3-32b",
    (15_000, 1_200_000): """deepseek-v3 deepseek-v3.1 deepseek-v3.2 deepseek-v3.2-exp
        deepseek-r1""",
}
_RATE_OF = {id: rate for rate, ids in _RATES.items() for id in ids.split()}


def _rated(model_info: ModelInfo) -> ModelInfo:
    requests, tokens = _RATE_OF.get(model_info.id, (None, None))
    return replace(model_info, requests_per_minute=requests, tokens_per_minute=tokens)


MODELS: tuple[ModelInfo, ...] = tuple(map(_rated, (*_SEEDS, *_CURRENT, *_UNCERTAIN, *_RETIRED)))
SEED_IDS: tuple[str, ...] = tuple(model_info.id for model_info in _SEEDS)
"""The ten models of the vendor's five pages."""
