"""What a model is sent of a conversation that was made elsewhere, or for another model.

- :mod:`.steps`: ``adapt_conversation``, and the table of what is done for which model.
- :mod:`.tool_turns`: calls of tools and their results: in pairs, or told in words.
- :mod:`.content_blocks`: what is read of the blocks that frameworks and other providers write.
- :mod:`.media_blocks`: images, videos and recordings among them.
- :mod:`.native_content`: the content of a message as the native protocol has it.
- :mod:`.roles`: the names of the four roles.

Both adapters and the gateway go by it. All names below may be imported from here; who reads blocks
or roles imports from their modules.
"""

from dashscope_oss.protocol.conversation.steps import adapt_conversation
from dashscope_oss.protocol.conversation.tool_turns import with_sendable_arguments, write_arguments

__all__ = ["adapt_conversation", "with_sendable_arguments", "write_arguments"]
