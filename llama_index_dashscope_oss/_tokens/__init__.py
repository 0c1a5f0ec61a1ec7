"""Tokens where LlamaIndex counts them: splitters, prompt helpers, memories, a model's window.

- ``estimator``: the tokenizer that counts by estimate.
- ``memory``: a chat memory that fits the window.
- ``context_window``: how much of the window is left for the answer.
"""
