"""DashScope of llama-index-llms-dashscope, as its page uses it; prints how it read the answers."""

import asyncio
import json
import sys

from llama_index.core.llms import ChatMessage
from llama_index.core.tools import FunctionTool
from llama_index.llms import dashscope
from llama_index.llms.dashscope import DashScope

QUESTION = "Where is the capital of Zhejiang?"
MESSAGES = [ChatMessage(role="user", content=QUESTION)]


def llm(model="llama3-8b-instruct", **settings):
    return DashScope(
        model_name=model, api_key="sk-right", is_function_calling_model=True, **settings
    )


def complete():
    return llm().complete(QUESTION).text


def chat():
    return llm().chat(MESSAGES).message.content


def stream():
    deltas = [part.delta for part in llm().stream_chat(MESSAGES)]
    return [len(deltas) > 2, "".join(deltas)]


def asynchronous():
    return asyncio.run(_asynchronous())


async def _asynchronous():
    reply = await llm().achat(MESSAGES)
    deltas = [part.delta async for part in await llm().astream_chat(MESSAGES)]
    return [reply.message.content, "".join(deltas)]


def tools():
    def add(a: int, b: int) -> int:
        """Add two numbers."""
        return a + b

    tool = FunctionTool.from_defaults(add)
    model = llm("glm-5")
    reply = model.chat_with_tools([tool], user_msg=QUESTION)
    calls = model.get_tool_calls_from_response(reply)
    return [[call.tool_name, call.tool_kwargs] for call in calls]


def main():
    calls = [complete, chat, stream, asynchronous, tools]
    results = {"file": dashscope.__file__}
    json.dump({**results, **{call.__name__: call() for call in calls}}, sys.stdout)


if __name__ == "__main__":
    main()
