"""Takes out events that a server or a proxy sent a second time."""

from __future__ import annotations

from collections.abc import Iterable

from dashscope_oss.protocol.streaming.sse import Event

_ENOUGH_IDS = 3
"""So many different ids are numbers of events, not of choices or the like."""


_MAX_REPEATS = 3
"""An event that comes more often than this is new each time."""


class RepeatedEvents:
    """Hands on the events of a stream without those that came before under the same id.

    Ids tell events apart only where each event has its own. Some servers give all events one id:
    until a second id is seen, an event that equals the one before it is held back, a few times.
    """

    def __init__(self) -> None:
        self._ids_count_events = True
        self._seen: dict[bytes, int] = {}
        self._newest_id = b""
        self._held: list[Event] = []

    def without(self, events: Iterable[Event]) -> list[Event]:
        """Return those of the next events that are new."""
        new: list[Event] = []
        for event in events:
            if event.id and event.id not in self._seen:  # as nearly all are
                self._seen[event.id] = hash(event.data)
                self._newest_id = event.id
                self._held.clear()
                new.append(event)
            elif not event.id or not self._ids_count_events or self._is_new(event):
                new += self._released(event)
        return new

    def end(self) -> list[Event]:
        """Say that the stream has ended; return what was held back."""
        held, self._held = self._held, []
        return held

    def _is_new(self, event: Event) -> bool:
        newest, self._newest_id = self._newest_id, event.id
        if self._seen[event.id] != hash(event.data):
            self._ids_count_events = False
            return True
        if event.id == newest and len(self._seen) == 1:
            if len(self._held) == _MAX_REPEATS:
                self._ids_count_events = False
                return True
            self._held.append(event)
            return False
        return event.id != newest and len(self._seen) < _ENOUGH_IDS

    def _released(self, event: Event) -> list[Event]:
        return [event] if self._ids_count_events else [*self.end(), event]
