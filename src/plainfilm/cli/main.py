"""The app: registers every command and turns errors into one line and an exit code."""

from __future__ import annotations

import contextlib
import sys
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from plainfilm import __version__
from plainfilm.base.files import TEMP_PREFIX
from plainfilm.base.sanitize import found_value
from plainfilm.base.signals import INTERRUPTED, Interrupted, ended_by_signals, work_is_over
from plainfilm.base.terminal import make_others_visible, tell, tell_error
from plainfilm.cli.commands import compare as comparing
from plainfilm.cli.commands import data
from plainfilm.cli.commands import evaluate as results
from plainfilm.cli.commands import plan as planning
from plainfilm.cli.commands import predict as delivery
from plainfilm.cli.commands import recalibrate as transfer
from plainfilm.cli.commands import runs as running
from plainfilm.cli.commands import serve as serving
from plainfilm.cli.commands import train as training
from plainfilm.cli.commands import tune as tuning
from plainfilm.cli.help import EXAMPLES, HelpCommand, HelpGroup
from plainfilm.errors import MissingError, PlainfilmError

_WRONG_INPUT = 2
BUG, READER_LEFT = 101, 141  # 141 = 128 + SIGPIPE, as in other tools
_LONGEST_PATH = 300
STOPPED = "Interrupted. Finished work is kept, and no file is half-written."


class _OneLineErrors(HelpGroup):
    """Exits with our own codes; an error is one line on stderr, with a traceback only with -v."""

    def main(self, *words: Any, **extra: Any) -> Any:
        """Run a command line; `standalone_mode=False` hands errors to the caller, as in typer."""
        args, prog_name = (*words, None, None)[:2] if words else (extra.pop("args", None), extra.pop("prog_name", None))
        standalone_mode = extra.pop("standalone_mode", True)
        if not standalone_mode:
            return super().main(args, prog_name, standalone_mode=False, **extra)
        given = sys.argv[1:] if args is None else list(args)
        verbose = any(word in ("-v", "--verbose") for word in given)
        if not verbose:
            # from fastai's own imports; a user cannot act on it
            warnings.filterwarnings("ignore", category=FutureWarning, module=r"torch\.")
            warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")  # the row of the image says it
        make_others_visible()
        with ended_by_signals() as interrupted:
            code = self._run(verbose, interrupted, args, prog_name, **extra)
            work_is_over(code)
        sys.exit(code)

    def _run(self, verbose: bool, interrupted: Interrupted, args: Any, prog_name: str | None, **extra: Any) -> int:
        try:
            code = int(super().main(args, prog_name, standalone_mode=False, **extra) or 0)
            return _report(STOPPED, code, verbose) if code == INTERRUPTED else code
        except (BrokenPipeError, SystemExit) as end:  # typer turns the first into the second
            if isinstance(end, SystemExit) and not isinstance(end.__context__, OSError):
                return _WRONG_INPUT if end.code else 0  # what completes a word in a shell ends so
            sys.stderr.close()  # the reader left; nobody reads further output
            return READER_LEFT
        except KeyboardInterrupt:  # outside of typer's own handler
            return _report(STOPPED, INTERRUPTED, verbose)
        except Exception as error:  # noqa: BLE001 - the last handler before the user
            return _report(*_line_of(error, interrupted), verbose)


def _line_of(error: Exception, interrupted: Interrupted) -> tuple[str, int]:
    """What a user reads of an error, and the exit code."""
    if interrupted.yes and (isinstance(error, MissingError) or not isinstance(error, PlainfilmError)):
        return STOPPED, INTERRUPTED  # a library made another error of it
    if isinstance(error, PlainfilmError):
        return str(error), error.exit_code
    lacking = _lacking(error) if isinstance(error, ImportError | MemoryError) else None
    if lacking:
        return lacking
    if isinstance(error, OSError):
        name = f": {_shown(error.filename)}" if error.filename else ""
        what = f"{error.strerror or type(error).__name__}{name}"
        return f"The system refused a file operation ({what}). Check the path, its permissions and the free space.", 2
    usage = getattr(error, "format_message", None)  # typer's vendored usage errors
    if usage is not None:
        command = getattr(getattr(error, "ctx", None), "command_path", "plainfilm")
        return f"{usage()} See: {command} --help", int(getattr(error, "exit_code", 2))
    what = f"{type(error).__name__}: {error}".splitlines()[0]
    if library := _imported_when_raised(error):
        return (
            f"The library {library} cannot be loaded ({what[:200]}). Check its settings file and environment variables.",
            3,
        )
    return f"A bug in plainfilm: {what} Repeat with -v for the traceback, and report it.", BUG


def _shown(filename: object) -> str:
    """The path as the user knows it; for a temporary file, its folder."""
    path = Path(str(filename))
    shown = str(path.parent if path.name.startswith(TEMP_PREFIX) else path)
    return shown if len(shown) <= _LONGEST_PATH else found_value(shown)  # such as an environment variable


def _imported_when_raised(error: Exception) -> str:
    """The library whose own import raised the error, such as matplotlib for settings that it cannot read; else ''."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    names = [(str(frame.f_globals.get("__name__", "")), frame.f_code.co_name) for frame in frames]
    ours = max((i for i, (name, _) in enumerate(names) if name.partition(".")[0] == "plainfilm"), default=len(names))
    return next((name.partition(".")[0] for name, code in names[ours + 1 :] if code == "<module>"), "")


def _report(message: str, code: int, verbose: bool) -> int:
    with contextlib.suppress(OSError):  # the terminal was closed
        if verbose and sys.exc_info()[0] is not None:
            tell(traceback.format_exc().rstrip())
        tell_error(message)
    return code


def _lacking(error: ImportError | MemoryError) -> tuple[str, int] | None:
    """What the machine lacks, and the exit code; None where a module of our own is missing."""
    if isinstance(error, MemoryError):
        return "The memory is not enough. Close other programs, raise a limit (ulimit -v), or take smaller images.", 5
    if (error.name or "").startswith("plainfilm"):
        return None
    why = " ".join(str(error).split())[:200]
    return f"A library cannot be loaded ({why}). Install plainfilm again, or raise a limit of memory (ulimit -v).", 3


app = typer.Typer(
    name="plainfilm",
    cls=_OneLineErrors,
    help="Turn a folder of medical images into a classifier and say how far its score can be believed. Research use only.",
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    add_completion=True,
    rich_markup_mode="rich",
)


def _version(wanted: bool) -> None:
    if wanted:
        tell(f"plainfilm {__version__}", sys.stdout)
        raise typer.Exit


@app.callback(invoke_without_command=True)
def root(
    ctx: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Turn a folder of medical images into a classifier and say how far its score can be believed. Research use only."""
    if ctx.invoked_subcommand is None:
        typer.echo(ctx.get_help())  # coloured by typer; nothing in it comes from a file


_COMMANDS: dict[str, Callable[..., None]] = {
    "phantom": data.phantom, "audit": data.audit, "split": data.split, "init": data.init, "models": training.models,
    "lr-find": training.lr_find, "train": training.train, "resume": training.resume, "evaluate": results.evaluate,
    "show": results.show, "interpret": results.interpret, "report": results.report, "export": delivery.export,
    "recalibrate": transfer.recalibrate, "predict": delivery.predict, "serve": serving.serve, "compare": comparing.compare,
    "runs": running.runs, "board": running.board, "plan": planning.plan, "tune": tuning.tune, "card": results.card,
    "doctor": data.doctor,
}  # fmt: skip
for _name, _command in _COMMANDS.items():
    app.command(_name, cls=HelpCommand, epilog=EXAMPLES.get(_name))(_command)

experiments_app = typer.Typer(cls=HelpGroup, help="Grids of runs: run FILE.yaml, table.")
experiments_app.command("run", cls=HelpCommand)(comparing.run)
experiments_app.command("table", cls=HelpCommand)(comparing.table)
app.add_typer(experiments_app, name="experiments")

cache_app = typer.Typer(
    cls=HelpGroup, help="The cache folder (decoded images, features): ls, clear.", invoke_without_command=True
)
cache_app.callback()(data.cache)
cache_app.command("ls", cls=HelpCommand)(data.cache_ls)
cache_app.command("clear", cls=HelpCommand)(data.cache_clear)
app.add_typer(cache_app, name="cache")
