import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from shutil import rmtree

import pytest

from model_store.bundle import MANIFEST, Bundle
from model_store.errors import BundleForeign, BundleMissing
from model_store.manifest import Features, FusionDefault, Manifest, Retrieval
from model_store.shelf import Shelf, seal


def manifest(name: str = "shop", **changed) -> Manifest:
    known = {
        "name": name, "created": "2026-11-22", "code_version": "1", "encoder": "bert", "dimension": 8,
        "max_tokens": 16, "opset": 20, "precision": "fp32", "events": ("profile",), "history_limit": 9,
        "timezone": "UTC", "item_text": (), "features": Features(use=("hour",)), "tasks": (),
        "fusion": FusionDefault(), "retrieval": Retrieval(),
    }  # fmt: skip
    return Manifest(**{**known, **changed})


def put(shelf: Shelf, name: str = "shop", content: str = "graph") -> Bundle:
    with shelf.draft(name) as draft:
        (draft / "heads.onnx").write_text(content)
        return shelf.publish(draft, manifest(name))


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path / "shelf")


def test_what_was_published_opens(shelf):
    published = put(shelf)
    assert shelf.open("shop") == published
    assert published.folder == shelf.root / "shop" / "1"
    assert (published.manifest.version, list(published.manifest.files)) == (1, ["heads.onnx"])


def test_versions_count_up_and_the_newest_is_found(shelf):
    for number in range(11):
        assert put(shelf, content=str(number)).manifest.version == number + 1
    assert shelf.versions("shop") == list(range(1, 12))
    assert shelf.find("shop").name == "11"
    assert shelf.find("shop", 2).name == "2"
    assert shelf.open("shop", 2).path("heads.onnx").read_text() == "1"


def test_the_number_of_a_removed_version_is_not_given_again(shelf):
    put(shelf), put(shelf)
    rmtree(put(shelf).folder)
    assert put(shelf, content="new").manifest.version == 4
    assert shelf.versions("shop") == [1, 2, 4]


@pytest.mark.parametrize("noted", [None, "", "two", "1"])
def test_a_note_of_numbers_that_is_lost_or_behind_overwrites_nothing(shelf, noted):
    first, second = put(shelf), put(shelf, content="second")
    (shelf.root / "shop" / "last").unlink()
    if noted is not None:
        (shelf.root / "shop" / "last").write_text(noted)
    assert put(shelf, content="new").manifest.version == 3
    assert [each.path("heads.onnx").read_text() for each in (first, second)] == ["graph", "second"]


def test_publishers_at_the_same_time_all_publish_and_never_overwrite_each_other(shelf):
    with ThreadPoolExecutor(8) as pool:
        done = list(pool.map(lambda number: put(shelf, content=str(number)), range(40)))
    versions = [bundle.manifest.version for bundle in done]
    assert sorted(versions) == shelf.versions("shop")
    for number, version in enumerate(versions):
        opened = shelf.open("shop", version)
        assert opened.manifest.version == version
        assert opened.path("heads.onnx").read_text() == str(number)
    assert [path.name for path in (shelf.root / "shop").iterdir() if path.name.startswith(".")] == []


def test_a_draft_is_no_version_however_complete_it_is(shelf):
    with shelf.draft("shop") as draft:
        (draft / "heads.onnx").write_text("graph")
        seal(draft, manifest())
        assert Bundle.open(draft).manifest.files
        assert (shelf.names(), shelf.versions("shop")) == ([], [])
        with pytest.raises(BundleMissing, match="no bundle named 'shop'"):
            shelf.find("shop")


def test_a_draft_that_fails_leaves_nothing_behind(shelf):
    with pytest.raises(FileNotFoundError), shelf.draft("shop") as draft:
        (draft / "heads.onnx").write_bytes((draft / "nowhere").read_bytes())
    assert list((shelf.root / "shop").iterdir()) == []


def test_a_published_folder_can_be_read_by_others(shelf):
    assert put(shelf).folder.stat().st_mode & 0o777 == 0o755


def test_a_version_whose_copy_has_not_finished_is_refused_by_name(shelf):
    (put(shelf).folder / MANIFEST).unlink()
    with pytest.raises(BundleForeign, match="copy was cut short"):
        shelf.open("shop")


@pytest.mark.parametrize("stray", ["notes", ".3", "v2", "1.5", "-1", "²"])
def test_folders_and_files_that_are_no_versions_are_not_counted(shelf, stray):
    put(shelf)
    (shelf.root / "shop" / stray).mkdir()
    (shelf.root / "shop" / "7").touch()
    assert shelf.versions("shop") == [1]


def closed(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0)
    if os.access(folder, os.R_OK):
        pytest.skip("whoever runs this may read everything")
    return folder


def test_a_folder_that_we_may_not_read_hides_no_bundle_beside_it(shelf):
    put(shelf)
    closed(shelf.root / "lost+found")
    assert shelf.open().manifest.name == "shop"
    with pytest.raises(BundleMissing, match=r"shop, and lost\+found, which user \d+ may not read"):
        shelf.find("books")


@pytest.mark.parametrize("name", ["", "shop"])
def test_a_shelf_that_we_may_not_read_is_refused_by_name(shelf, name):
    put(shelf)
    folder = closed(shelf.root / name)
    with pytest.raises(BundleMissing, match=rf"{folder}.* cannot be read: Permission denied; let user \d+"):
        shelf.find("shop")
    folder.chmod(0o755)


def test_a_shelf_that_cannot_be_looked_at_is_refused_whatever_the_system_says(tmp_path):
    with pytest.raises(BundleMissing, match="cannot be read: File name too long"):
        Shelf(tmp_path / ("x" * 300)).find()


def test_the_only_name_needs_not_be_said(shelf):
    put(shelf)
    (shelf.root / "empty").mkdir()
    assert shelf.names() == ["shop"]
    assert shelf.open().manifest.name == "shop"


def test_of_two_names_one_must_be_said_and_both_are_listed(shelf):
    put(shelf)
    put(shelf, "news")
    with pytest.raises(BundleMissing, match="holds news, shop; say which"):
        shelf.open()


def test_an_unknown_name_or_version_lists_those_that_there_are(shelf):
    put(shelf)
    with pytest.raises(BundleMissing, match=r"no bundle named 'news' .* there are: shop"):
        shelf.find("news")
    for version in (0, 2):
        with pytest.raises(BundleMissing, match=rf"no version {version} .* there are: \[1\]"):
            shelf.find("shop", version)


def test_an_empty_or_absent_shelf_says_how_to_fill_it(shelf):
    for make in (False, True):
        if make:
            shelf.root.mkdir()
        with pytest.raises(BundleMissing, match=r"no bundles \(publish one with `chorus-train run`\)$"):
            shelf.find()


def test_the_same_content_has_the_same_fingerprint_in_every_version(shelf):
    one, two, other = put(shelf), put(shelf), put(shelf, content="other")
    assert one.manifest.fingerprint == two.manifest.fingerprint != other.manifest.fingerprint


def test_sealing_again_names_what_lies_there_now_and_not_the_manifest_itself(shelf):
    bundle = put(shelf)
    (bundle.folder / "heads.onnx").write_text("longer graph")
    seal(bundle.folder, bundle.manifest)
    files = json.loads((bundle.folder / MANIFEST).read_text())["files"]
    assert {name: entry["bytes"] for name, entry in files.items()} == {"heads.onnx": 12}
    assert Bundle.open(bundle.folder).manifest.fingerprint != bundle.manifest.fingerprint
