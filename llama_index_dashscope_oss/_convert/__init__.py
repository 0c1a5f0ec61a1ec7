"""Between LlamaIndex's values and the core's: messages and tools in, responses out.

- ``messages``: a conversation in the core's values, which adapts it to the model.
- ``media_blocks``: images, videos and recordings.
- ``other_blocks``: what a message holds beside LlamaIndex's own blocks of text.
- ``prompt_functions``: a family's template in the form in which LlamaIndex asks for it.
- ``tool_calls``: what a message calls, and what a caller may ask for.
- ``logprobs``: log probabilities of tokens.
- ``responses``, ``streaming``: an answer, whole or in pieces.
"""
