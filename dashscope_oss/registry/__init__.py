"""What is known about each model: one record a model, which every decision is made from.

- :mod:`.model_info`: ``ModelInfo``, the record, and the words that its fields may hold.
- :mod:`.lookup`: ``find_model``, ``register_model``, ``all_models``, ``known_model``.
- :mod:`.catalog`: reads the records. Only ``lookup`` and what lists the models import it; a file
  is read when somebody first asks for a model of it.
- ``data``: the records, one TOML file a family, and ``sources.toml``, which says what the words
  of ``source`` stand for.

A new model is a new table in a file of ``data``.
"""
