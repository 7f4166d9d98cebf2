"""Drills: what the service does under overload, with deadlines and with callers who hang up."""
