"""Shelves whose bundles differ: a tiny bundle published again, whole or harmed."""

import shutil
from collections.abc import Callable
from pathlib import Path

from model_store.bundle import MANIFEST, Bundle
from model_store.shelf import Shelf


def publish(bundle: Path, root: Path, change: Callable[[Path], None] | None = None, **fields: object) -> int:
    """Publish a bundle again, its files changed before they are hashed and its manifest's fields replaced.

    Returns the version.
    """
    shelf, manifest = Shelf(root), Bundle.open(bundle).manifest
    with shelf.draft(manifest.name) as draft:
        shutil.copytree(bundle, draft, dirs_exist_ok=True)
        (draft / MANIFEST).unlink()
        if change:
            change(draft)
        return shelf.publish(draft, manifest.model_copy(update=fields)).manifest.version
