"""From tables of items and events to a verified bundle on the shelf."""
