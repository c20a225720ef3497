"""Terminal output: progress and notes on stderr, the result on stdout.

In a terminal there are progress bars; otherwise one line per epoch, and none for quick work. Where both streams end in
the same place, the result leaves out what progress has said; redirected elsewhere, each is complete.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from plainfilm import __version__
from plainfilm.base.sanitize import visible
from plainfilm.base.terminal import tell
from plainfilm.cli.experiment_events import ExperimentEvents
from plainfilm.cli.render.classes import print_split_counts
from plainfilm.cli.render.counts import counts_line, example_lines
from plainfilm.cli.screen import Screen, duration, same_place
from plainfilm.cli.tune_events import TuneEvents
from plainfilm.errors import StoppedError, UsageError
from plainfilm.runs.folder import RunDir

if TYPE_CHECKING:
    from types import TracebackType

    from plainfilm.schemas.documents import DataCounts, Document

_WEIGHT_WORDS = {
    "missing": "missing in the file", "unexpected": "unexpected and not used", "mismatched": "skipped, of another shape",
    "fresh": "newly initialised",
}  # fmt: skip
_WRONG, _WORTH_SAYING_S = 1.5, 60  # by which factor an estimate is wrong, and from which time left it is corrected
_BARS = {
    "scan": "Reading images", "draw": "Drawing phantoms", "decode": "Decoding", "heat": "Checking heat maps",
    "studies": "Simulating studies",
}  # fmt: skip


class Terminal(ExperimentEvents, TuneEvents):
    """Event callback of the pipeline; as a context manager, keeps everything but the result off stdout."""

    def __init__(self, *, quiet: bool = False, json: bool = False, verbose: bool = False) -> None:
        self.quiet, self.json, self.verbose = quiet, json, verbose
        self.err = Screen(set(), once=False, stderr=True)  # each run of a grid has its own notes
        if sys.stdout is None:  # plainfilm ... >&-
            raise UsageError(
                "Standard output is closed, but the result is written there. Redirect it to a file, or to /dev/null."
            )
        self.stdout = sys.stdout
        self.said: set[str] = set()  # what the result need not repeat
        self.in_one_place = same_place(sys.stdout, sys.stderr)
        self.bar: Progress | None = None
        self.tasks: dict[str, TaskID] = {}
        self.greeted = False
        self.estimated: tuple[int, float] | None = None  # epochs and seconds of one, until the first has shown it
        self.epoch_began = 0.0
        self.auroc: float | None = None  # of the last epoch
        self.run: RunDir | None = None
        self.data: tuple[Any, ...] = ()  # that was described last

    def __enter__(self) -> Terminal:
        self.redirect = contextlib.redirect_stdout(sys.stderr)  # fastai prints, which would break --json
        self.redirect.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close_bar()
        self.redirect.__exit__(kind, error, trace)
        if kind is KeyboardInterrupt and self.run is not None:
            raise StoppedError(f"Interrupted. Resume with: {self.run.resume_command}") from None

    def __call__(self, what: str, facts: dict[str, Any]) -> None:
        """Handle one event."""
        if what == "run":
            self.run = RunDir(Path(facts["path"]))
        if self.quiet:
            return
        if what in _BARS:
            self._advance(what, _BARS[what], facts["done"], facts["of"], unit="")
            return
        handler: Callable[[dict[str, Any]], None] | None = getattr(self, f"_on_{what}", None)
        if handler is not None:
            handler(facts)

    def say(self, text: str, *, whole: bool = False) -> None:
        """Print one line on stderr, the banner before the first; `whole`: a path is in it, so only the terminal may break it."""
        if not self.greeted:
            self.greeted = True
            from plainfilm.schemas.documents import RESEARCH_ONLY

            self.say(f"plainfilm {__version__}. {RESEARCH_ONLY}")
            self.said.add(RESEARCH_ONLY)
        self.said.add(" ".join(visible(text).split()))
        self.err.print(text, soft_wrap=whole)

    def result(self, document: Document, *after: str) -> None:
        """Print the document of the command on stdout, with lines after it where it is no JSON."""
        self._close_bar()
        if self.json:
            # ASCII only: a class name must not break a terminal or pipe with another encoding
            tell(json.dumps(document.model_dump(mode="json"), indent=2).replace("\x7f", "\\u007f"), self.stdout)
            return
        said = self.said if self.in_one_place else set()
        out = Screen(said, verbose=self.verbose, brief=self.quiet, file=self.stdout)
        from plainfilm.cli.render.registry import PRINTERS  # not for --help, which prints no document

        PRINTERS[type(document)](out, document)
        for line in after:
            out.print(line, soft_wrap=True)

    # progress ------------------------------------------------------------------------------------------------

    def _advance(self, key: str, title: str, done: int, of: int, unit: str) -> None:
        if not self.err.is_terminal:
            return
        if self.bar is None:
            columns = (
                TextColumn("{task.description}", markup=False),
                BarColumn(10 if self.err.width < 110 else 40),
                MofNCompleteColumn(),
                TextColumn("{task.fields[unit]}", markup=False),
                TimeRemainingColumn(),
            )
            self.bar = Progress(*columns, console=self.err, transient=True)
            self.bar.start()
        if key not in self.tasks:
            self.tasks[key] = self.bar.add_task(title, total=of, unit="")
        self.bar.update(self.tasks[key], description=title, completed=done, total=of, unit=unit)
        if done >= of:
            self._close_bar()

    def _close_bar(self) -> None:
        if self.bar is not None:
            self.bar.stop()
        self.bar, self.tasks = None, {}

    # events ----------------------------------------------------------------------------------------------------

    def _on_phantom(self, facts: dict[str, Any]) -> None:
        done = "already drawn" if facts["drawn"] else "drawing them once"
        self.say(
            f"No DATA given: using {facts['images']} drawn phantom radiographs ({done}) in {facts['folder']}",
            whole=True,
        )

    def _on_data(self, facts: dict[str, Any]) -> None:
        shown, self.data = self.data, (facts["path"], facts["counts"], facts["positive"])
        if self.data != shown:  # the runs of a grid share their data
            self._describe_data(facts)
        for note in facts["split"].notes:
            self.say(f"NOTE: {note}")

    def _describe_data(self, facts: dict[str, Any]) -> None:
        counts: DataCounts = facts["counts"]
        self.say(f"Data: {facts['path']}", whole=True)
        excluded = facts["excluded"]
        line = counts_line(counts.used, zip(excluded["state"], excluded["code"], strict=True))
        self.say(f"{line}; {_copies(counts.identical_files)}")
        for _, row in excluded.query("state == 'quarantined'").head(5).iterrows():
            self.say(f"  quarantined {row['relative']!r}: {row['code']}, {row['why']}", whole=True)
        for example in example_lines(zip(excluded["code"], excluded["relative"], strict=True)) if self.verbose else ():
            self.say(example, whole=True)
        print_split_counts(self.err, counts)
        positive = facts["positive"]
        self.say(f"Positive class: {positive}" if positive else f"{len(counts.classes)} classes, each against the rest")

    def _on_network(self, facts: dict[str, Any]) -> None:
        balanced = "; classes sampled evenly" if facts["balanced"] else ""
        self.say(
            f"Network: {facts['name']}, {facts['parameters']:,} parameters at {facts['size_px']} px, on {facts['device']}{balanced}"
        )

    def _on_precision(self, facts: dict[str, Any]) -> None:
        self.say(f"Training steps in {facts['name']}: {facts['reason']}; validation and scores are fp32")

    def _on_download(self, facts: dict[str, Any]) -> None:
        size = f", {facts['mb']:.0f} MB" if facts["mb"] else ", size unknown"
        self.say(f"Fetching {facts['name']} from {facts['host']}{size}")

    def _on_weights(self, facts: dict[str, Any]) -> None:
        report, parts = facts["report"], [f"{facts['loaded']} tensors loaded"]
        for what in ("missing", "unexpected", "mismatched", "fresh"):
            keys = getattr(report, what)
            parts += (
                [f"{len(keys)} {_WEIGHT_WORDS[what]} ({', '.join(keys[:2])}{', ...' if len(keys) > 2 else ''})"]
                if keys
                else []
            )
        self.say(f"Weights: {facts['kind']}, SHA-256 {facts['sha256'][:12]}; {', '.join(parts)}")
        for note in report.notes:
            self.say(f"  {note}")
        if facts["standardise"]:
            self.say("  each image normalised with its own mean and standard deviation")
        if facts["range"]:
            self.say(f"  pixels scaled to {facts['range'][0]:g}..{facts['range'][1]:g}")
        for name in () if facts["standardise"] or facts["range"] else ("mean", "std"):
            self.say(f"  pixels normalised with {name} {', '.join(f'{value:g}' for value in facts[name])}")

    def _on_estimate(self, facts: dict[str, Any]) -> None:
        time, epochs = duration(facts["seconds"]), _epochs(facts["epochs"])
        text = f"About {time} left" if facts["resumed"] else f"{epochs} will take about {time}"
        text += " (from timed steps)"
        if facts["slowdown"] > 1 and facts["seconds"] >= 10:
            alone = duration(facts["seconds"] / facts["slowdown"])
            text += f": {facts['load']}; alone it would be about {alone}"
        self.say(text)
        self.estimated = None if facts["resumed"] else (facts["epochs"], facts["seconds"] / facts["epochs"])

    def _on_pause(self, facts: dict[str, Any]) -> None:
        self._close_bar()  # its next one begins to measure the speed again
        self.epoch_began += facts["seconds"]

    def _on_probe(self, facts: dict[str, Any]) -> None:
        self.say(f"Probing for shortcuts on {facts['pixels']} pixels ...")

    def _on_compare(self, facts: dict[str, Any]) -> None:
        self.say(f"Comparing ONNX with torch on {facts['images']} {facts['what']} ...")

    def _on_scored(self, facts: dict[str, Any]) -> None:
        self.say(f"{facts['done']:,} images so far ({facts['done'] / facts['seconds']:.0f} img/s)")

    def _on_note(self, facts: dict[str, Any]) -> None:
        self.say(f"NOTE: {facts['text']}")

    def _on_saved(self, facts: dict[str, Any]) -> None:
        unchanged = ": the run's files have not changed since" if facts["checked"] else ""
        free, costs = ("; no test-set access", ", which is one") if facts["split"] == "test" else ("", "")
        self.say(f"Saved numbers{unchanged}{free}. --again computes them again{costs}.")

    def _on_lr(self, facts: dict[str, Any]) -> None:
        self.say(f"Learning rate found: {facts['lr']:.2g}")

    def _on_phase(self, facts: dict[str, Any]) -> None:
        self.say(f"Phase {facts['phase']}/{facts['of']}: {_epochs(facts['epochs'])} at {facts['size_px']} px")

    def _on_l2_head(self, facts: dict[str, Any]) -> None:
        how = (
            f"chosen by {facts['folds']} folds of train patients"
            if facts["folds"]
            else "fixed: too few patients for folds"
        )
        self.say(f"Head fitted on {facts['images']:,} train images; C (inverse L2 penalty) {facts['c']:g}, {how}")

    def _on_run(self, facts: dict[str, Any]) -> None:
        self.say(f"Run: {facts['path']}", whole=True)

    def _on_resume(self, facts: dict[str, Any]) -> None:
        if facts["device"] != facts["began_on"]:
            self.say(
                f"NOTE: the run began on {facts['began_on']} and continues on {facts['device']}: the result will not be bit-identical."
            )
        for note in facts["notes"]:
            self.say(f"NOTE: {note}")
        if not facts["found"]:
            self.say("The run stopped before its first state was written; starting from the beginning")
        elif facts["finished"] and facts["phase"] == facts["phases"]:
            self.say("All epochs are done; running the steps after training")
        else:
            phase = f" of phase {facts['phase']}/{facts['phases']}" if facts["phases"] > 1 else ""
            after = "its end" if facts["finished"] else f"step {facts['step']}"
            self.say(f"Resuming in epoch {facts['epoch']}/{facts['epochs']}{phase}, after {after}")

    def _on_stopping(self, facts: dict[str, Any]) -> None:
        self.say("Stopping after this step and saving the state. Ctrl-C again stops at once.")

    def _on_batch(self, facts: dict[str, Any]) -> None:
        if facts["step"] == 1:
            self.epoch_began = time.perf_counter()
        if not self.err.is_terminal:
            return
        done = facts["epoch"] * facts["steps"] + facts["step"]
        task = self.bar.tasks[0] if self.bar and self.bar.tasks else None
        parts = [f"loss {facts['loss']:.3f}"] if facts.get("loss") is not None else []
        parts += [f"valid AUROC {self.auroc:.3f}"] if self.auroc is not None and facts["epoch"] else []
        parts += [f"{task.speed * facts['images']:.0f} img/s"] if task and task.speed else []
        title = f"Epoch {facts['epoch'] + 1}/{facts['of']}"
        self._advance("train", title, done, facts["of"] * facts["steps"], ", ".join(parts))

    def _on_epoch(self, facts: dict[str, Any]) -> None:
        self.auroc = facts["auroc"]
        self.say(
            f"epoch {facts['epoch'] + 1}/{facts['of']}  train loss {facts['train_loss']:.4f}  valid loss {facts['valid_loss']:.4f}  "
            f"valid accuracy {facts['accuracy']:.4f}  valid AUROC {facts['auroc']:.4f}"
        )
        self._correct_estimate(time.perf_counter() - self.epoch_began, facts["of"], facts["epoch"] + 1)

    def _correct_estimate(self, seconds: float, epochs: int, done: int) -> None:
        """Say once that the first epoch took much longer or shorter than estimated, if it matters.

        With several phases an estimate is for all, and a frozen one is many times faster.
        """
        (estimated, expected), self.estimated = self.estimated or (0, 0.0), None
        left = epochs - done
        if estimated != epochs or max(seconds, expected) * left < _WORTH_SAYING_S:
            return
        if not expected / _WRONG < seconds < expected * _WRONG:
            took = f"{duration(seconds)} instead of {duration(expected)}"
            self.say(f"The epoch took {took}; about {duration(seconds * left)} left")


def _copies(n: int) -> str:
    return "1 used file is a copy of another" if n == 1 else f"{n} used files are copies of others"


def _epochs(n: int) -> str:
    return "1 epoch" if n == 1 else f"{n} epochs"
