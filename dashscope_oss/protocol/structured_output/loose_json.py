"""JSON objects as small models write them: read if there is one way to read them, else refused.

What is read, beside JSON: quotes of all kinds, keys without quotes, full-width punctuation,
Python's words, comments, a comma too many at the end, no comma at the end of a line, line breaks
and backslashes that are not escaped, and quotes inside of a string if they stand around words.

Nothing is completed: an object that broke off may lack more than its last brace.
"""

from __future__ import annotations

import json
import re
from math import isfinite
from typing import NoReturn

_BLANK = re.compile(r"(?:[\s\u200b\ufeff]|//[^\n]*|/\*.*?\*/|#[^\n]*)*", re.DOTALL)
_NAME = re.compile(r"[^\W\d]\w*")
_WORD = re.compile(r"[\w.+-]+")
_WORDS: dict[str, object] = {
    "true": True,
    "false": False,
    "null": None,
    "True": True,
    "False": False,
    "None": None,
}
_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?")
_COLONS, _COMMAS = ":：", ",，"
_QUOTES = {'"': '"', "'": "'", "“": "“”", "”": "“”", "`": "`"}
_TRIPLE_QUOTES = ('"""', "'''")
_WHITE_SPACE = re.compile(r"[\s\u200b\ufeff]*")
_MEMBER = re.compile(r'"[^"\n]*"\s*:')
_HEX = "[0-9a-fA-F]"
_ESCAPE = re.compile(
    rf'\\(?:["\\/bfnrt]|u[dD][89abAB]{_HEX}{{2}}\\u[dD][c-fC-F]{_HEX}{{2}}|u{_HEX}{{4}})'
)
_ENDS_OR_BEGINS_WORD = re.compile(r"[A-Za-z0-9]")
_ENDS_OF_VALUES = (*":：,，}]", "//", "/*", "#")
_READ_AS_THEY_ARE = "'`_“”\n"
"""Characters before which models put a backslash that JSON has not, and mean nothing by it."""


def read_loose_object(text: str, start: int) -> tuple[dict[str, object], int]:
    """Return the object whose brace is at ``start``, and the place behind it.

    Raises:
        ValueError: if it broke off, or there is no one way to read it.
    """
    if not text.startswith("{", start):
        raise ValueError(f"no JSON object begins at character {start}")
    reader = _Reader(text, start)
    value = reader.read_object()
    return value, reader.at


class _Reader:
    """Reads one value after the other, from ``at`` on."""

    def __init__(self, text: str, at: int) -> None:
        self._text = text
        self.at = at

    def read_object(self) -> dict[str, object]:
        members: dict[str, object] = {}
        self._next()
        while self._peek() != "}":
            name = self._read_name()
            if self._next() not in _COLONS:
                self._refuse()
            members[name] = self._read_value()
            self._end_member()
        self._next()
        return members

    def _read_array(self) -> list[object]:
        items: list[object] = []
        self._next()
        while self._peek() != "]":
            items.append(self._read_value())
            if self._peek() in _COMMAS:
                self._next()
            elif self._peek() != "]":
                self._refuse()
        self._next()
        return items

    def _end_member(self) -> None:
        """Pass over the comma behind a member; the end of its line will do."""
        end = self.at
        if self._peek() in _COMMAS:
            self._next()
        elif self._peek() != "}" and not self._has_member_in_next_line(end):
            self._refuse()

    def _read_value(self) -> object:
        first = self._peek()
        if first == "{":
            return self.read_object()
        if first == "[":
            return self._read_array()
        return self._read_string() if first in _QUOTES else self._read_word()

    def _read_name(self) -> str:
        if self._peek() in _QUOTES:
            return self._read_string()
        return self._match(_NAME)

    def _read_word(self) -> object:
        word = self._match(_WORD)
        if word in _WORDS:
            return _WORDS[word]
        if not _NUMBER.fullmatch(word):
            self._refuse()
        number: float = json.loads(word)
        return number if isfinite(number) else self._refuse()

    def _read_string(self) -> str:
        for mark in _TRIPLE_QUOTES:
            if self._text.startswith(mark, self.at):
                return self._read_until(mark)
        return self._read_quoted(_QUOTES[self._text[self.at]])

    def _read_until(self, mark: str) -> str:
        begin = self.at + len(mark)
        end = self._text.find(mark, begin)
        if end < 0:
            self._refuse()
        self.at = end + len(mark)
        return self._text[begin:end]

    def _read_quoted(self, quotes: str) -> str:
        """Read a string; quotes inside of it must pair around words, else its end may be lost."""
        pieces: list[str] = []
        self.at += 1
        opens = True
        while (character := self._character()) not in quotes or not self._ends_here():
            if character == "\\":
                pieces.append(self._read_escape())
                continue
            if character in quotes and not self._is_apostrophe():
                self._check_inner_quote(opens=opens)
                opens = not opens
            pieces.append(character)
            self.at += 1
        self.at += 1
        if not opens:
            self._refuse()
        return "".join(pieces)

    def _check_inner_quote(self, *, opens: bool) -> None:
        """Refuse a quote that does not stand as one before a word, or behind one."""
        before, after = self._text[self.at - 1], self._text[self.at + 1 : self.at + 2]
        outside, inside = (before, after) if opens else (after, before)
        if _ENDS_OR_BEGINS_WORD.match(outside) or inside.isspace():
            self._refuse()

    def _ends_here(self) -> bool:
        """Whether the quote here ends its string: nothing follows that can be a part of it."""
        behind = self.at + 1
        following = _end(_WHITE_SPACE, self._text, behind)
        if self._text.startswith(_ENDS_OF_VALUES, following):
            return True
        return self._has_member_in_next_line(behind)

    def _has_member_in_next_line(self, end: int) -> bool:
        """Whether a name and a colon follow behind a line break."""
        member = _end(_WHITE_SPACE, self._text, end)
        is_next_line = "\n" in self._text[end:member]
        return is_next_line and _MEMBER.match(self._text, member) is not None

    def _is_apostrophe(self) -> bool:
        around = self._text[self.at - 1 : self.at + 2]
        return around[1] == "'" and around[0].isalpha() and around[2:].isalpha()

    def _read_escape(self) -> str:
        if escape := _ESCAPE.match(self._text, self.at):
            self.at = escape.end()
            piece: str = json.loads(f'"{escape[0]}"')
            return piece
        self.at += 1
        following = self._text[self.at : self.at + 1]
        if following and following in _READ_AS_THEY_ARE:
            self.at += 1
            return following
        return "\\"

    def _character(self) -> str:
        if self.at >= len(self._text):
            self._refuse()
        return self._text[self.at]

    def _peek(self) -> str:
        self.at = _end(_BLANK, self._text, self.at)
        return self._character()

    def _next(self) -> str:
        character = self._peek()
        self.at += 1
        return character

    def _match(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self._text, self.at)
        if match is None:
            self._refuse()
        self.at = match.end()
        return match[0]

    def _refuse(self) -> NoReturn:
        raise ValueError(f"no JSON that can be read in one way, at character {self.at}")


def _end(pattern: re.Pattern[str], text: str, start: int) -> int:
    """Return the place behind what ``pattern``, which may be nothing, finds at ``start``."""
    match = pattern.match(text, start)
    return match.end() if match else start
