"""A configuration file with other values for some of its keys; the rest stays as it was written, comments and all."""

from collections.abc import Mapping
from typing import Any

import tomlkit
from tomlkit import TOMLDocument


def put(document: TOMLDocument, values: Mapping[str, Any]) -> None:
    """Set dotted keys, such as `training.seed`; tables that are not there yet are made."""
    for key, value in values.items():
        *parents, last = key.split(".")
        table: Any = document
        for parent in parents:
            table = table.setdefault(parent, tomlkit.table())
        table[last] = value


def edited(text: str, values: Mapping[str, Any]) -> str:
    """A file's text with other values for dotted keys; as it is, to the letter, if there are none."""
    if not values:
        return text
    document = tomlkit.parse(text)
    put(document, values)
    return tomlkit.dumps(document)
