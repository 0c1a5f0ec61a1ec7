"""DashScope's open-weight language models in LlamaIndex: :class:`DashScopeOSS`.

Users import what ``__all__`` names. Of the folders, from the ground up: ``_tokens`` counts,
``_convert`` translates values, ``_settings`` is what can be set, ``_calls`` makes and guards calls,
``_predict`` adds objects and tools, and ``base`` is the class.
"""

try:
    from llama_index_dashscope_oss._tokens.estimator import TokenEstimator
    from llama_index_dashscope_oss.base import DashScopeOSS, use_tokenizer
except ImportError as error:
    if (error.name or "").partition(".")[0] != "llama_index":
        raise
    raise ImportError(
        "LlamaIndex is not installed, or llama-index-core is older than 0.13: "
        'pip install "dashscope-oss[llama-index]"'
    ) from error

from dashscope_oss import RateLimits

__all__ = ["DashScopeOSS", "RateLimits", "TokenEstimator", "use_tokenizer"]
