"""The gateway: a server that speaks DashScope's protocols in front of an engine of yours.

Its native one is below ``/api/v1``, OpenAI's chat completions are below ``/compatible-mode/v1``.

It needs the extra ``gateway`` (``pip install "dashscope-oss[gateway]"``); the embedded engine
needs ``local``. What users of it need can be imported from here:

- :class:`Gateway`, the ASGI application, and :func:`serve` and :func:`serve_in_thread`, which run
  it;
- the engines :class:`EmbeddedEngine`, :class:`OpenAIEngine`, :class:`LoadBalancer` and
  :class:`ScriptedEngine`, with what they are made of;
- :func:`load_config` and :func:`build_load_balancer` for a configuration file;
- :class:`Engine`, :class:`EngineRequest` and :class:`APIError` for an engine of your own.

Inside, ``interface`` holds what HTTP and engines agree on; ``engines`` answer; ``protocol`` reads
and writes bodies; ``http`` receives and sends them; ``security`` says who may call;
``observability`` tells what was done. ``generation`` answers a call for text, ``app`` joins all,
and ``server`` runs it.
"""

try:
    import prometheus_client as _prometheus_client  # noqa: F401
    import uvicorn as _uvicorn  # noqa: F401
except ImportError as error:
    raise ImportError(
        f"the gateway needs {error.name}, which is not installed: pip install "
        '"dashscope-oss[gateway]", or "dashscope-oss[local]" for its small model too'
    ) from error

from dashscope_oss.gateway.app import Gateway
from dashscope_oss.gateway.config import GatewayConfig, build_load_balancer, load_config
from dashscope_oss.gateway.engines.embedded import EmbeddedEngine
from dashscope_oss.gateway.engines.load_balancer import Backend, LoadBalancer
from dashscope_oss.gateway.engines.openai.engine import OpenAIEngine
from dashscope_oss.gateway.engines.openai.upstream import HealthCheck, Upstream
from dashscope_oss.gateway.engines.scripted import Answer, Fault, ScriptedEngine
from dashscope_oss.gateway.interface.api_error import APIError
from dashscope_oss.gateway.interface.engine import Engine
from dashscope_oss.gateway.interface.engine_request import EngineRequest, RecordedRequest
from dashscope_oss.gateway.server import serve, serve_in_thread

__all__ = [
    "APIError",
    "Answer",
    "Backend",
    "EmbeddedEngine",
    "Engine",
    "EngineRequest",
    "Fault",
    "Gateway",
    "GatewayConfig",
    "HealthCheck",
    "LoadBalancer",
    "OpenAIEngine",
    "RecordedRequest",
    "ScriptedEngine",
    "Upstream",
    "build_load_balancer",
    "load_config",
    "serve",
    "serve_in_thread",
]
