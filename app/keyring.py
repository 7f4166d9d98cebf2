"""API keys, as a file keeps them: one a line, its hash and never the key itself.

    # name     scopes             sha256 of the key    what else
    shop-web   recommend,events   2c26b46b68ffc68f…    rate=50 burst=100 expires=2027-01-01T00:00:00Z
    loader     items              fcde2b2edba56bf4…

rate, burst: requests a second of one process, and how many at once; candidates, candidates_burst: the same of the
candidates that they ask for; unlimited if left out. A key is 256 random bits: nobody finds it by guessing, so one
round of sha256 keeps it, and `printf %s KEY | sha256sum` makes a line by hand.
"""

import hashlib
import os
import secrets
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from app.errors import SettingsError

Scope = Literal["recommend", "events", "items", "metrics", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
HEAD = "# name  scopes  sha256 of the key  [rate=] [burst=] [candidates=] [candidates_burst=] [expires=]"
RATES = {"burst": "rate", "candidates_burst": "candidates"}  # what each is a burst of
MOST = 256  # keys of a file: each has a counter

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class Key(BaseModel):
    """Who may do what, how often, until when."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: Name
    scopes: Annotated[tuple[Scope, ...], Field(min_length=1)]
    sha256: Digest
    rate: float | None = Field(None, gt=0.0)
    burst: float | None = Field(None, ge=1.0)
    candidates: float | None = Field(None, gt=0.0)
    candidates_burst: float | None = Field(None, ge=1.0)
    expires: AwareDatetime | None = None

    @field_validator(*RATES)
    @classmethod
    def _limited(cls, burst: float | None, info: ValidationInfo) -> float | None:
        rate = RATES[str(info.field_name)]
        if burst is not None and info.data.get(rate) is None:
            raise ValueError(f"limits nothing by itself; give {rate} too")
        return burst

    @property
    def line(self) -> str:
        """As the file has it."""
        told = self.model_dump(mode="json", exclude_none=True, exclude={"name", "scopes", "sha256"})
        options = [f"{name}={value}" for name, value in told.items()]
        return " ".join([self.name, ",".join(self.scopes), self.sha256, *options])


def make() -> str:
    """A new key; the prefix lets scanners of leaked secrets know it."""
    return f"chorus_{secrets.token_urlsafe(32)}"


def digest(key: bytes) -> str:
    """What is kept of a key."""
    return hashlib.sha256(key).hexdigest()


def key(**said: Any) -> Key:
    """A key as it is described; ValueError says what is wrong and with which word."""
    try:
        return Key.model_validate(said)
    except ValidationError as error:
        first = error.errors()[0]
        reason = first["msg"].removeprefix("Value error, ")
        raise ValueError(f"{first['loc'][0]}: {reason}; see docs/security.md") from None


def read(path: Path) -> list[Key]:
    """The keys of a file. SettingsError names the line and what is wrong with it."""
    try:
        return parse(path.read_text().splitlines())
    except OSError as error:
        raise SettingsError(f"the API keys cannot be read: {path}: {error.strerror}") from error
    except ValueError as error:
        raise SettingsError(f"the API keys cannot be read: {path}: {error}") from error


def parse(lines: Iterable[str]) -> list[Key]:
    """The keys of its lines; ValueError names the line."""
    keys: list[Key] = []
    for number, line in enumerate(lines, 1):
        words = line.partition("#")[0].split()
        try:
            keys += [_key(words)] if words else []
        except ValueError as error:
            raise ValueError(f"line {number}: {error}") from None
    for what in ("name", "sha256"):
        if len({getattr(each, what) for each in keys}) < len(keys):
            raise ValueError(f"two keys have one {what}; remove one of them")
    if len(keys) > MOST:
        raise ValueError(f"{len(keys)} keys are more than {MOST}")
    return keys


def add(path: Path, new: Key) -> None:
    """Write one more key, and the file if there is none. SettingsError if its name is taken."""
    lines = path.read_text().splitlines() if path.exists() else [HEAD]
    try:
        parse([*lines, new.line])
    except ValueError as error:
        raise SettingsError(f"{path}: with the key {new.name} {error}") from error
    _write(path, [*lines, new.line])


def revoke(path: Path, name: str) -> None:
    """Take a key out. SettingsError if there is none of that name."""
    known = [each.name for each in read(path)]
    if name not in known:
        raise SettingsError(f"{path} has no key {name}; there are: {', '.join(known) or 'none'}")
    _write(path, [line for line in path.read_text().splitlines() if line.split()[:1] != [name]])


def _key(words: list[str]) -> Key:
    if len(words) < 3:
        raise ValueError("write a name, its scopes and the sha256 of the key, with spaces between")
    name, scopes, sha256, *options = words
    said = dict(word.partition("=")[::2] for word in options)
    return key(name=name, scopes=tuple(scopes.split(",")), sha256=sha256, **said)


def _write(path: Path, lines: Iterable[str]) -> None:
    """The file is whole at any time, and read by those who could read it before; a new one by its owner alone."""
    mode = path.stat().st_mode & 0o777 if path.exists() else 0o600
    try:
        handle, draft = tempfile.mkstemp(dir=path.parent, prefix=".")
        with os.fdopen(handle, "w") as file:
            file.writelines(f"{line}\n" for line in lines)
            os.fchmod(handle, mode)
        os.replace(draft, path)
    except OSError as error:
        raise SettingsError(f"{path} cannot be written: {error.strerror}") from error
