"""Columns that a configuration asks for."""

from pathlib import Path

from training import config
from training.datasets import roles

RECORD = {
    "name": "shop",
    "items": {
        "path": "i.csv",
        "id": "sku",
        "text": ["title"],
        "attributes": ["brand"],
        "time": "listed",
        "numbers": ["price"],
    },
    "users": {"path": "u.csv", "id": "uid", "text": ["city"]},
    "events": {
        "path": "e.csv",
        "user": "who",
        "item": "sku",
        "timestamp": "at",
        "context": ["device"],
        "numbers": ["stock"],
    },
    "history": {"events": {"buy": "kind=buy", "click": "clicked"}},
    "tasks": {
        "click": {"type": "binary", "label": "clicked"},
        "time": {"type": "multiclass", "inputs": "user_item", "label": "at", "clock": "hour"},
        "brand": {"type": "multiclass", "inputs": "item", "label": "brand"},
        "mood": {"type": "binary", "inputs": "text", "text": "review", "label": "happy"},
    },
}
CONFIG = config.parse(RECORD, Path("shop.toml"))


def test_every_column_is_asked_for_by_its_key() -> None:
    assert roles.items(CONFIG) == {
        "items.id": "sku", "items.text, title": "title", "items.attributes, brand": "brand",
        "items.numbers, price": "price",
        "items.time": "listed", "tasks.brand.label": "brand",
    }  # fmt: skip
    assert roles.users(CONFIG) == {"users.id": "uid", "users.text, city": "city"}
    assert roles.events(CONFIG) == {
        "events.item": "sku", "events.user": "who", "events.timestamp": "at",
        "events.context, device": "device", "events.numbers, stock": "stock",
        "history.events.buy": "kind", "history.events.click": "clicked",
        "tasks.click.label": "clicked", "tasks.mood.label": "happy", "tasks.mood.text": "review",
    }  # fmt: skip


def test_a_condition_is_a_column_with_or_without_a_value() -> None:
    assert roles.condition("clicked") == ("clicked", None)
    assert roles.condition("kind = buy") == ("kind", "buy")
    assert roles.condition("kind=a=b") == ("kind", "a=b")
