"""DashScope's open-weight language models for LangChain.

``ChatDashScopeOSS`` is the chat model, ``DashScopeOSSLLM`` completes plain text, ``RateLimits``
keeps an account's limits; :mod:`.errors` holds what the models raise. Needs the extra
``langchain``.
"""

try:
    from langchain_core.rate_limiters import BaseRateLimiter

    from langchain_dashscope_oss.chat_models import ChatDashScopeOSS
    from langchain_dashscope_oss.llms import DashScopeOSSLLM
except ImportError as error:
    if not (error.name or "").startswith("langchain_core"):
        raise
    raise ImportError(
        'LangChain is not installed, or older than 1.6: pip install "dashscope-oss[langchain]"'
    ) from error

from dashscope_oss import RateLimits

# The same object can then limit models of LangChain and of LlamaIndex.
BaseRateLimiter.register(RateLimits)

__all__ = ["ChatDashScopeOSS", "DashScopeOSSLLM", "RateLimits"]
