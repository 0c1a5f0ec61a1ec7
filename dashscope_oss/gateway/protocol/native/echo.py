"""What some models repeat of their prompt, written around an answer as the service sends it."""

from __future__ import annotations

import re

from dashscope_oss.gateway.interface.engine_request import EngineRequest
from dashscope_oss.prompts.prompt_template import PromptTemplate


def echo_around(request: EngineRequest) -> tuple[str, str]:
    """Return the text before the model's answer to this prompt, and the text behind it.

    Ziya writes ``<s>``, the prompt with a space behind each mark of a turn, a space, the answer
    and ``</s>`` (both samples of the vendor's page). Others repeat the prompt as a line.
    """
    model_info, prompt = request.model_info, request.prompt
    if prompt is None or model_info.echo == "none":
        return "", ""
    if model_info.echo == "line":
        return f"{prompt}\n", ""
    return f"<s>{_with_spaced_marks(prompt, model_info.template)} ", "</s>"


def _with_spaced_marks(prompt: str, template: PromptTemplate | None) -> str:
    marks = re.findall(r"<\w+>", "".join(template.user)) if template else []
    for mark in marks:
        prompt = prompt.replace(mark, f"{mark} ")
    return prompt
