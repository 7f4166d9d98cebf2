import shutil

import numpy as np
import pytest

from model_store.bundle import Bundle
from model_store.shelf import seal
from training.errors import GateError
from training.export.recheck import recheck


def served(copy, opened, precision: str) -> Bundle:
    """The copy sealed again, so that every hash is right."""
    seal(copy, opened.manifest.model_copy(update={"precision": precision}))
    return Bundle.open(copy)


def test_a_bundle_that_serves_a_spoilt_int8_file_is_refused(copy, opened, spoil, bench, progress):
    spoil(copy / "text_encoder.int8.onnx", "_half", np.zeros_like)
    with pytest.raises(GateError, match=r"int8 does not pass: .* export the run again"):
        recheck(bench, served(copy, opened, "int8"), progress)


def test_a_spoilt_int8_file_beside_a_served_fp32_one_is_only_told(copy, opened, spoil, bench, progress):
    spoil(copy / "text_encoder.int8.onnx", "_half", np.zeros_like)
    assert not recheck(bench, served(copy, opened, "fp32"), progress)["passed"]


def test_an_int8_file_that_loses_nothing_passes_again(copy, opened, bench, progress):
    shutil.copyfile(copy / "text_encoder.onnx", copy / "text_encoder.int8.onnx")
    assert recheck(bench, served(copy, opened, "int8"), progress)["passed"]


def test_the_gate_of_the_export_is_found_again(opened, bench, progress):
    again = recheck(bench, opened, progress)
    assert again["passed"] == opened.manifest.gate["passed"]
    for name, task in again["tasks"].items():
        assert task["fp32"] == pytest.approx(
            opened.manifest.gate["tasks"][name]["fp32"], abs=0.02, nan_ok=True
        )
