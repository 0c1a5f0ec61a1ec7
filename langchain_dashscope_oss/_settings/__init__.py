"""What the chat model and the text model share: everything but the form of their answers.

:mod:`.fields` holds the settings, :mod:`.names` the words that arguments may have,
:mod:`.lifecycle` clients, copies and pickles, :mod:`.changes` checks what is set later,
:mod:`.call_options` holds what one call asks for, :mod:`.token_counts` counts. Both model classes
derive from :class:`DashScopeModel`; nothing else is imported from here.
"""

from langchain_dashscope_oss._settings.model import DashScopeModel

__all__ = ["DashScopeModel"]
