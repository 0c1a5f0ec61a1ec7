"""Writes conversations as a model was trained on them, and removes its echo from the answer.

- :mod:`.prompt_template`: ``PromptTemplate``: turns to one prompt, and back.
- :mod:`.templates`: the template of each family.
- :mod:`.turn_order`: joins, folds and checks turns before they are sent.
- :mod:`.echo`: ``EchoFilter``: removes from an answer what repeats the prompt.
- :mod:`.answer_end`: ``AnswerEnd``: end marks, and the user's next turn that a model writes itself.

A new family is a new template in ``templates``.
"""
