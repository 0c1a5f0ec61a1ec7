"""A model by rule: answers every question of LangChain's standard tests as a good model would.

The rules, of which the first that fits decides:

1. There are tools, none is forbidden and a user spoke last: the tool that is forced is called,
   else the first; with arguments made to its schema.
2. JSON is asked for, by ``response_format`` or in words: a joke, the one thing asked for so.
3. Otherwise: a greeting.

A model that thinks does so first.
"""

from __future__ import annotations

import json
import re

from dashscope_oss import ToolCall, Usage
from dashscope_oss.gateway import Answer

USAGE = Usage(7, 9, 16, cached_tokens=2, cache_creation_tokens=1, reasoning_tokens=4)
JOKE = {"setup": "Why did the cat sit on the laptop?", "punchline": "To watch the mouse."}
GREETING = "Hello, how are you today?"


def reply(request):
    """The answer to one request: an entry of a scripted gateway."""
    thought = "Let me see." if thinks(request) else ""
    if tool := chosen(request):
        call = ToolCall("call_1", tool["name"], json.dumps(arguments(request, tool)), 0)
        return Answer(reasoning=thought, tool_calls=(call,), usage=USAGE)
    text = json.dumps(JOKE) if wants_json(request) else GREETING
    return Answer(text, reasoning=thought, usage=USAGE)


def thinks(request):
    return request.model_info.thinks(request.parameters.get("enable_thinking"))


def chosen(request):
    """The function to call, or nothing."""
    choice = request.parameters.get("tool_choice", "auto")
    functions = [tool["function"] for tool in request.parameters.get("tools", ())]
    if not functions or choice == "none" or request.messages[-1].role == "tool":
        return None
    forced = choice["function"]["name"] if isinstance(choice, dict) else functions[0]["name"]
    return next(function for function in functions if function["name"] == forced)


def arguments(request, function):
    """Numbers are 3, a text is what the question has in quotes, or the argument's name."""
    named = re.findall(r"'([^']+)'", said(request))
    properties = function.get("parameters", {}).get("properties", {})
    return {
        name: 3 if schema.get("type") == "integer" else (named or [name])[0]
        for name, schema in properties.items()
    }


def wants_json(request):
    return "response_format" in request.parameters or "json" in said(request).lower()


def said(request):
    """All that was said, in either form."""
    return request.prompt or "\n".join(message.content for message in request.messages)
