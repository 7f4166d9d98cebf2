"""A key that opens /admin."""

from pathlib import Path

from app import keyring

KEY = "a key of the tests"
HEADERS = {"X-API-Key": KEY}


def keys(folder: Path) -> Path:
    """A file with that key."""
    path = folder / "keys"
    keyring.add(path, keyring.key(name="tests", scopes=("admin",), sha256=keyring.digest(KEY.encode())))
    return path
