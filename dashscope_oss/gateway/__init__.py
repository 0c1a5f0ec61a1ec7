"""The gateway: a server that speaks DashScope's native protocol in front of a local engine.

It needs the extra ``gateway`` (``pip install "dashscope-oss[gateway]"``); the embedded engine
needs ``local``.
"""

try:
    import prometheus_client as _prometheus_client  # noqa: F401
    import uvicorn as _uvicorn  # noqa: F401
except ImportError as error:
    raise ImportError(
        f'the gateway needs {error.name}: pip install "dashscope-oss[gateway]"'
    ) from error

from dashscope_oss.gateway.app import Gateway
from dashscope_oss.gateway.embedded import EmbeddedEngine
from dashscope_oss.gateway.fleet import Fleet, Member
from dashscope_oss.gateway.job import Engine, Job, Received
from dashscope_oss.gateway.openai import OpenAIEngine
from dashscope_oss.gateway.refusals import Refusal
from dashscope_oss.gateway.script import load_script
from dashscope_oss.gateway.scripted import Answer, Fault, ScriptedEngine
from dashscope_oss.gateway.served import Settings, fleet_of, load_settings
from dashscope_oss.gateway.serving import bound, run, serving
from dashscope_oss.gateway.upstream import Health, Upstream

__all__ = [
    "Answer",
    "EmbeddedEngine",
    "Engine",
    "Fault",
    "Fleet",
    "Gateway",
    "Health",
    "Job",
    "Member",
    "OpenAIEngine",
    "Received",
    "Refusal",
    "ScriptedEngine",
    "Settings",
    "Upstream",
    "bound",
    "fleet_of",
    "load_script",
    "load_settings",
    "run",
    "serving",
]
