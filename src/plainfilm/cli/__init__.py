from plainfilm.cli.main import app as app
