"""How a record becomes text, and text becomes tokens: the same code in training and serving."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from model_store.manifest import TextField


def render(fields: Sequence[TextField], record: Mapping[str, Any]) -> str:
    """Join the record's fields, in the template's order, leaving out what is missing.

    >>> fields = [TextField(name="title"), TextField(name="brand", label="brand")]
    >>> render(fields, {"title": "Mug", "brand": "Acme"})
    'Mug. brand: Acme'
    """
    parts = []
    for field in fields:
        value = _words(record.get(field.name))
        if value:
            parts.append(f"{field.label}: {value}" if field.label else value)
    return ". ".join(parts)


def _words(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, str):
        return " ".join(value.split())
    if isinstance(value, (list, tuple)):
        return ", ".join(word for word in map(_words, value) if word)
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


class TextTokenizer:
    """Text to token ids, with the settings of `tokenizer.json` fixed at load.

    Truncation is set once, here: setting it per call fails across threads.
    """

    def __init__(self, tokenizer: Tokenizer, max_tokens: int) -> None:
        tokenizer.enable_truncation(max_tokens)
        tokenizer.no_padding()
        self._tokenizer = tokenizer

    @classmethod
    def open(cls, path: Path, max_tokens: int) -> "TextTokenizer":
        """Read a `tokenizer.json`."""
        return cls(Tokenizer.from_file(str(path)), max_tokens)

    @property
    def unknown(self) -> int | None:
        """Id of the token that stands for all that the vocabulary lacks; None if it lacks nothing."""
        word = getattr(self._tokenizer.model, "unk_token", None)
        return None if word is None else self._tokenizer.token_to_id(word)

    def encode(self, text: str) -> NDArray[np.int64]:
        """Token ids, special tokens included, shape (L,), L at most `max_tokens`."""
        return np.array(self._tokenizer.encode(text).ids, dtype=np.int64)

    def encode_batch(self, texts: Sequence[str]) -> list[NDArray[np.int64]]:
        """The same for many texts, on all cores; the order is kept."""
        encodings = self._tokenizer.encode_batch_fast(list(texts))
        return [np.array(encoding.ids, dtype=np.int64) for encoding in encodings]

    def save(self, path: Path) -> None:
        """Write `tokenizer.json` with the settings in force."""
        self._tokenizer.save(str(path))
