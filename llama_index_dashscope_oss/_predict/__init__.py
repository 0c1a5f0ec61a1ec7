"""Predictions that are more than a text: an object of a class, the result of a tool.

``structured.StructuredLLM`` and ``react.ReActLLM`` are what the model class is built on;
``object_question`` asks for an object, and once more if the answer cannot be read.
"""
