import numpy as np
import onnxruntime
import pytest

from model_store.engine import CPU
from training.export.sheet import Sheet

VALUES = np.array([[3.0, 1.0, 2.0], [6.0, 5.0, 4.0]], dtype=np.float32)


def run(sheet: Sheet, value: str, width: int, path):
    sheet.output("found", value, width)
    sheet.save(path, {"word": "kept"})
    session = onnxruntime.InferenceSession(path, providers=[CPU])
    assert session.get_modelmeta().custom_metadata_map == {"word": "kept"}
    return session.run(None, {"given": VALUES})[0]


@pytest.fixture
def sheet():
    return Sheet(20)


def test_what_is_split_and_joined_is_as_it_was(sheet, tmp_path):
    given = sheet.input("given", "rows", 3)
    parts = sheet.split(given, [1, 2])
    assert np.array_equal(run(sheet, sheet.joined(parts), 3, tmp_path / "a.onnx"), VALUES)


def test_nothing_is_drawn_for_a_single_part(sheet):
    assert sheet.split("value", [3]) == ["value"]
    assert sheet.joined(["value"]) == "value"
    assert sheet.ordered("value", 1) == "value"


def test_a_product_adds_one_row_to_all(sheet, tmp_path):
    weights, row = np.arange(6.0).reshape(3, 2), np.array([[10.0, 20.0]])
    found = sheet.affine(sheet.input("given", "rows", 3), weights, sheet.constant(row))
    assert np.array_equal(run(sheet, found, 2, tmp_path / "a.onnx"), VALUES @ weights + row)


def test_columns_are_put_in_order_row_by_row(sheet, tmp_path):
    found = sheet.ordered(sheet.input("given", "rows", 3), 3)
    assert np.array_equal(run(sheet, found, 3, tmp_path / "a.onnx"), np.sort(VALUES, axis=1))


def test_a_graph_that_is_none_is_not_written(sheet, tmp_path):
    sheet.output("found", sheet.node("NoSuchOperator", sheet.input("given", "rows", 3)), 3)
    with pytest.raises(Exception, match="NoSuchOperator"):
        sheet.save(tmp_path / "a.onnx", {})
    assert not (tmp_path / "a.onnx").exists()
