"""DashScope's open-weight language models in LlamaIndex: :class:`DashScopeOSS`.

Users import what ``__all__`` names. Of the folders, from the ground up: ``_tokens`` counts,
``_convert`` translates values, ``_settings`` is what can be set, ``_calls`` makes and guards calls,
``_predict`` adds objects and tools, and ``base`` is the class.
"""

try:
    import llama_index.core  # noqa: F401  (asked for by name, so that the advice fits)
except ImportError as error:
    raise ImportError(
        'llama_index_dashscope_oss needs LlamaIndex: pip install "dashscope-oss[llama-index]"'
    ) from error

from dashscope_oss import RateLimits
from llama_index_dashscope_oss._tokens.estimator import TokenEstimator
from llama_index_dashscope_oss.base import DashScopeOSS, use_tokenizer

__all__ = ["DashScopeOSS", "RateLimits", "TokenEstimator", "use_tokenizer"]
