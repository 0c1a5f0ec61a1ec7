"""The parts of reading a streamed answer: bytes to events, events to what each added. No I/O.

In the order in which an answer passes them:

- :mod:`.body`: ``EventReader``: whether a body is a stream at all.
- :mod:`.sse`: ``Decoder``: bytes to events.
- :mod:`.repeated_events`: events that came before.
- :mod:`.answer_text`: ``AnswerText``: the text of the answer, through ``prompts.echo`` and the
  next three.
- :mod:`.incremental`: ``Regime``: whether events hold new text, or repeat all the text so far.
- :mod:`.think_tags`: thoughts between ``<think>`` and ``</think>``.
- :mod:`.stop_sequences`: texts at which the answer ends.
- :mod:`.tool_calls`: ``ToolCallAssembler``: which piece belongs to which call.
- :mod:`.deltas`: deltas joined to a reply.
- :mod:`.model_cloner`: the adapters' objects for each piece, cheaply.

Nothing here knows a request or a model; ``protocol.assembler`` puts the parts together.
"""
