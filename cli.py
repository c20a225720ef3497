from plainfilm.cli import app

app()
