"""Tables by hand, as `tables.read` would give them, and the configuration that goes with them."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from training import build as builder
from training import config
from training.config import Config
from training.dataset import Dataset
from training.datasets.report import Report
from training.datasets.tables import Tables

DAY = 86_400.0
START = 1_705_312_800.0  # Monday 2024-01-15 11:00 in Copenhagen
ITEMS = 12
KINDS = ("even", "odd")
LABELS = {
    "binary": pl.Float64,
    "regression": pl.Float64,
    "quantile": pl.Float64,
    "multiclass": pl.String,
    "multilabel": pl.List(pl.String),
}


def record(**sections: dict[str, Any]) -> dict[str, Any]:
    """A small configuration with a task of every kind; `sections` are merged into it, `tasks` replaced."""
    made: dict[str, Any] = {
        "name": "toy",
        "items": {"path": "items.parquet", "text": ["text"], "attributes": ["kind"], "time": "published"},
        "events": {
            "path": "events.parquet", "user": "user", "timestamp": "time", "impression": "impression",
            "query": "query",
        },
        "history": {"events": {"click": "clicked", "buy": "bought"}, "limit": 4},
        "split": {"validation": 0.2, "test": 0.2},
        "features": {
            "use": ["hour", "weekday", "item_age", "since_last", "history_size", "share:kind"],
            "timezone": "Europe/Copenhagen",
        },
        "tasks": {
            "click": {"type": "binary", "label": "clicked", "main": True},
            "dwell": {"type": "regression", "label": "dwell", "transform": "log1p"},
            "match": {"type": "binary", "inputs": "query_item", "label": "match"},
            "time": {"type": "multiclass", "inputs": "user_item", "label": "time", "clock": "daypart"},
            "kind": {"type": "multiclass", "inputs": "item", "label": "kind"},
            "tags": {"type": "multilabel", "inputs": "item", "label": "tags"},
            "mood": {"type": "binary", "inputs": "text", "text": "review", "label": "glad"},
        },
        "model": {"encoder": "bert", "dimension": 8, "hidden": 8, "experts": 2, "max_tokens": 16},
        "training": {"epochs": 2, "batch": 8, "lr_heads": 3e-3},
    }  # fmt: skip
    replaced = {"tasks": sections.pop("tasks")} if "tasks" in sections else {}
    return {**made, **{key: {**made.get(key, {}), **value} for key, value in sections.items()}, **replaced}


def settings(folder: Path = Path(), **sections: dict[str, Any]) -> Config:
    """The configuration, checked."""
    return config.parse(record(**sections), folder / "toy.toml")


def items(count: int = ITEMS) -> pl.DataFrame:
    """Things of two kinds, every fifth of an unknown age."""
    numbers = range(count)
    return pl.DataFrame(
        {
            "item": [f"i{number}" for number in numbers],
            "text": [f"{KINDS[number % 2]} thing {number}" for number in numbers],
            "published": [None if number % 5 == 4 else START - number * DAY for number in numbers],
            "attribute:kind": [[KINDS[number % 2]] if number % 7 else [] for number in numbers],
            "label:kind": [KINDS[number % 2] for number in numbers],
            "label:tags": [[*("ab"[: number % 3])] if number != 3 else None for number in numbers],
        },
        schema_overrides={
            "published": pl.Float64,
            "label:tags": pl.List(pl.String),
            "attribute:kind": pl.List(pl.String),
        },
    )


def events(rows: list[dict[str, Any]], settings: Config) -> pl.DataFrame:
    """Rows with any of user, item, time, impression, query, events and the names of tasks; the rest is null."""
    schema = {
        "user": pl.String,
        "item": pl.String,
        "time": pl.Float64,
        "impression": pl.String,
        "query": pl.String,
    }
    schema |= {"events": pl.List(pl.String)}
    schema |= {f"context:{name}": pl.String for name in settings.events.context}
    schema |= {f"number:{name}": pl.Float64 for name in settings.events.numbers}
    known = {**dict.fromkeys(schema), "events": []}
    for name, task in settings.tasks.items():
        if task.inputs not in ("item", "user") and not task.clock:
            schema[f"label:{name}"] = LABELS[task.type]
        if task.text:
            schema[f"text:{name}"] = pl.String
    named = [{key if key in schema else f"label:{key}": value for key, value in row.items()} for row in rows]
    full = [{**dict.fromkeys(schema), **known, **row} for row in named]
    return pl.DataFrame(full, schema=schema).sort("time", maintain_order=True)


def tables(rows: list[dict[str, Any]], settings: Config, users: dict[str, str] | None = None) -> Tables:
    """Tables of these events; users by name and profile."""
    profiles = None
    if users is not None:
        profiles = pl.DataFrame({"user": list(users), "profile": list(users.values())})
    return Tables(items(), events(rows, settings), profiles, Report())


def log(seed: int = 0, impressions: int = 60) -> list[dict[str, Any]]:
    """Impressions of 3 to 5 items by 6 users, every tenth by nobody, with every kind of label somewhere missing."""
    random = np.random.default_rng(seed)
    rows: list[dict[str, Any]] = []
    for number in range(impressions):
        moment = START + number * 7_000 + float(random.integers(0, 60))
        user = None if number % 10 == 9 else f"u{random.integers(6)}"
        query = f"{KINDS[number % 2]} thing" if number % 3 == 0 or user is None else None
        for item in random.choice(ITEMS, int(random.integers(3, 6)), replace=False):
            clicked = float(random.random() < (0.7 if (item + number) % 2 else 0.2))
            told = [name for name, happened in (("click", clicked), ("buy", item == 1)) if happened]
            rows.append(
                {
                    "user": user, "item": f"i{item}", "time": moment, "impression": f"imp{number}", "query": query,
                    "events": told, "click": None if random.random() < 0.1 else clicked,
                    "dwell": float(random.integers(1, 90)) if clicked else None,
                    "match": float(item % 2 == number % 2) if query else None,
                    "mood": float(item % 2) if clicked else None,
                    "text:mood": f"so {KINDS[item % 2]}" if clicked else None,
                }
            )  # fmt: skip
    return rows


USERS = {"u0": "young odense", "u1": "old", "u2": "", "stranger": "never seen"}


def made(folder: Path = Path(), seed: int = 0, **sections: dict[str, Any]) -> Dataset:
    """The data set of the log."""
    chosen = settings(folder, users={"path": "users.parquet", "text": ["profile"]}, **sections)
    return build(log(seed), chosen, USERS)


def build(rows: list[dict[str, Any]], settings: Config, users: dict[str, str] | None = None) -> Dataset:
    """`build` of these events."""
    found = tables(rows, settings, users)
    if settings.users and found.users is not None:
        found = Tables(
            found.items,
            found.events,
            found.users.with_columns(pl.col("profile").alias("field:profile")),
            found.report,
        )
    return builder.build(settings, found)
