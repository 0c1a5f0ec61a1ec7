"""DashScope's open-weight language models, under the name that LlamaHub expects.

These are the public names of ``llama_index_dashscope_oss``, which the distribution
``dashscope-oss`` brings.
"""

from llama_index_dashscope_oss import *  # noqa: F403 - all that it makes public
from llama_index_dashscope_oss import __all__ as __all__
