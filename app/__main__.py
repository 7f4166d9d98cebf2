"""`python -m app` is `chorus-serve`."""

from app.cli import app

app()
