"""OpenAI's SDK, used as its page shows; prints how it read the answers, as JSON.

Run by unmodified.py in a process of its own: DASHSCOPE_HTTP_BASE_URL says where the gateway is.
"""

import asyncio
import json
import os
import sys

import openai

BASE_URL = os.environ["DASHSCOPE_HTTP_BASE_URL"].replace("/api/v1", "/compatible-mode/v1")
MESSAGES = [{"role": "user", "content": "Where is the capital of Zhejiang?"}]
TOOLS = [{"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}]


def client(key="sk-right"):
    return openai.OpenAI(base_url=BASE_URL, api_key=key, max_retries=0)


def ask(model="llama3-8b-instruct", **settings):
    return client().chat.completions.create(model=model, messages=MESSAGES, **settings)


def sync():
    reply = ask()
    return [reply.choices[0].message.content, reply.usage.completion_tokens]


def prompt():
    return ask("ziya-llama-13b-v1").choices[0].message.content


def stream():
    *chunks, usage = ask(stream=True, stream_options={"include_usage": True})
    text = "".join(chunk.choices[0].delta.content for chunk in chunks)
    finish_reason = chunks[-1].choices[0].finish_reason
    return [len(chunks) > 2, text, finish_reason, usage.usage.completion_tokens]


def tools():
    [choice] = ask("glm-5", tools=TOOLS, tool_choice="required").choices
    function = choice.message.tool_calls[0].function
    return [{"name": function.name, "arguments": function.arguments}, choice.finish_reason]


def streamed_tools():
    """By the SDK's own helper, which joins the pieces of a call."""
    completions = client().chat.completions
    with completions.stream(model="glm-5", messages=MESSAGES, tools=TOOLS) as events:
        function = events.get_final_completion().choices[0].message.tool_calls[0].function
    return {"name": function.name, "arguments": function.arguments}


def thinking():
    chunks = list(ask("glm-5", stream=True, extra_body={"enable_thinking": True}))
    deltas = [chunk.choices[0].delta for chunk in chunks]
    thoughts = "".join(getattr(delta, "reasoning_content", None) or "" for delta in deltas)
    return [thoughts, "".join(delta.content for delta in deltas)]


def refused():
    return refusal(lambda: ask(temperature=9.0))


def refused_stream():
    return refusal(lambda: list(ask(temperature=9.0, stream=True)))


def wrong_key():
    return refusal(client("sk-wrong").models.list)[:3]


def unknown_model():
    return refusal(lambda: ask("nobody"))[:3]


def refusal(call):
    try:
        call()
    except openai.APIStatusError as error:
        return [type(error).__name__, error.status_code, error.code, error.body["message"]]
    raise AssertionError("the call was answered")


def broken_off():
    """An error in the middle of a stream; what came before has been read."""
    pieces = []
    try:
        pieces += (chunk.choices[0].delta.content for chunk in ask(stream=True, seed=503))
    except openai.APIError as error:
        return ["".join(pieces), error.message]
    raise AssertionError("the stream ended well")


def models():
    listed = client().models.list()
    return [listed.data[0].id, client().models.retrieve("glm-5").owned_by]


def asynchronous():
    return asyncio.run(_asynchronous())


async def _asynchronous():
    async with openai.AsyncOpenAI(base_url=BASE_URL, api_key="sk-right") as client:
        create, model = client.chat.completions.create, "llama3-8b-instruct"
        reply = await create(model=model, messages=MESSAGES)
        chunks = await create(model=model, messages=MESSAGES, stream=True)
        pieces = [chunk.choices[0].delta.content async for chunk in chunks]
    return [reply.choices[0].message.content, "".join(pieces)]


def main():
    calls = [sync, prompt, stream, tools, streamed_tools, thinking, refused, refused_stream]
    calls += [wrong_key, unknown_model, broken_off, models, asynchronous]
    results = {"file": openai.__file__}
    json.dump({**results, **{call.__name__: call() for call in calls}}, sys.stdout)


if __name__ == "__main__":
    main()
