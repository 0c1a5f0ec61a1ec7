"""What a row of a file means: the request that it becomes, and what its outcome is written as.

- :mod:`.columns`: rows with a column for the prompt or for the messages.
- :mod:`.openai_form`: rows in the form of OpenAI's batch files.
- :mod:`.wire_messages`, :mod:`.images`: messages and images as files hold them.
- :mod:`.form`, :mod:`.choice`: what all forms can do, and which one a file has.
- :mod:`.settings`: what makes a run, and how two runs differ.
- :mod:`.outcome`: an answer or a failure as it is kept in the checkpoint.
"""
