"""Loading histories: what users did before the service was there, from a JSONL file into Redis.

{"user_id": "u42", "events": [{"item_id": "i7", "event": "click", "timestamp": "2026-11-22T08:00:00Z"}],
 "profile": {"city": "Odense"}, "shown": [{"timestamp": "2026-11-22T07:59:00Z", "item_ids": ["i7", "i8"]}]}

Training writes such a file beside each run.
"""

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from pydantic import Field

from app.api import ask as asks
from app.api.body import parse
from app.api.schema import HistoryEvent, Id, Record, Strict, Time, Values
from app.errors import Invalid
from app.state import State, UserState
from model_store.manifest import Manifest

AT_ONCE = 200  # users a round trip


class ShownList(Strict):
    """One list that was shown to the user."""

    timestamp: Time
    item_ids: Annotated[Values, Field(min_length=1)]


class UserHistory(Strict):
    """One line: it replaces all that is stored of that user."""

    user_id: Id
    events: list[HistoryEvent] = Field(default_factory=list)
    profile: Record | None = None
    shown: list[ShownList] = Field(default_factory=list)


async def load(path: Path, state: State, manifest: Manifest) -> tuple[int, int]:
    """Store every line; returns users and events. Invalid names the file and the line, the rest is stored."""
    users = events = 0
    for lines in _groups(read(path, manifest)):
        await state.replace(lines)
        users += len(lines)
        events += sum(len(line.history) for line in lines)
    return users, events


def read(path: Path, manifest: Manifest) -> Iterator[UserState]:
    """The lines of a .jsonl or .jsonl.gz file, events oldest first."""
    with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                yield _line(line, manifest, f"{path} line {number}")


def _line(line: bytes, manifest: Manifest, where: str) -> UserState:
    try:
        user = parse(UserHistory, line)
        asks.profile(user.profile, manifest)
        history = asks.history(user.events, manifest, "events") or ()
    except Invalid as error:
        raise Invalid(f"{where}: {error}") from error
    shown = [(each.timestamp.timestamp(), tuple(each.item_ids)) for each in user.shown]
    return UserState(
        user=user.user_id,
        history=sorted(history, key=lambda record: record[2]),
        profile=user.profile or {},
        shown=sorted(shown, key=lambda each: each[0]),
    )


def _groups(lines: Iterator[UserState]) -> Iterator[list[UserState]]:
    group: list[UserState] = []
    for line in lines:
        group.append(line)
        if len(group) == AT_ONCE:
            yield group
            group = []
    if group:
        yield group
