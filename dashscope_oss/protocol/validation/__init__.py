"""What is refused before anything is sent, because the record or a vendor's page rules it out.

- :mod:`.conversation`: messages, and the order of turns.
- :mod:`.media`: images, videos and recordings; what their bytes are, and how many.
- :mod:`.cache_marks`: parts that are marked for the context cache.
- :mod:`.parameters`: ranges, types and names; the gateway uses the same table.
- :mod:`.refusal`: the error.
"""

from dashscope_oss.protocol.validation.cache_marks import is_cache_mark, with_cache_marks
from dashscope_oss.protocol.validation.conversation import (
    REFUSALS,
    check_messages,
    check_order,
    check_prompt,
    check_turns,
    warn_of_written_prompt,
)
from dashscope_oss.protocol.validation.media import (
    PART_OPTIONS,
    check_modalities,
    warn_of_detail,
    with_sendable_media,
)
from dashscope_oss.protocol.validation.parameters import (
    NEVER_A_PARAMETER,
    NOT_PARAMETERS,
    PARAMETERS,
    RANGES,
    check_parameters,
    is_key_name,
    wants_json,
)
from dashscope_oss.protocol.validation.refusal import refuse

__all__ = [
    "NEVER_A_PARAMETER",
    "NOT_PARAMETERS",
    "PARAMETERS",
    "PART_OPTIONS",
    "RANGES",
    "REFUSALS",
    "check_messages",
    "check_modalities",
    "check_order",
    "check_parameters",
    "check_prompt",
    "check_turns",
    "is_cache_mark",
    "is_key_name",
    "refuse",
    "wants_json",
    "warn_of_detail",
    "warn_of_written_prompt",
    "with_cache_marks",
    "with_sendable_media",
]
