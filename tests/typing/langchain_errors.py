"""What a type checker knows of LangChain's errors; mypy reads this file, nobody runs it."""

from typing import assert_type

from langchain_core.exceptions import ModelError, ModelRateLimitError
from langchain_core.messages import BaseMessage

import dashscope_oss
from langchain_dashscope_oss import ChatDashScopeOSS, DashScopeOSSLLM, errors

llm = ChatDashScopeOSS(model="llama3-8b-instruct")

try:
    llm.invoke("Hi")
except errors.RateLimitError as error:
    of_the_core: dashscope_oss.RateLimitError = error
    of_langchain: ModelRateLimitError = error
    of_the_root: errors.DashScopeError = error
    assert_type(error.retry_after, float | None)
    assert_type(error.is_retryable, bool)
except errors.ContentBlockedError as error:
    assert_type(error.raw_message, BaseMessage | None)
except errors.DashScopeError as error:
    any_of_langchain: ModelError = error
    assert_type(error.partial_text, str | None)

try:
    DashScopeOSSLLM(model="llama3-8b-instruct").invoke("Hi")
except (errors.ConfigurationError, errors.UnsupportedInputError) as error:
    value_error: ValueError = error
