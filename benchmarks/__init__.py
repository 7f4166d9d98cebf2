"""Speed and quality, measured by commands. Never part of the test suite."""
