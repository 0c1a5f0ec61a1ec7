"""ChatTongyi of langchain-community, used as its page shows; prints how it read the answers."""

import asyncio
import json
import sys

import langchain_community
from langchain_community.chat_models.tongyi import ChatTongyi
from langchain_core.tools import tool
from requests.exceptions import HTTPError

QUESTION = "Where is the capital of Zhejiang?"


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def chat(model="glm-5", **settings):
    return ChatTongyi(model=model, dashscope_api_key="sk-right", max_retries=1, **settings)


def sync():
    reply = chat("llama3-8b-instruct").invoke(QUESTION)
    return [reply.content, reply.response_metadata["finish_reason"]]


def asynchronous():
    return asyncio.run(_asynchronous())


async def _asynchronous():
    llm = chat("llama3-8b-instruct", streaming=True)
    reply = await llm.ainvoke(QUESTION)
    return [reply.content, "".join([chunk.content async for chunk in llm.astream(QUESTION)])]


def stream():
    llm = chat("llama3-8b-instruct", streaming=True)
    chunks = [chunk.content for chunk in llm.stream(QUESTION)]
    return [len(chunks) > 2, "".join(chunks)]


def tools():
    reply = chat().bind_tools([add]).invoke(QUESTION)
    return [[call["name"], call["args"]] for call in reply.tool_calls]


def thinking():
    llm = chat(streaming=True, model_kwargs={"enable_thinking": True, "incremental_output": True})
    chunks = list(llm.stream(QUESTION))
    thoughts = (chunk.additional_kwargs.get("reasoning_content", "") for chunk in chunks)
    return ["".join(thoughts), "".join(chunk.content for chunk in chunks)]


def refused():
    try:
        chat("llama3-8b-instruct", model_kwargs={"temperature": 9.0}).invoke(QUESTION)
    except (ValueError, HTTPError) as error:
        return str(error)


def refused_stream():
    llm = chat("llama3-8b-instruct", streaming=True, model_kwargs={"temperature": 9.0})
    try:
        list(llm.stream(QUESTION))
    except (ValueError, HTTPError) as error:
        return str(error)


def main():
    calls = [sync, asynchronous, stream, tools, thinking, refused, refused_stream]
    results = {"file": langchain_community.__file__}
    json.dump({**results, **{call.__name__: call() for call in calls}}, sys.stdout)


if __name__ == "__main__":
    main()
