"""A checker as strict as the strictest service: what it accepts, each of them accepts.

The rules are those for which services and chat templates answer an error: an empty turn, a call
without a result, anything between the two, a second or late system turn, no question.
"""

from __future__ import annotations

import json

from dashscope_oss import ModelInfo


def check_input(model_info: ModelInfo, body_input: dict) -> None:
    """Fail if the strictest service for this model would refuse the input of a request."""
    if not model_info.takes_messages:
        assert list(body_input) == ["prompt"]
        check_prompt(model_info, body_input["prompt"])
        return
    turns = body_input["messages"]
    for turn in turns:
        check_turn(turn)
    check_tool_turns(turns, reads_tools=model_info.tools and not model_info.strict_turns)
    check_system_turns(model_info, turns)
    roles = [turn["role"] for turn in turns]
    if model_info.strict_turns:
        check_strict_order(roles)
    asking = {"user"} if model_info.system_turns == "first" else {"user", "tool"}
    assert asking & set(roles), "there is no question"


def check_prompt(model_info: ModelInfo, prompt: str) -> None:
    assert prompt.strip()
    turns = model_info.template.parse(prompt)
    if turns is not None:
        check_strict_order([turn.role for turn in turns])


def check_strict_order(roles: list[str]) -> None:
    roles = roles[1:] if roles[0] == "system" else roles
    assert roles[::2] == ["user"] * (len(roles) // 2 + 1)
    assert roles[1::2] == ["assistant"] * (len(roles) // 2)


def check_turn(turn: dict) -> None:
    assert turn["role"] in ("system", "user", "assistant", "tool")
    calls = turn.get("tool_calls")
    assert calls is None or (calls and turn["role"] == "assistant")
    for call in calls or ():
        check_call(call)
    assert turn["role"] == "tool" or calls or text_of(turn).strip(), "an empty turn"
    assert "reasoning_content" not in turn or turn["role"] == "assistant"


def check_call(call: dict) -> None:
    assert call["type"] == "function"
    assert call["id"]
    assert call["function"]["name"]
    assert isinstance(json.loads(call["function"]["arguments"], parse_constant=fail), dict)


def fail(constant: str) -> None:
    raise AssertionError(f"{constant} is no JSON")


def check_tool_turns(turns: list[dict], *, reads_tools: bool) -> None:
    """Each call is answered once, right behind its turn, and nothing else is answered."""
    unanswered: list[str] = []
    for turn in turns:
        if turn["role"] == "tool":
            assert turn["tool_call_id"] in unanswered, "a result without a call"
            unanswered.remove(turn["tool_call_id"])
            continue
        assert not unanswered, "a call without a result"
        unanswered = [call["id"] for call in turn.get("tool_calls", ())]
        assert len(set(unanswered)) == len(unanswered)
        assert reads_tools or not unanswered
    assert not unanswered, "a call without a result"


def check_system_turns(model_info: ModelInfo, turns: list[dict]) -> None:
    if model_info.system_turns == "first" or model_info.strict_turns:
        assert "system" not in [turn["role"] for turn in turns[1:]]


def text_of(turn: dict) -> str:
    content = turn["content"]
    return content if isinstance(content, str) else "".join(part["text"] for part in content)


def words_in(body_input: dict) -> str:
    """All that the model reads of the input: texts, thoughts, calls and their arguments."""
    if "prompt" in body_input:
        return body_input["prompt"]
    return "\n".join(words for turn in body_input["messages"] for words in _words_of(turn))


def _words_of(turn: dict) -> list[str]:
    functions = [call["function"] for call in turn.get("tool_calls", ())]
    names = [function["name"] for function in functions]
    arguments = [_written(function["arguments"]) for function in functions]
    return [text_of(turn), turn.get("reasoning_content", ""), *names, *arguments]


def _written(arguments: str) -> str:
    """The arguments as the model that called had written them."""
    return json.loads(arguments).get("raw_arguments", arguments)
