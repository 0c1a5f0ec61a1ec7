"""The gateway: a server that speaks DashScope's native protocol in front of a local engine.

It needs the extra ``gateway`` (``pip install "dashscope-oss[gateway]"``); the embedded engine
needs ``local``.
"""

try:
    import uvicorn as _uvicorn  # noqa: F401
except ImportError as error:
    raise ImportError('the gateway needs uvicorn: pip install "dashscope-oss[gateway]"') from error

from dashscope_oss.gateway.app import Gateway
from dashscope_oss.gateway.embedded import EmbeddedEngine
from dashscope_oss.gateway.job import Engine, Job, Received
from dashscope_oss.gateway.openai import OpenAIEngine, Upstream
from dashscope_oss.gateway.refusals import Refusal
from dashscope_oss.gateway.script import load_script
from dashscope_oss.gateway.scripted import Answer, Fault, ScriptedEngine
from dashscope_oss.gateway.serving import bound, run, serving

__all__ = [
    "Answer",
    "EmbeddedEngine",
    "Engine",
    "Fault",
    "Gateway",
    "Job",
    "OpenAIEngine",
    "Received",
    "Refusal",
    "ScriptedEngine",
    "Upstream",
    "bound",
    "load_script",
    "run",
    "serving",
]
