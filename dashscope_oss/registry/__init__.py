"""What is known about each model: one record a model, which every decision is made from.

- :mod:`.model_info`: ``ModelInfo``, the record, and the words that its fields may hold.
- :mod:`.lookup`: ``find_model``, ``register_model``, ``all_models``, ``known_model``.
- :mod:`.catalog`: reads the records. Only ``lookup`` and what lists the models import it; a file
  is read when somebody first asks for a model of it.
- :mod:`.public_lists`: reads the lists of models.dev, litellm and the service.
- :mod:`.differences`: in what such a list differs from the records.
- ``data``: the records, one TOML file a family; ``sources.toml`` says what the words of
  ``source`` stand for, ``not_rows.toml`` which ids of such lists are no records on purpose.

A new model is a new table in a file of ``data``.
"""
