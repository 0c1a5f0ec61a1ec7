"""The vendor's SDK, used as its pages show; prints how it read the answers, as JSON.

Run by unmodified.py in a process of its own: DASHSCOPE_HTTP_BASE_URL says where the gateway is.
"""

import asyncio
import json
import sys

import dashscope
from dashscope import Generation

MESSAGES = [{"role": "user", "content": "Where is the capital of Zhejiang?"}]
TOOLS = [{"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}]
THINKING = {"enable_thinking": True, "incremental_output": True, "result_format": "message"}


def sync():
    reply = Generation.call(model="llama2-7b-chat-v2", messages=MESSAGES)
    return [reply.status_code, reply.output.text, reply.usage["output_tokens"]]


def prompt():
    reply = Generation.call(model="ziya-llama-13b-v1", prompt="<human>:你好\n<bot>:")
    return [reply.status_code, reply.output.text]


def message():
    reply = Generation.call(model="glm-5", messages=MESSAGES, result_format="message")
    return [reply.status_code, reply.output.choices[0]["message"]["content"]]


def stream():
    replies = list(Generation.call(model="llama3-8b-instruct", messages=MESSAGES, stream=True))
    return [len(replies) > 2, replies[-1].output.text, replies[-1].output.finish_reason]


def pieces():
    replies = Generation.call(
        model="llama3-8b-instruct", messages=MESSAGES, stream=True, incremental_output=True
    )
    return "".join(reply.output.text for reply in replies)


def tools():
    reply = Generation.call(model="glm-5", messages=MESSAGES, tools=TOOLS, result_format="message")
    call = reply.output.choices[0]["message"]["tool_calls"][0]
    return [call["function"], reply.output.choices[0]["finish_reason"]]


def thinking():
    replies = Generation.call(model="glm-5", messages=MESSAGES, stream=True, **THINKING)
    messages = [reply.output.choices[0]["message"] for reply in replies]
    thoughts = "".join(message.get("reasoning_content") or "" for message in messages)
    return [thoughts, "".join(message["content"] for message in messages)]


def refused():
    reply = Generation.call(model="llama3-8b-instruct", messages=MESSAGES, temperature=9.0)
    return [reply.status_code, reply.code, reply.message]


def refused_stream():
    replies = Generation.call(
        model="llama3-8b-instruct", messages=MESSAGES, temperature=9.0, stream=True
    )
    return [[reply.status_code != 200, reply.code, reply.message] for reply in replies]


def wrong_key():
    replies = Generation.call(
        model="llama3-8b-instruct", messages=MESSAGES, api_key="sk-wrong", stream=True
    )
    return [[reply.status_code, reply.code] for reply in replies]


def models():
    reply = dashscope.Models.list(page=1, page_size=3)
    return [reply.status_code, reply.output["models"][0]["model"]]


def asynchronous():
    return asyncio.run(_asynchronous())


async def _asynchronous():
    from dashscope import AioGeneration

    reply = await AioGeneration.call(model="llama2-7b-chat-v2", messages=MESSAGES)
    replies = await AioGeneration.call(
        model="llama3-8b-instruct", messages=MESSAGES, stream=True, incremental_output=True
    )
    return [reply.output.text, "".join([part.output.text async for part in replies])]


def main():
    dashscope.api_key = "sk-right"
    calls = [sync, prompt, message, stream, pieces, tools, thinking]
    calls += [refused, refused_stream, wrong_key]
    if hasattr(dashscope, "AioGeneration"):
        # The SDK of 2023 has no async client, and sends the page size as the key of its list.
        calls += [asynchronous, models]
    results = {"file": dashscope.__file__}
    json.dump({**results, **{call.__name__: call() for call in calls}}, sys.stdout)


if __name__ == "__main__":
    main()
