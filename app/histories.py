"""Loading histories: what users did before the service was there, from a JSONL file into Redis.

{"user_id": "u42", "events": [{"item_id": "i7", "event": "click", "timestamp": "2026-11-22T08:00:00Z"}],
 "profile": {"city": "Odense"}}

Training writes such a file beside each run.
"""

import gzip
from collections.abc import Iterator
from pathlib import Path

from pydantic import Field

from app.api import ask as asks
from app.api.body import parse
from app.api.schema import HistoryEvent, Id, Record, Strict
from app.errors import Invalid
from app.state import Record as StoredRecord
from app.state import State
from model_store.manifest import Manifest

AT_ONCE = 200  # users a round trip

Line = tuple[str, tuple[StoredRecord, ...], Record]


class UserHistory(Strict):
    """One line: it replaces all that is stored of that user."""

    user_id: Id
    events: list[HistoryEvent] = Field(default_factory=list)
    profile: Record | None = None


async def load(path: Path, state: State, manifest: Manifest) -> tuple[int, int]:
    """Store every line; returns users and events. Invalid names the file and the line, the rest is stored."""
    users = events = 0
    for lines in _groups(read(path, manifest)):
        await state.replace(lines)
        users += len(lines)
        events += sum(len(history) for _, history, _ in lines)
    return users, events


def read(path: Path, manifest: Manifest) -> Iterator[Line]:
    """The lines of a .jsonl or .jsonl.gz file, events oldest first."""
    with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                yield _line(line, manifest, f"{path} line {number}")


def _line(line: bytes, manifest: Manifest, where: str) -> Line:
    try:
        user = parse(UserHistory, line)
        asks.profile(user.profile, manifest)
        history = asks.history(user.events, manifest, "events") or ()
    except Invalid as error:
        raise Invalid(f"{where}: {error}") from error
    return user.user_id, tuple(sorted(history, key=lambda record: record[2])), user.profile or {}


def _groups(lines: Iterator[Line]) -> Iterator[list[Line]]:
    group: list[Line] = []
    for line in lines:
        group.append(line)
        if len(group) == AT_ONCE:
            yield group
            group = []
    if group:
        yield group
