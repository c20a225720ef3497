"""The commands as a user types them, in this process, which has imported fastai already."""

from __future__ import annotations

from typer.testing import CliRunner, Result

from plainfilm.cli import app


def plainfilm(*args: object, code: int = 0, **env: str) -> Result:
    """What `plainfilm ARGS` prints, stdout and stderr apart, on a terminal of 120 columns where `env` names no other."""
    done = CliRunner(env={"NO_COLOR": "1", "COLUMNS": "120", **env}).invoke(app, [str(arg) for arg in args])
    assert done.exit_code == code, f"exit {done.exit_code}, expected {code}\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr
    return done
