"""A bundle is one folder: a manifest and the files that it names.

    <root>/<name>/<version>/manifest.json            written last; names, sizes and hashes of all below
                            text_encoder.onnx        input_ids, attention_mask -> vector, item-only tasks
                            text_encoder.int8.onnx   the same, products in int8, or
                            text_encoder.fp16.onnx   with products in fp16: served where it passed the gate
                            user_encoder.onnx        vectors, events, gaps, hours, mask -> user
                            user_heads.onnx          user -> one output a task that reads the user alone, if any
                            heads.onnx               user, query, items, context -> one output a task
                            scorer*.onnx             the same function, as it is served: see scorer.py
                            scorer.npz               the heads' weights, for the compiled kernel: see kernel.py
                            tokenizer.json
                            items.*                  see items.py
                            golden.jsonl             requests with their expected answers
                            warmup.jsonl             recorded requests
                            proof.npz                sample inputs with torch's outputs, for `verify`

Opening checks every file against the manifest, and says by name what is wrong.
"""

import hashlib
import json
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from model_store import index, items
from model_store.errors import BundleDamaged, BundleForeign, BundleMismatch, BundleMissing, BundleUnpinned
from model_store.manifest import FORMAT, FileEntry, Manifest

MANIFEST = "manifest.json"
PIECE = 4 << 20  # bytes of a file that are hashed at once


@dataclass(frozen=True)
class Bundle:
    """An opened bundle: its folder and its manifest, checked."""

    folder: Path
    manifest: Manifest

    @classmethod
    def open(cls, folder: Path, pins: Collection[str] = (), *, at_once: int | None = None) -> "Bundle":
        """Read the manifest and check every file that it names; pins: sha256 that the manifest may have, if any.

        at_once: files that are hashed side by side; None: as many as is quickest.
        Raises BundleMissing, BundleForeign, BundleUnpinned or BundleDamaged.
        """
        bundle = cls(folder, _manifest(folder, pins))
        files = bundle.manifest.files
        with ThreadPoolExecutor(at_once) as pool:  # hashing takes no turn of the interpreter's
            for _ in pool.map(_check, map(folder.joinpath, files), files.values()):
                pass
        return bundle

    def path(self, name: str) -> Path:
        """Where a file of the bundle lies; BundleDamaged if the manifest does not name it."""
        if name not in self.manifest.files:
            raise BundleDamaged(f"{self.folder}: the manifest names no {name}; export the bundle again")
        return self.folder / name

    @cached_property
    def items(self) -> items.Items:
        """The catalogue, memory-mapped. Raises BundleMismatch if it is not as large as the manifest says."""
        found = items.read(self.folder)
        expected = (self.manifest.items, self.manifest.dimension)
        sizes = {len(found), *map(len, found.parts)}
        if found.vectors.shape != expected or sizes != {expected[0]}:
            raise BundleMismatch(
                f"{self.folder}: the items are {found.vectors.shape}, the manifest says {expected}"
            )
        return found

    @cached_property
    def index(self) -> index.Index:
        """Finds the nearest items. Raises BundleMismatch if it is not of this catalogue."""
        vectors, told = self.items.vectors, self.manifest.index
        if told is None:
            return index.Exact(vectors)
        try:
            return index.read(self.folder, vectors, told.reach)
        except (ValueError, OSError) as error:
            raise BundleMismatch(f"{self.folder}: {error}; export the bundle again") from error

    def lines(self, name: str) -> list[dict[str, Any]]:
        """The records of one of the bundle's JSONL files."""
        with self.path(name).open() as file:
            return [json.loads(line) for line in file]


def _manifest(folder: Path, pins: Collection[str]) -> Manifest:
    if not folder.is_dir():
        raise BundleMissing(f"{folder} is no folder; publish a bundle with `chorus-train publish`")
    path = folder / MANIFEST
    if not path.is_file():
        raise BundleForeign(f"{folder} has no {MANIFEST}: not a bundle, or one whose copy was cut short")
    written = path.read_bytes()
    if pins and (real := hashlib.sha256(written).hexdigest()) not in pins:
        raise BundleUnpinned(f"{path} has sha256 {real}, which is not pinned; pin it if you trust it")
    try:
        record = json.loads(written)
    except ValueError as error:
        raise BundleForeign(f"{path} is not JSON ({error}); copy the bundle again") from error
    found = record.get("format") if isinstance(record, dict) else None
    if found != FORMAT:
        raise BundleForeign(f"{path} has format {found!r}, this code reads format {FORMAT}; export it again")
    try:
        return Manifest.model_validate(record)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise BundleForeign(f"{path}: {where}: {first['msg']}; export the bundle again") from error


def _check(path: Path, entry: FileEntry) -> None:
    if not path.is_file():
        raise BundleDamaged(f"{path} is missing; copy the bundle again")
    size = path.stat().st_size
    if size != entry.bytes:
        raise BundleDamaged(f"{path} has {size} bytes, the manifest says {entry.bytes}; copy it again")
    if digest(path) != entry.sha256:
        raise BundleDamaged(f"{path} is not the file that the manifest names (sha256 differs); copy it again")


def digest(path: Path) -> str:
    """The sha256 of a file, in hex; in large pieces: between two of them it takes the interpreter's lock."""
    state, piece = hashlib.sha256(), bytearray(PIECE)
    with path.open("rb", buffering=0) as file:
        while size := file.readinto(piece):
            state.update(memoryview(piece)[:size])
    return state.hexdigest()


def entries(folder: Path) -> dict[str, FileEntry]:
    """Size and hash of every file in a bundle in the making."""
    return {
        path.name: FileEntry(bytes=path.stat().st_size, sha256=digest(path))
        for path in sorted(folder.iterdir())
        if path.is_file() and path.name != MANIFEST
    }
