"""The service: bundles from the shelf, answered over HTTP."""
