"""Dynamic int8 for the text encoder's transformer; heads and projection stay fp32.

Heads are tiny, and int8 there would spoil their calibration.
"""

import logging
from pathlib import Path

import onnx
from onnxruntime.quantization import QuantType, quantize_dynamic


def quantise(source: Path, target: Path) -> None:
    """Write an int8 copy of a text encoder's graph."""
    model = onnx.load(source)
    # the exporter makes two-dimensional layers Gemm: those behind the pooling; the transformer's are MatMul.
    # The quantiser first takes every Gemm apart, into a MatMul of this name and an Add
    kept = [f"{node.name}_MatMul" for node in model.graph.node if node.op_type == "Gemm"]
    # attention's own products have no weights to quantise
    kept += [node.name for node in model.graph.node if node.op_type == "Attention"]
    del model.graph.value_info[:]  # stale beside quantised weights; shapes are inferred again
    logging.getLogger().addFilter(_no_advice)
    try:
        quantize_dynamic(
            model,
            target,
            per_channel=True,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=kept,
            extra_options={"MatMulConstBOnly": True},  # the same where attention is taken apart
        )
    finally:
        logging.getLogger().removeFilter(_no_advice)


def _no_advice(record: logging.LogRecord) -> bool:
    """The quantiser advises a pre-processing that dynamic int8 has no use for."""
    return "pre-processing before quantization" not in record.getMessage()
