"""Drills: what must not bring the service down, done to it. See docs/benchmarks.md."""
