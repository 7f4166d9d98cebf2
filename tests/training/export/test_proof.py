import numpy as np
import pytest

from model_store.bundle import Bundle
from training.errors import GateError
from training.export import proof
from training.export.proof import TOLERANCE

SPOILS = {
    "twice": lambda values: values * 2.0,
    "nothing": np.zeros_like,
    "not a number": lambda values: np.full_like(values, np.nan),
    "one entry": lambda values: np.put(values, 0, values.flat[0] + 0.5) or values,
}


def test_every_output_of_every_fp32_graph_is_what_torch_computed(opened):
    found = proof.check(opened)
    assert set(found) == {"vector", "user", *(task.name for task in opened.manifest.tasks)}
    assert max(found.values()) <= TOLERANCE
    assert opened.manifest.parity == pytest.approx(found, abs=1e-5)


@pytest.mark.parametrize(
    ("file", "weight", "output"),
    [
        ("text_encoder.onnx", "text.projection.weight", "vector"),
        ("text_encoder.onnx", "sentiment.weight", "sentiment"),
        ("user_encoder.onnx", "out.weight", "user"),
        ("heads.onnx", "towers.click.4.weight", "click"),
        ("heads.onnx", "towers.time.4.bias", "time"),
    ],
)
@pytest.mark.parametrize("how", SPOILS)
def test_a_graph_with_changed_weights_is_refused_by_the_name_of_its_output(
    loose, spoil, file, weight, output, how
):
    spoil(loose.folder / file, weight, SPOILS[how])
    with pytest.raises(
        GateError, match=rf"output '{output}' of the fp32 graphs differs from torch by .* export it again"
    ):
        proof.check(loose)


def test_an_int8_file_has_no_part_in_it(loose, spoil, opened):
    (loose.folder / "text_encoder.int8.onnx").write_bytes(b"")
    assert proof.check(loose) == proof.check(opened)


def test_the_sample_is_of_real_texts_and_real_requests(opened, bench):
    arrays = np.load(opened.path("proof.npz"), allow_pickle=False)
    texts = {tuple(bench.texts.tokens(number)) for number in range(len(bench.texts))}
    sampled = [
        tuple(arrays[name]) for name in arrays.files if name.startswith("text/") and name.endswith("/ids")
    ]
    assert len(sampled) == proof.TEXTS
    assert set(sampled) <= texts
    requests = {name.split("/")[1] for name in arrays.files if name.startswith("heads/")}
    assert len(requests) == proof.REQUESTS
    queries = [np.abs(arrays[f"heads/{number}/query"]).sum() for number in requests]
    assert min(queries) == 0 < max(queries), "with and without a query"


def test_recording_again_gives_the_same_sample(bench, base, opened, tmp_path):
    proof.record(bench.network, bench.dataset, bench.texts, base, tmp_path / "proof.npz")
    before, again = np.load(opened.path("proof.npz")), np.load(tmp_path / "proof.npz")
    assert set(before.files) == set(again.files)
    for name in before.files:
        np.testing.assert_allclose(again[name], before[name], rtol=1e-3, atol=1e-4)


def test_a_proof_of_another_run_is_no_proof(loose, opened):
    arrays = dict(np.load(opened.path("proof.npz")))
    arrays["user/user"] = arrays["user/user"][::-1]
    np.savez(loose.folder / "proof.npz", **arrays)
    with pytest.raises(GateError, match="output 'user'"):
        proof.check(Bundle(loose.folder, opened.manifest))
