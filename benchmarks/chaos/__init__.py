"""Drills: what the service does under overload, with deadlines, with callers who hang up, and without Redis."""
