"""What any LLM class of LlamaIndex owes its users, as tests that any class can be put through.

They need pytest, LlamaIndex and no account: the service is their own, on 127.0.0.1. Name a
function that makes the class, by default this package's, and run them in a clone::

    pip install ".[llama-index]" pytest
    CONFORMANCE_LLM=my_module:make python -m pytest tests/conformance

``make(service, kind, **settings)`` returns the LLM. ``service.dashscope`` and ``service.openai``
are the base URLs of the two protocols that are served. ``kind`` is the model to stand for:
``tools`` (takes tools, may think), ``small`` (Llama 2 of 7B: 2,048 tokens of input) or ``prompt``
(takes a plain prompt). ``settings`` are the class's own; without ``api_key`` among them the
environment holds the key. ``make.native = False`` leaves out what only DashScope's protocol can
show; ``make.distribution``, the name in ``pip install``, adds a look at what that one needs.

In place of a function, ``dashscope-oss``, ``dashscope`` (llama-index-llms-dashscope) and
``openai-like`` (llama-index-llms-openai-like) are known by name. The run ends in a table of the
checks that passed, in the words of the documentation's, unless pytest-xdist splits it.
"""
