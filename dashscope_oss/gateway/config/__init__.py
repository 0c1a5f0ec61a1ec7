"""The gateway's configuration file: which models it serves, from which upstreams, and to whom.

A TOML file, for example::

    [upstreams.gpu1]
    url = "http://10.0.0.5:8000/v1"
    kind = "vllm"

    [models."ziya-llama-13b-v1"]
    name = "Ziya-LLaMA-13B-v1"

Every table refuses keys that it does not know; docs/gateway/configuration.md shows all keys.

- :mod:`.load`: reads the file, and says where in it something is wrong.
- :mod:`.tables`, :mod:`.model_table`: its tables. A new key of the file is a field there; those
  for callers are in ``security/config``.
- :mod:`.field_types`: types of single fields.
- :mod:`.load_balancer`: the engine that serves it.
"""

from dashscope_oss.gateway.config.load import load_config, parse_config
from dashscope_oss.gateway.config.load_balancer import build_load_balancer
from dashscope_oss.gateway.config.tables import GatewayConfig

__all__ = ["GatewayConfig", "build_load_balancer", "load_config", "parse_config"]
