"""Structured output: answers that are an object of a schema.

Which method a model is asked by is decided in the core; here it is bound to LangChain's models
(:mod:`.methods`, with :mod:`.schemas` in the service's forms and :mod:`.recursion` for classes that
hold themselves), the prompt gets its instructions (:mod:`.instructions`), the answer is parsed
(:mod:`.parsers`), and a runnable puts these together (:mod:`.runnable`).
"""

from langchain_dashscope_oss._structured.instructions import FormatInstructions
from langchain_dashscope_oss._structured.methods import (
    Method,
    bound_parameters,
    check_arguments,
    choose_method,
)
from langchain_dashscope_oss._structured.parsers import object_parser
from langchain_dashscope_oss._structured.runnable import StructuredOutput
from langchain_dashscope_oss._structured.schemas import Schema, in_json, object_type, tool_form

__all__ = [
    "FormatInstructions",
    "Method",
    "Schema",
    "StructuredOutput",
    "bound_parameters",
    "check_arguments",
    "choose_method",
    "in_json",
    "object_parser",
    "object_type",
    "tool_form",
]
