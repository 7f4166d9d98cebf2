"""Half an hour under steady load, with events, items that change and new versions."""
