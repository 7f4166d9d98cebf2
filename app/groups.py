"""Rows of a file as asks: those of the same user, query and moment, with items of the catalogue."""

import json
from datetime import datetime

import numpy as np
import polars as pl
from pydantic import ConfigDict, TypeAdapter, ValidationError

from app.api.schema import EARLIEST, LATEST, Time
from app.catalogue import Catalogue
from app.lookup import Lookup
from model_store import limits

TEXTS = {"user_id": limits.ID, "query": limits.QUERY}  # and the most characters that /score takes
COLD = ("history", "profile", "text", "attributes", "numbers", "published")
NUMBER, ROW, NOW = "#number", "#row", "#now"

TIME: TypeAdapter[datetime] = TypeAdapter(Time, config=ConfigDict(strict=True))


class Groups:
    """Finds the asks in frames; rows without a timestamp are of one `moment`."""

    def __init__(self, catalogue: Catalogue, moment: datetime) -> None:
        self._moment = moment.timestamp()
        self._items = Lookup(pl.Series(catalogue.ids, dtype=pl.String), catalogue.places(catalogue.ids))

    def split(self, frame: pl.DataFrame) -> tuple[pl.DataFrame, pl.Series]:
        """Asks (user_id, query, #now) with the lists of their rows (#number) and of the catalogue's (#row).

        And the numbers of all other rows: they say more than that, or something is wrong with them.
        """
        read = {name for name in TEXTS if _texts(frame, name)}
        other = [
            frame[name].is_null() for name in (*TEXTS, *COLD) if name in frame.columns and name not in read
        ]
        table = pl.DataFrame(
            {
                NUMBER: np.arange(len(frame)),
                **{name: frame[name] if name in read else _nothing(frame, pl.String) for name in TEXTS},
                ROW: self._items.find(frame["item_id"])
                if _texts(frame, "item_id")
                else np.full(len(frame), -1),
                NOW: self._times(frame),
            }
        )
        plain = table.select(
            pl.all_horizontal(
                pl.any_horizontal(pl.col(*TEXTS).is_not_null()),
                *(_usable(name, most) for name, most in TEXTS.items()),
                pl.col(ROW) >= 0,
                pl.col(NOW).is_not_null(),
                *other,
            )
        ).to_series()
        asks = table.filter(plain).group_by(*TEXTS, NOW, maintain_order=True).agg(NUMBER, ROW)
        return asks, table[NUMBER].filter(~plain)

    def _times(self, frame: pl.DataFrame) -> pl.Series:
        """Moments in unix seconds, null for one that is none."""
        given = frame["timestamp"] if "timestamp" in frame.columns else _nothing(frame, pl.Null)
        told = _nothing(frame, pl.Float64)
        if isinstance(given.dtype, pl.Datetime) and given.dtype.time_zone is not None:
            told = given.dt.epoch("us") / 1e6
        elif given.dtype == pl.String:
            texts = given.drop_nulls().unique()
            seconds = pl.Series([_seconds(text) for text in texts], dtype=pl.Float64)
            told = given.replace_strict(texts, seconds, default=None, return_dtype=pl.Float64)
        first, end = EARLIEST.timestamp(), LATEST.timestamp()
        choice = (
            pl.when(given.is_null()).then(self._moment).when(told.is_between(first, end, "left")).then(told)
        )
        return pl.select(choice).to_series()


def _texts(frame: pl.DataFrame, name: str) -> bool:
    return frame.schema.get(name) == pl.String


def _usable(name: str, most: int) -> pl.Expr:
    """Whether /score takes a text."""
    text = pl.col(name)
    return text.is_null() | (
        text.str.len_chars().is_between(1, most) & ~text.str.contains("\0", literal=True)
    )


def _seconds(text: str) -> float | None:
    try:
        return TIME.validate_json(json.dumps(text)).timestamp()
    except ValidationError:
        return None


def _nothing(frame: pl.DataFrame, kind: type[pl.DataType]) -> pl.Series:
    return pl.repeat(None, len(frame), dtype=kind, eager=True)
