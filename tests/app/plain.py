"""A manifest made by hand, for tests of what the service counts: they need no graphs."""

from model_store.clock import Clock
from model_store.features import FeatureSet
from model_store.manifest import Features, FusionDefault, Manifest, Retrieval, Scale, Task
from model_store.parts import Parts

USE = (
    "count:click", "rate:click/view", "since:click+buy", "count:buy:1h", "latest:price", "shown", "again", "item_age",
)  # fmt: skip
WINDOWS = ("15m", "1h", "24h")


def features(use=USE, windows=WINDOWS) -> Features:
    scales = {name: Scale() for name in ("latest:price", "number:price")}
    return Features(use=use, windows=windows, rates={"click/view": 0.1}, scales=scales)


def manifest(declared=None, **fields) -> Manifest:
    told = {
        "name": "plain", "created": "2026-11-22", "code_version": "0", "encoder": "none", "dimension": 4,
        "max_tokens": 8, "opset": 17, "precision": "fp32", "events": ("profile", "click", "like"),
        "history_limit": 5, "timezone": "UTC", "item_text": (), "tasks": (Task(name="click", type="binary"),),
        "fusion": FusionDefault(), "retrieval": Retrieval(), "fingerprint": "f" * 64,
        "features": declared or features(),
    }  # fmt: skip
    return Manifest(**told | fields)


def parted(vectors) -> Parts:
    """Parts that no heads read."""
    return Parts(vectors, 2 * vectors, 3 * vectors, 4 * vectors)


def feature_set(of: Manifest) -> FeatureSet:
    return FeatureSet(of.features, Clock(of.timezone))
