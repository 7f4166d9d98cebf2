"""What training measures for the declared features: usual rates, scales of numbers, known words, longest list.

All of it from the training part of the log alone.
"""

import numpy as np
import polars as pl
from numpy.typing import NDArray

from model_store import names
from model_store.clock import Clock
from model_store.features import FeatureSet
from model_store.manifest import Features, Scale
from training.config import Config
from training.replay import Log

WORDS = 32  # known words of a column of the request, the commonest first; the others are one
RARE = 1e-4  # the least a usual rate may be


def asked(config: Config) -> Features:
    """The features of the configuration, nothing measured yet."""
    return Features(use=config.features.use, windows=config.features.windows, grades=config.history.grades)


def declared(config: Config, log: Log, shown: pl.DataFrame, items: pl.DataFrame) -> Features:
    """The features of the configuration; log and `shown` are those of the training part."""
    plain = asked(config)
    chosen = FeatureSet(plain, Clock(config.features.timezone))
    counts = dict(
        zip(chosen.layout.events, np.bincount(log.kinds, minlength=len(chosen.layout.events)), strict=True)
    )
    rates = {
        name.argument: max(sum(counts[event] for event in name.events)
                           / max(sum(counts[event] for event in name.tried), 1), RARE)
        for name in chosen.names if name.kind == "rate"
    }  # fmt: skip
    numbers = items.filter(pl.col("item").is_in(shown["item"].unique().implode()))
    scales = {f"number:{column}": scale(numbers[f"number:{column}"]) for column in chosen.numbers}
    scales |= {f"latest:{column}": scale(pl.Series(values)) for column, (_, _, values) in log.told.items()}
    return plain.model_copy(
        update={
            "rates": rates,
            "scales": scales,
            "words": {
                column: _words(shown[f"context:{column}"]) for column in names.of("context", chosen.names)
            },
            "values": {name: _words(_shown(shown, items, name)) for name in names.of("is", chosen.names)},
            "usual_grade": _usual(config.history.grades, shown) if config.history.grades else 0.0,
            "candidates": int(shown.group_by("request").len()["len"].max() or 1),  # type: ignore[arg-type]
        }
    )


def _usual(grades: dict[str, float], shown: pl.DataFrame) -> float:
    """The mean grade of the rows' events."""
    given = [grades[event] for event in shown["events"].explode().drop_nulls() if event in grades]
    return float(np.mean(given)) if given else 0.0


def scale(column: pl.Series) -> Scale:
    """Mean and spread of a number's known values; of logarithms if none is negative and the tail is long."""
    values: NDArray[np.float64] = column.drop_nulls().to_numpy().astype(np.float64)
    if not len(values):
        return Scale()
    log = bool(values.min() >= 0.0 and values.mean() > 1.5 * np.median(values) + 1e-9)
    told = np.log1p(values) if log else values
    return Scale(mean=float(told.mean()), std=max(float(told.std()), 1e-6), log=log)


def _shown(shown: pl.DataFrame, items: pl.DataFrame, attribute: str) -> pl.Series:
    """The values of an attribute of every candidate."""
    values = items.select("item", f"attribute:{attribute}")
    return shown.select("item").join(values, on="item")[f"attribute:{attribute}"].explode()


def _words(column: pl.Series) -> tuple[str, ...]:
    counts = column.drop_nulls().value_counts().sort(["count", column.name], descending=[True, False])
    return tuple(counts[column.name].head(WORDS))
