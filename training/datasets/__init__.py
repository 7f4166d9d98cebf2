"""From an app's own files to the canonical tables that training reads, and adapters for three public data sets."""
