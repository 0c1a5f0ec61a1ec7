"""What is known about each model: one record a model, which every decision is made from.

- :mod:`.model_info`: ``ModelInfo``, the record, and the words that its fields may hold.
- :mod:`.lookup`: ``find_model``, ``register_model``, ``all_models``, ``known_model``.
- :mod:`.catalog`: the records. Only ``lookup`` and what lists the models import it; it is built
  when somebody first asks for a model.

A new model is a new record in ``catalog``.
"""
