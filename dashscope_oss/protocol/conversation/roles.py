"""The names that frameworks and services have for the four roles."""

from __future__ import annotations

from collections.abc import Mapping

from dashscope_oss.messages import Role

ROLES_BY_NAME: Mapping[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "ai": "assistant",
    "chatbot": "assistant",
    "model": "assistant",
    "tool": "tool",
    "function": "tool",
}
