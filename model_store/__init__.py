"""The contract between training and serving, and the shelf where bundles stand."""

import os

# ONNX Runtime reports to its maker from 1.29 on, unless this stands before its first import.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
