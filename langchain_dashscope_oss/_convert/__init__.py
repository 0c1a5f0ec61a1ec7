"""LangChain's objects to the core's neutral ones, and back. No I/O.

Both model classes import from here: what goes out is made by :mod:`.messages`, what comes back by
:mod:`.results` (whole answers) and :mod:`.chunks` (streams; :mod:`.broken_calls` of those whose
calls broke off), what LangChain asks of a model by :mod:`.profile`. Parts of an answer are
written by :mod:`.metadata`, :mod:`.content_blocks` and :mod:`.tool_arguments`.
"""

from langchain_dashscope_oss._convert.chunks import ChunkConverter, to_generation_chunk
from langchain_dashscope_oss._convert.content_blocks import register_translator
from langchain_dashscope_oss._convert.messages import to_messages
from langchain_dashscope_oss._convert.metadata import PROVIDER, llm_output
from langchain_dashscope_oss._convert.profile import model_profile
from langchain_dashscope_oss._convert.results import to_chat_result, to_generation

__all__ = [
    "PROVIDER",
    "ChunkConverter",
    "llm_output",
    "model_profile",
    "register_translator",
    "to_chat_result",
    "to_generation",
    "to_generation_chunk",
    "to_messages",
]
