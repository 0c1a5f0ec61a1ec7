"""Writes conversations as a model was trained on them, and removes its echo from the answer.

- :mod:`.prompt_template`: ``PromptTemplate``: turns to one prompt, and back.
- :mod:`.templates`: the template of each family.
- :mod:`.turn_order`: joins, folds and checks turns before they are sent.
- :mod:`.echo`: ``EchoFilter``: removes from an answer what repeats the prompt, and its end mark.

A new family is a new template in ``templates``.
"""
