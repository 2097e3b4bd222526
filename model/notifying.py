"""What one notifier is told, and when: nothing twice, few messages in an hour, the rest in one summary, "recovered".

Nothing is queued. At each look a channel says what is due of what stands (`model/alarms.py`), so a message that could
not be delivered is made anew from what is true by then, and a notifier that fails for a day costs nothing. Only what
handlers say (`notify: NAME`) is kept, up to `SAID_KEPT`. One message is under way at a time.

How many messages: one for each alarm while few are due and there is room in the hour; else one for all of them. The
last place of an hour is for such a summary, sent a little later so that more comes together.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable

from msgspec import Struct

from model.alarm_kinds import (
    AGAIN,
    ALARM,
    HANDLER,
    HEARTBEAT,
    HOUR_NS,
    RECOVERED,
    SUMMARY,
    AlarmKind,
    Item,
    Message,
    NotifyRules,
)
from model.job import SECOND

TOGETHER = 3
"""More things than this that are due at one moment are told in one message."""
GATHER_NS = 60 * SECOND
"""How long the last message of an hour waits for others to be told with it."""
NAMES_TOLD = 5
"""Subjects of each kind that the sentence of a summary names."""
SAID_KEPT = 100
"""Sentences of handlers that wait to be told; the oldest are dropped and counted."""
LIMIT_NS = 30 * SECOND
"""How long a notifier may take."""
PATIENCE_NS = 30 * SECOND
"""How much later than that the driver's answer may come."""
RETRY_NS = 10 * SECOND
"""First pause after a failure; it doubles."""
RETRY_CAP_NS = 600 * SECOND

Key = tuple[AlarmKind, str]


class Standing(Struct):
    """An alarm that somebody may have been told of. `*_ns`: the machine's clock; `*_at`: wall time."""

    kind: AlarmKind
    subject: str
    text: str
    since_at: int
    bad_since_ns: int
    gone_since_ns: int | None = None
    """it is not so any more since then; it may come back"""
    restored: bool = False
    """an earlier life found it"""
    told: dict[str, int] = {}
    """by notifier: when it was told last (wall time)"""
    waiting: dict[str, None] = {}
    """notifiers for which it is due, and which may be told nothing now"""

    def item(self, event: str) -> Item:
        """What is said of it."""
        return Item(event, self.kind.value, self.subject, self.text, self.since_at)


class Channel:
    """One notifier, as the scheduler uses it."""

    def __init__(self, name: str, rules: NotifyRules, now: int) -> None:
        self.name = name
        self.rules = rules
        self.flying: Message | None = None
        """what the notifier has not answered yet"""
        self.number = 0
        self.sent = 0
        self.failed = 0
        """in this life"""
        self.last_at: int | None = None
        """when a message was delivered last (wall time)"""
        self.error = ""
        """why the last one was not; empty: it was"""
        self.retry_ns = now
        """nothing is sent before"""
        self._failures = 0
        self._flying_until_ns = 0
        self._said: deque[Item] = deque()
        self._said_flying = 0
        """how many of them are in the message that is under way"""
        self._lost = 0
        """what came and went while nothing could be told"""
        self._hour: deque[int] = deque()
        """when the messages of the last hour were delivered"""
        self._gathering_ns: int | None = None
        """since when something is due and waits for others"""
        self._beat_ns = now - rules.heartbeat_ns

    # what there is to say

    def wants(self, standing: Standing) -> bool:
        """Whether alarms like this one are for it."""
        if standing.kind not in self.rules.kinds:
            return False
        is_task, tasks = standing.subject.startswith("task "), self.rules.tasks
        return not (tasks and is_task) or standing.subject.removeprefix("task ") in tasks

    def say(self, item: Item) -> None:
        """A handler wants this told."""
        self._said.append(item)
        if len(self._said) > SAID_KEPT:
            self._said.popleft()
            if self._said_flying:
                self._said_flying -= 1
            else:
                self._lost += 1

    def ended(self, standing: Standing) -> None:
        """An alarm is forgotten that could not be told while it lasted."""
        if self.name in standing.waiting:
            self._lost += 1

    def owes(self, standing: Standing) -> bool:
        """Whether it has still to say, or is saying, something of an alarm that is over."""
        if self.flying is not None and any(_is_about(item, standing) for item in self.flying.items):
            return True
        return self.rules.recovered and self.name in standing.told and self.wants(standing)

    def _due(self, standings: Iterable[Standing], now: int, wall: int) -> list[Item]:
        found: list[Item] = []
        rules = self.rules
        for standing in standings:
            if not self.wants(standing):
                continue
            told_at = standing.told.get(self.name)
            if standing.gone_since_ns is None:
                if told_at is None:
                    if now - standing.bad_since_ns >= rules.after_ns:
                        found.append(standing.item(ALARM))
                        standing.waiting[self.name] = None
                elif rules.again_ns and wall - told_at >= rules.again_ns:
                    found.append(standing.item(AGAIN))
            elif told_at is not None and rules.recovered and now - standing.gone_since_ns >= rules.after_ns:
                found.append(standing.item(RECOVERED))
        return found

    # when

    def next_due(self) -> int | None:
        """When it wants to look again, beside the looks that everybody has: a handler's sentence waits."""
        if self.flying is not None:
            return self._flying_until_ns
        if not self._said:
            return None
        gathered = 0 if self._gathering_ns is None else self._gathering_ns + GATHER_NS
        return max(self.retry_ns, self._room_ns(), gathered)

    def _room_ns(self) -> int:
        """From when on another message is allowed."""
        return self._hour[0] + HOUR_NS if len(self._hour) >= self.rules.hour_max else 0

    def decide(self, standings: Iterable[Standing], now: int, wall: int) -> Message | None:
        """What is to be sent now; the caller sends it."""
        alarms = self._due(standings, now, wall)
        if self.flying is not None or now < self.retry_ns:
            return None
        while self._hour and now - self._hour[0] >= HOUR_NS:
            self._hour.popleft()
        due = [*self._said, *alarms]
        room = self.rules.hour_max - len(self._hour)
        message = None
        if due:
            message = self._of(due, room, now)
        elif self.rules.heartbeat_ns and now - self._beat_ns >= self.rules.heartbeat_ns:
            message = Message(HEARTBEAT, "laulima is alive")
        if message is not None:
            self._gathering_ns = None
            self.flying, self._flying_until_ns = message, now + LIMIT_NS + PATIENCE_NS
            self._said_flying = sum(item.event == HANDLER for item in message.items)
            self.number += 1
        return message

    def _of(self, due: list[Item], room: int, now: int) -> Message | None:
        if room <= 0:
            return None
        lost = self._lost
        if len(due) <= TOGETHER and (room > 1 or self.rules.hour_max == 1) and not lost:
            return Message(due[0].event, _sentence(due[0]), (due[0],))
        if len(due) <= TOGETHER and room == 1 < self.rules.hour_max:
            if self._gathering_ns is None:
                self._gathering_ns = now
            if now - self._gathering_ns < GATHER_NS:
                return None
        if len(due) == 1 and not lost:
            return Message(due[0].event, _sentence(due[0]), (due[0],))
        return Message(SUMMARY, _summary(due, lost), tuple(due), lost)

    # what came of it

    def is_overdue(self, now: int) -> bool:
        """The driver has not answered."""
        return self.flying is not None and now >= self._flying_until_ns

    def delivered(self, now: int, wall: int) -> Message:
        """The notifier has it. What it was, for the record."""
        message = self.flying
        assert message is not None
        self.flying = None
        self.sent += 1
        self._failures, self.error, self.last_at, self._beat_ns = 0, "", wall, now
        self._lost -= message.unsaid
        for _ in range(self._said_flying):
            self._said.popleft()
        self._said_flying = 0
        if message.event != HEARTBEAT:
            self._hour.append(now)
        return message

    def not_delivered(self, error: str, now: int) -> bool:
        """It failed, and will be tried again later. Whether that is new."""
        self.flying = None
        self._said_flying = 0
        self.failed += 1
        self.error = error
        self.retry_ns = now + min(RETRY_CAP_NS, RETRY_NS << min(self._failures, 16))
        self._failures += 1
        return self._failures == 1


def _is_about(item: Item, standing: Standing) -> bool:
    return item.kind == standing.kind.value and item.subject == standing.subject


def _sentence(item: Item) -> str:
    return {AGAIN: "still: ", RECOVERED: "over: "}.get(item.event, "") + item.text


def _summary(due: list[Item], lost: int) -> str:
    """`7 messages: 5 x host-down (host a, host b, …), 2 x over: host-down (host c, host d)`."""
    groups: dict[str, list[str]] = {}
    for item in due:
        word = {AGAIN: "still: ", RECOVERED: "over: "}.get(item.event, "") + item.kind
        groups.setdefault(word, []).append(item.subject)
    parts = []
    for word, subjects in groups.items():
        names = list(Counter(subjects))
        more = f" and {len(names) - NAMES_TOLD} more" if len(names) > NAMES_TOLD else ""
        parts.append(f"{len(subjects)} x {word} ({', '.join(names[:NAMES_TOLD])}{more})")
    unsaid = f"; {lost} more came and went while no more messages were allowed" if lost else ""
    return f"{len(due)} messages in one: {', '.join(parts)}{unsaid}"
