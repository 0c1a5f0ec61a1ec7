"""An answer of a server, and what it is."""

from dataclasses import dataclass, field

from dashscope_oss.messages import Usage


@dataclass(frozen=True)
class Transcript:
    """An answer of a server, and what it is.

    Attributes:
        source: the repository and the file that writes it.
        answer: status, content type and body.
        text, reasoning, tool_calls, finish_reason, usage: what the answer is.
        error: status, code and a part of the text, if it is an error.
        model: the model that is asked.
    """

    source: str
    answer: tuple
    text: str = ""
    reasoning: str = ""
    tool_calls: tuple = ()
    finish_reason: str = "stop"
    usage: Usage | None = None
    error: tuple | None = None
    model: str = "glm-5"
    logprobs: list = field(default_factory=list)


def tool_call(index, id, name, arguments):
    call = {"index": index, "function": {"name": name, "arguments": arguments}, "type": "function"}
    return {**call, "id": id}


def logprob(token):
    return {"token": token, "logprob": -0.1, "bytes": [*token.encode()], "top_logprobs": []}
