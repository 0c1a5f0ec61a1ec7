"""DashScope's open-weight language models in LlamaIndex: :class:`DashScopeOSS`."""

try:
    import llama_index.core  # noqa: F401  (asked for by name, so that the advice fits)
except ImportError as error:
    raise ImportError(
        'llama_index_dashscope_oss needs LlamaIndex: pip install "dashscope-oss[llama-index]"'
    ) from error

from llama_index_dashscope_oss._rate_limiter import RateLimits
from llama_index_dashscope_oss._tokens import TokenEstimator, use_tokenizer
from llama_index_dashscope_oss.base import DashScopeOSS

__all__ = ["DashScopeOSS", "RateLimits", "TokenEstimator", "use_tokenizer"]
