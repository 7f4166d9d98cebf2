"""Looks for the settings that do best on validation: `chorus-train search`."""
