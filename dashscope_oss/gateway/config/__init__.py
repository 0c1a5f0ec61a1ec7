"""The gateway's configuration file: which models it serves, from which upstreams, and to whom.

A TOML file, for example::

    [upstreams.gpu1]
    url = "http://10.0.0.5:8000/v1"
    kind = "vllm"

    [models."ziya-llama-13b-v1"]
    name = "Ziya-LLaMA-13B-v1"

Every table refuses keys that it does not know; docs/gateway/configuration.md shows all keys. A
new key of the file is a field in ``tables`` or ``model_table``; those for callers are in
``security/config``.
"""

from dashscope_oss.gateway.config.load import load_config, parse_config
from dashscope_oss.gateway.config.load_balancer import build_load_balancer
from dashscope_oss.gateway.config.tables import GatewayConfig

__all__ = ["GatewayConfig", "build_load_balancer", "load_config", "parse_config"]
