"""Runs llama.cpp's own server on the small model: `python llama_server.py MODEL`.

It says its address in a line, and ends when its standard input does.
"""

import socket
import sys

import xllamacpp

# The model's own template knows no tools. This one writes them as the Qwen family does, and refuses
# late system messages as Qwen3.5's does.
TEMPLATE = r"""
{%- if tools %}
    {{- '<|im_start|>system\nYou may call functions:\n<tools>' }}
    {%- for tool in tools %}
        {{- '\n' }}{{- tool | tojson }}
    {%- endfor %}
    {{- '\n</tools>\nCall one within <tool_call></tool_call> tags:\n<tool_call>\n' }}
    {{- '{"name": <function-name>, "arguments": <args-json-object>}\n</tool_call><|im_end|>\n' }}
{%- endif %}
{%- for message in messages %}
    {%- if message.role == 'system' and not loop.first %}
        {{- raise_exception('System message must be at the beginning.') }}
    {%- endif %}
    {{- '<|im_start|>' + message.role }}
    {%- if message.content %}
        {{- '\n' + message.content }}
    {%- endif %}
    {%- for tool_call in message.tool_calls or [] %}
        {%- set tool_call = tool_call.function %}
        {{- '\n<tool_call>\n{"name": "' + tool_call.name + '", "arguments": ' }}
        {{- tool_call.arguments | tojson }}
        {{- '}\n</tool_call>' }}
    {%- endfor %}
    {{- '<|im_end|>\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\n' }}
{%- endif %}
"""


def main(model: str) -> None:
    settings = xllamacpp.CommonParams()
    settings.model.path = model
    settings.n_ctx = 2048
    settings.n_parallel = 1
    settings.use_jinja = True
    settings.chat_template = TEMPLATE
    settings.hostnames = ["127.0.0.1"]
    with socket.create_server(("127.0.0.1", 0)) as listener:
        settings.port = listener.getsockname()[1]
    settings.api_keys = ["up-key"]
    settings.ui = False
    settings.verbosity = 0
    settings.cpuparams.n_threads = settings.cpuparams_batch.n_threads = 1
    server = xllamacpp.Server(settings)
    sys.stdout.write(f"{server.listening_address}\n")
    sys.stdout.flush()
    sys.stdin.read()


if __name__ == "__main__":
    main(sys.argv[1])
