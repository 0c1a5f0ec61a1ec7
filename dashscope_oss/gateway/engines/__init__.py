"""What answers requests: a server behind the gateway, several of them, a small model, a script.

Each engine is a class with the methods of ``interface.engine.Engine``. ``openai`` passes requests
on to one OpenAI-compatible server; ``load_balancer`` shares them among several; ``embedded`` runs
the model whose file ``weights`` fetches; ``scripted`` answers from a script, which ``script`` reads
from JSON. ``health`` tells whether an engine can answer. To add an engine, write such a class in a
file of its own and name it in ``cli/choices/engine.py``.
"""
