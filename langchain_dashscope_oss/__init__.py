"""DashScope's open-weight language models for LangChain.

``ChatDashScopeOSS`` is the chat model, ``DashScopeOSSLLM`` completes plain text, ``RateLimits``
keeps an account's limit of requests; :mod:`.errors` holds what they raise. Needs the extra
``langchain``.
"""

try:
    from langchain_dashscope_oss.chat_models import ChatDashScopeOSS
    from langchain_dashscope_oss.llms import DashScopeOSSLLM
    from langchain_dashscope_oss.rate_limits import RateLimits
except ImportError as error:
    if not (error.name or "").startswith("langchain_core"):
        raise
    raise ImportError(
        'LangChain is not installed, or older than 1.6: pip install "dashscope-oss[langchain]"'
    ) from error

__all__ = ["ChatDashScopeOSS", "DashScopeOSSLLM", "RateLimits"]
