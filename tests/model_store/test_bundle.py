import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from model_store.bundle import MANIFEST, PIECE, Bundle, digest
from model_store.errors import (
    BundleDamaged,
    BundleError,
    BundleForeign,
    BundleMismatch,
    BundleMissing,
    BundleUnpinned,
)
from model_store.index import CELLS, CENTRES, Cells, Exact
from model_store.shelf import seal


@pytest.fixture
def copy(bundle: Path, tmp_path: Path) -> Path:
    """A bundle that may be spoilt."""
    return Path(shutil.copytree(bundle, tmp_path / "copy"))


def rewrite(folder: Path, **changed) -> None:
    record = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps(record | changed))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != MANIFEST)


def test_a_whole_bundle_opens_and_names_every_file_of_its_folder(bundle):
    opened = Bundle.open(bundle)
    assert sorted(opened.manifest.files) == names(bundle)
    assert all(opened.path(name).is_file() for name in opened.manifest.files)


def test_a_manifest_that_is_not_pinned_is_refused_with_its_hash(bundle, copy):
    pin = digest(bundle / MANIFEST)
    assert Bundle.open(copy, ("0" * 64, pin)).manifest.files
    (copy / names(copy)[0]).write_bytes(b"of somebody else")
    seal(
        copy, Bundle.open(bundle).manifest
    )  # a shelf that was tampered with: whole, and not what was trusted
    assert Bundle.open(copy).manifest.files
    with pytest.raises(BundleUnpinned, match=f"has sha256 {digest(copy / MANIFEST)}, which is not pinned"):
        Bundle.open(copy, (pin,))


def test_any_file_that_is_missing_is_named(bundle, copy):
    for name in names(bundle):
        (copy / name).rename(copy.parent / "aside")
        with pytest.raises(BundleDamaged, match=f"{name} is missing"):
            Bundle.open(copy)
        (copy.parent / "aside").rename(copy / name)


def test_any_file_that_is_cut_short_is_named_with_both_sizes(bundle, copy):
    for name in names(bundle):
        whole = (copy / name).read_bytes()
        (copy / name).write_bytes(whole[:-1])
        with pytest.raises(BundleDamaged, match=rf"{name} has {len(whole) - 1} bytes, .* says {len(whole)}"):
            Bundle.open(copy)
        (copy / name).write_bytes(whole)


def test_any_file_with_one_changed_byte_is_named(bundle, copy):
    for name in names(bundle):
        whole = (copy / name).read_bytes()
        middle = len(whole) // 2
        (copy / name).write_bytes(whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :])
        with pytest.raises(BundleDamaged, match=rf"{name} is not the file .*sha256"):
            Bundle.open(copy)
        (copy / name).write_bytes(whole)


def test_a_folder_that_does_not_exist_is_missing(tmp_path):
    with pytest.raises(BundleMissing, match="is no folder; publish"):
        Bundle.open(tmp_path / "nowhere")


def test_a_folder_without_a_manifest_is_foreign(copy):
    (copy / MANIFEST).unlink()
    with pytest.raises(BundleForeign, match=r"has no manifest\.json"):
        Bundle.open(copy)


@pytest.mark.parametrize("content", ["", "{", '{"format": 3', "\x00\x01"])
def test_a_manifest_that_was_cut_short_is_not_json(copy, content):
    (copy / MANIFEST).write_text(content)
    with pytest.raises(BundleForeign, match="is not JSON"):
        Bundle.open(copy)


@pytest.mark.parametrize("content", ["[]", "3", "{}", '{"format": 2}', '{"format": "3"}'])
def test_a_manifest_of_another_format_says_which_one_this_code_reads(copy, content):
    (copy / MANIFEST).write_text(content)
    with pytest.raises(BundleForeign, match="this code reads format 3"):
        Bundle.open(copy)


@pytest.mark.parametrize(
    ("field", "value"), [("dimension", "wide"), ("precision", "int4"), ("tasks", [{"name": "click"}]), ("colour", 1)],
)  # fmt: skip
def test_a_manifest_with_a_wrong_field_names_it(copy, field, value):
    rewrite(copy, **{field: value})
    with pytest.raises(BundleForeign, match=field):
        Bundle.open(copy)


def test_every_refusal_is_a_bundle_error():
    assert {error.__base__ for error in (BundleMissing, BundleDamaged, BundleForeign, BundleMismatch)} == {
        BundleError
    }


def test_a_file_that_the_manifest_does_not_name_cannot_be_opened(copy):
    (copy / "stray.onnx").write_bytes(b"")
    with pytest.raises(BundleDamaged, match=r"names no stray\.onnx"):
        Bundle.open(copy).path("stray.onnx")


@pytest.mark.parametrize("field", ["items", "dimension"])
def test_items_of_another_size_than_the_manifest_says_are_a_mismatch(copy, field):
    rewrite(copy, **{field: 3})
    with pytest.raises(BundleMismatch, match="the manifest says"):
        _ = Bundle.open(copy).items


def test_more_ids_than_vectors_are_a_mismatch(copy):
    opened = Bundle.open(copy)
    (copy / "items.ids.json").write_text(json.dumps([*opened.items.ids, "one more"]))
    seal(copy, opened.manifest)
    with pytest.raises(BundleMismatch, match="the items are"):
        _ = Bundle.open(copy).items


def test_items_are_read_once(bundle):
    opened = Bundle.open(bundle)
    assert opened.items is opened.items
    assert np.isfinite(opened.items.vectors).all()


def test_lines_are_the_records_of_a_jsonl_file(bundle):
    assert set(Bundle.open(bundle).lines("golden.jsonl")[0]) == {"request", "expected", "scores", "interests"}


def test_the_digest_is_the_sha256(tmp_path):
    (tmp_path / "empty").touch()
    assert digest(tmp_path / "empty").startswith("e3b0c44298fc1c149afbf4c8996fb924")


def test_a_catalogue_without_an_index_is_searched_exactly(bundle):
    assert isinstance(Bundle.open(bundle).index, Exact)


def test_an_index_is_opened_over_the_same_items_in_its_order(bundle, celled):
    plain, opened = Bundle.open(bundle), Bundle.open(celled)
    assert isinstance(opened.index, Cells)
    assert opened.index.reach == opened.manifest.index.reach
    assert sorted(opened.items.ids) == sorted(plain.items.ids)
    assert opened.items.ids != plain.items.ids
    for item in plain.items.ids[:5]:
        here, there = opened.items.rows[item], plain.items.rows[item]
        assert np.array_equal(opened.items.vectors[here], plain.items.vectors[there])


@pytest.mark.parametrize("name", [CELLS, CENTRES])
def test_a_damaged_index_is_named(celled, tmp_path, name):
    folder = Path(shutil.copytree(celled, tmp_path / "copy"))
    whole = (folder / name).read_bytes()
    (folder / name).write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(BundleDamaged, match=rf"{name} is not the file"):
        Bundle.open(folder)


def test_an_index_of_another_catalogue_is_refused(celled, tmp_path):
    folder = Path(shutil.copytree(celled, tmp_path / "copy"))
    manifest = Bundle.open(folder).manifest
    np.save(folder / CELLS, np.array([0, 3]))
    seal(folder, manifest)
    with pytest.raises(BundleMismatch, match="are none of vectors"):
        _ = Bundle.open(folder).index


def test_a_file_of_several_pieces_has_the_digest_of_the_whole(tmp_path):
    content = bytes(range(256)) * (PIECE // 128) + b"end"
    (tmp_path / "large").write_bytes(content)
    assert digest(tmp_path / "large") == hashlib.sha256(content).hexdigest()
