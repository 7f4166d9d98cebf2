import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, numpy_helper

from model_store.features import FeatureSet
from training.export import graphs
from training.export.publish import SAMPLE, sample
from training.export.quantise import LEVELS, Span, quantise


@pytest.fixture(scope="module", params=["plain", "padded"])
def pair(request, opened, ways):
    """The fp32 graph, and one of the ways through that of int8."""
    return [onnx.load(opened.path("text_encoder.onnx")).graph, ways[request.param]]


def weights(graph, *parts: str) -> dict[str, int]:
    return {one.name: one.data_type for one in graph.initializer if any(part in one.name for part in parts)}


def ending(graph, end: str) -> list[np.ndarray]:
    return [numpy_helper.to_array(one) for one in graph.initializer if one.name.endswith(end)]


def test_every_product_of_the_transformer_is_of_integers(pair):
    """Twelve products with weights in two layers, and their biases; attention's own have none."""
    kinds = [[node.op_type for node in graph.node] for graph in pair]
    assert sum(node.op_type == "MatMul" and "val_" in node.input[1] for node in pair[0].node) == 12
    assert kinds[1].count("MatMulIntegerToFloat") == 12
    assert all(len(node.input) == 7 for node in pair[1].node if node.op_type == "MatMulIntegerToFloat")
    assert kinds[1].count("QuantizeLinear") == 8  # queries, keys and values read the same
    assert kinds[0].count("Attention") == kinds[1].count("Attention") == 2
    assert {values.dtype for values in ending(pair[1], "_int8")} == {np.dtype(np.int8)}


def test_projection_and_heads_are_left_in_fp32(pair):
    kept = weights(pair[1], "projection.weight", "text_heads")
    assert kept
    assert set(kept.values()) == {TensorProto.FLOAT}
    assert not [name for name in kept if "quantized" in name]


def test_weights_have_a_scale_for_each_column_and_use_all_levels(pair):
    columns = [values for values in ending(pair[1], "_scale") if values.ndim == 1]
    assert [len(values) for values in columns].count(64) == 2
    assert len(columns) == 12
    for values in ending(pair[1], "_int8"):
        assert np.all(np.abs(values.astype(int)).max(axis=0) == LEVELS)


def test_embeddings_are_kept_in_fp16(pair):
    kept = weights(pair[1], "embeddings.weight")
    assert kept
    assert set(kept.values()) == {TensorProto.FLOAT16}


def test_inputs_and_outputs_stay_as_they_are(opened):
    pair = [onnx.load(opened.path(name)).graph for name in ("text_encoder.onnx", "text_encoder.int8.onnx")]
    for side in ("input", "output"):
        one, other = ([(node.name, str(node.type)) for node in getattr(graph, side)] for graph in pair)
        assert one == other


def test_the_file_is_smaller(opened):
    fp32, int8 = (
        opened.path(name).stat().st_size for name in ("text_encoder.onnx", "text_encoder.int8.onnx")
    )
    assert int8 < fp32


def test_quantising_again_gives_the_same_file_and_leaves_the_source_alone(opened, tmp_path, bench):
    source = opened.path("text_encoder.onnx")
    before = source.read_bytes()
    quantise(
        source, tmp_path / "again.onnx", sample(bench.texts), longest=bench.dataset.config.model.max_tokens
    )
    assert source.read_bytes() == before
    assert (tmp_path / "again.onnx").read_bytes() == opened.path("text_encoder.int8.onnx").read_bytes()


def test_scales_are_learned_from_texts_of_the_data_set_evenly(bench):
    found = sample(bench.texts)
    assert len(found) == min(SAMPLE, len(bench.texts))
    np.testing.assert_array_equal(found[0], bench.texts.tokens(0))
    np.testing.assert_array_equal(found[-1], bench.texts.tokens(len(bench.texts) - 1))


def test_what_was_observed_lies_within_the_levels_of_a_byte():
    span = Span(np.array([-1.0, -0.5, 0.0], np.float32), np.array([1.0, 2.0, 100.0], np.float32))
    scale, zero = span.levels
    for value in (span.low / span.widths, span.high / span.widths):
        levels = np.rint(value / scale) + zero
        assert levels.min() >= 0
        assert levels.max() <= 255


def test_a_wide_channel_is_made_as_narrow_as_the_others_and_no_other_is_touched():
    high = np.ones(100, np.float32)
    high[7] = 50.0
    widths = Span(np.zeros(100, np.float32), high).widths
    assert widths[7] == pytest.approx(50.0)
    assert np.all(np.delete(widths, 7) == 1.0)


def test_a_channel_that_is_always_zero_does_no_harm():
    silent = Span(np.zeros(4, np.float32), np.zeros(4, np.float32))
    assert np.all(silent.widths == 1.0)
    assert silent.levels[0] > 0


def test_a_text_wider_than_all_that_were_observed_still_has_a_vector(opened, bench, tmp_path):
    quantise(opened.path("text_encoder.onnx"), tmp_path / "narrow.onnx", sample(bench.texts)[:1], longest=40)
    session = onnxruntime.InferenceSession(tmp_path / "narrow.onnx", providers=["CPUExecutionProvider"])
    ids = bench.texts.tokens(len(bench.texts) - 1)[None]
    vector = session.run(["vector"], {"input_ids": ids, "attention_mask": np.ones_like(ids)})[0][0]
    assert np.linalg.norm(vector) == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize("pooling", ["mean", "attention"])
def test_a_text_has_the_same_bits_alone_and_padded_among_others(workbench, tmp_path, pooling):
    made = workbench(model={"pooling": pooling})
    if made.network.text.pooling.query is not None:
        torch.nn.init.normal_(made.network.text.pooling.query.weight)
    graphs.export(made.network, tmp_path, FeatureSet(made.dataset.features, made.dataset.clock))
    quantise(tmp_path / "text_encoder.onnx", tmp_path / "small.onnx", sample(made.texts), longest=40)
    session = onnxruntime.InferenceSession(tmp_path / "small.onnx", providers=["CPUExecutionProvider"])
    random = np.random.default_rng(0)
    ids = np.zeros((40, 40), np.int64)
    mask = np.arange(40) < random.integers(2, 38, (40, 1))
    ids[mask] = random.integers(5, 50, mask.sum())
    together = session.run(["vector"], {"input_ids": ids, "attention_mask": mask.astype(np.int64)})[0]
    for row, real, found in zip(ids, mask, together, strict=True):
        alone = row[real][None]
        feeds = {"input_ids": alone, "attention_mask": np.ones_like(alone)}
        np.testing.assert_array_equal(session.run(["vector"], feeds)[0][0], found)
        several = {name: np.repeat(value, 3, axis=0) for name, value in feeds.items()}
        np.testing.assert_array_equal(session.run(["vector"], several)[0][1], found)
