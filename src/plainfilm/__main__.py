"""`python -m plainfilm`."""

from plainfilm.cli import app

app()
