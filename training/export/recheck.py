"""The gate once more, on a bundle that stands on the shelf."""

from typing import Any

from rich.progress import Progress

from model_store.bundle import Bundle
from model_store.engine import Engine
from model_store.manifest import Precision, text_encoder
from training.errors import GateError
from training.evaluate import measure
from training.export import gate
from training.pipeline import Workbench
from training.predict import predict, represent


def recheck(bench: Workbench, bundle: Bundle, progress: Progress) -> dict[str, Any]:
    """Encode validation with the bundle's int8 or fp16 file and judge it against the run's fp32 network.

    Raises GateError if the bundle serves it and it does not pass.
    """
    small: Precision = "fp16" if text_encoder("fp16") in bundle.manifest.files else "int8"
    base = represent(bench.network, bench.dataset, bench.texts)
    engine = Engine(bundle, "cpu", precision=small)
    quantised, _ = gate.represent_by(engine, bench, base, progress)
    before, after = (
        measure(bench.dataset, predict(bench.network, bench.dataset, found, "validation"), "validation")
        for found in (base, quantised)
    )
    verdict = gate.judge(bench.dataset, before, after, small)
    if bundle.manifest.precision == small and not verdict["passed"]:
        raise GateError(f"{bundle.folder}: {small} does not pass: {verdict['reason']}; export the run again")
    return verdict
