"""A shop of three items and four events, to be spoilt one way at a time."""

from pathlib import Path
from typing import Any

from training import config
from training.config import Config

ITEMS = """item_id,title,brand,tags,listed
1,Red mug,Acme,red|cup,2023-01-01T00:00:00Z
2,Blue mug,Acme,blue|cup,2023-01-02T00:00:00Z
3,Green hat,,,
"""
USERS = """user_id,city
ann,Oslo
bob,
"""
EVENTS = """user_id,item_id,at,clicked,bought,dwell,kind
ann,1,2023-05-02T10:00:00Z,1,no,12.5,web
ann,2,2023-05-01T10:00:00+02:00,0,,,web
bob,1,2023-05-03T10:00:00Z,yes,1,3,app
bob,3,2023-05-04T10:00:00Z,false,0,0,app
"""


def record(**sections: dict[str, Any]) -> dict[str, Any]:
    """The TOML as a record; `sections` are merged into it."""
    made: dict[str, Any] = {
        "name": "shop",
        "items": {
            "path": "items.csv", "text": ["title", "brand"], "labels": {"brand": "brand"},
            "attributes": ["tags"], "time": "listed",
        },
        "users": {"path": "users.csv", "text": ["city"]},
        "events": {"path": "events.csv", "user": "user_id", "timestamp": "at"},
        "history": {"events": {"click": "clicked", "app": "kind=app"}},
        "tasks": {
            "click": {"type": "binary", "label": "clicked"},
            "dwell": {"type": "regression", "label": "dwell", "transform": "log1p"},
            "brand": {"type": "multilabel", "inputs": "item", "label": "tags"},
        },
    }  # fmt: skip
    return made | {key: made.get(key, {}) | value for key, value in sections.items()}


def write(folder: Path, *, sections: dict[str, Any] | None = None, **files: str | bytes) -> Config:
    """Write the shop into `folder`; `files` replace the contents of `<name>.csv`."""
    contents = {"items": ITEMS, "users": USERS, "events": EVENTS} | files
    for name, content in contents.items():
        (folder / f"{name}.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    return config.parse(record(**(sections or {})), folder / "shop.toml")
