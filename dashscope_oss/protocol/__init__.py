"""DashScope's native protocol: requests out, answers in, and what goes wrong. No I/O.

- :mod:`.request`: ``chat_request``, ``completion_request``: the exact body and headers of a call.
- :mod:`.validation`: what is refused before anything is sent.
- :mod:`.response`: ``read_reply``: the answer in a JSON body.
- :mod:`.assembler`: ``Assembler``: the answer in a stream of bytes, delta by delta.
- :mod:`.json_body`: bodies as JSON objects, quoted in errors.
- :mod:`.error_mapping`: which error of this package an error of the service is.
- :mod:`.redaction`: takes keys out of errors.
- :mod:`.tools`: tools and their calls in OpenAI's form; the choice among tools.
- :mod:`.conversation`: what a model is sent of a conversation from elsewhere.
- :mod:`.structured_output`: how an object is asked for, and read from the answer.
- :mod:`.streaming`: the parts that the assembler is made of; they know no request.

What both adapters or the gateway decide alike is decided here.
"""
