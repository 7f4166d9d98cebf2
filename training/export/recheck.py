"""The gate once more, on a bundle that stands on the shelf."""

from typing import Any

from rich.progress import Progress

from model_store.bundle import Bundle
from model_store.engine import Engine
from model_store.manifest import Precision, text_encoder
from training.errors import GateError
from training.export import gate, verdict
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
    sides = (predict(bench.network, bench.dataset, one, "validation") for one in (base, quantised))
    whole = Engine(bundle, "cpu", precision="fp32")
    near = gate.alikeness(engine, whole, bench)
    judged = verdict.judge(verdict.compare(bench.dataset, *sides), near, small)
    if bundle.manifest.precision == small and not judged["passed"]:
        raise GateError(f"{bundle.folder}: {small} does not pass: {judged['reason']}; export the run again")
    return judged
