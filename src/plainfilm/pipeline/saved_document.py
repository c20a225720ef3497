"""The saved document of a split in metrics.json: what it holds, and whether what it comes from has changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from plainfilm import __version__
from plainfilm.base.files import atomic_write, hash_json, sha256_of
from plainfilm.errors import DataError
from plainfilm.evaluate.document import ExtraBlocks, save_metrics
from plainfilm.evaluate.test_ledger import count_accesses
from plainfilm.runs.folder import RunDir
from plainfilm.runs.metrics_file import ITSELF, numbers_hash, saved_splits
from plainfilm.schemas.documents import EvaluateDocument, marks

_VERSION, _SUBGROUPS = "plainfilm", "--by"  # keys of `inputs` beside the files it comes from


@dataclass(frozen=True)
class SavedDocument:
    """What `evaluate` saved for one split.

    `part`: as it is in the file. Its hash is of this: one of an earlier version lacks the keys that came since.
    """

    document: EvaluateDocument
    part: dict[str, Any]

    @classmethod
    def read(cls, run: RunDir, split: str) -> SavedDocument | None:
        """The document, or None if there is none that can be read: then it is computed again."""
        try:
            saved = saved_splits(run)[split]
            return cls(EvaluateDocument.model_validate({**saved, "run": str(run.root)}), saved)
        except (DataError, ValueError, KeyError):
            return None

    @staticmethod
    def inputs_of(run: RunDir, split: str, asked: ExtraBlocks) -> dict[str, str]:
        """SHA-256 of the files that the numbers of a split come from, by name, and the version that computes them.

        The weights are in it through their hash in card.json; `show`, which needs no card, compares the two.
        """
        files = (run.card, run.config, run.table, run.predictions(split), run.probes, run.probe_scores(split))
        inputs = {path.relative_to(run.root).as_posix(): sha256_of(path) for path in files if path.is_file()}
        if asked.column is not None:  # of a CSV beside the images, which may be edited
            inputs[_SUBGROUPS] = hash_json([asked.column, *asked.names])
        return {_VERSION: __version__, **inputs}

    def changed(self, run: RunDir, asked: ExtraBlocks) -> list[str]:
        """The inputs that are not what they were; subgroups are compared only where they are asked for.

        The version is not among them: see `from_another_version`.
        """
        then = self.document.inputs
        now = self.inputs_of(run, self.document.split, asked) | {ITSELF: numbers_hash(self.part)}
        left_out = {_VERSION, *([_SUBGROUPS] if asked.column is None else [])}
        differ = sorted(name for name in (then.keys() | now.keys()) - left_out if then.get(name) != now.get(name))
        return [f"the values of {asked.column}" if name == _SUBGROUPS else name for name in differ]

    def scores_changed(self, run: RunDir) -> bool:
        """Whether the saved predictions are not what they were; False for a document that does not name its inputs."""
        path = run.predictions(self.document.split)
        then = self.document.inputs.get(path.relative_to(run.root).as_posix(), "")
        return bool(self.document.inputs) and then != sha256_of(path)

    @property
    def from_another_version(self) -> bool:
        """Whether another version computed it, or one that does not say which it is."""
        return self.document.inputs.get(_VERSION) != __version__

    def doubts(self, changed: Sequence[str] = ()) -> list[str]:
        """Notes on why a new computation may give other numbers; `changed`: its files that are not what they were."""
        again = "--again computes them with this version" + (
            ", which is a test-set access." if self.document.split == "test" else "."
        )
        notes = [f"Changed or gone since these numbers were computed: {', '.join(changed)}."] if changed else []
        if not self.document.inputs:
            notes.append(
                "These numbers were saved by a version that did not record what they come from, so whether that has "
                f"changed is not known; evaluate {again}"
            )
        elif self.from_another_version:
            then = self.document.inputs.get(_VERSION, "of an unknown version")
            notes.append(
                f"These numbers were computed by plainfilm {then}, and this is {__version__}; evaluate {again}"
            )
        return notes

    def holds(self, asked: ExtraBlocks) -> bool:
        """Whether all that is asked is in it; it may hold more."""
        known = {row.prevalence for row in self.document.at_prevalence}
        column = self.document.subgroups.column if self.document.subgroups else None
        return set(asked.prevalences) <= known and asked.column in (None, column)

    def kept_in(self, document: EvaluateDocument) -> EvaluateDocument:
        """A new document with what earlier questions left here: every prevalence, and the subgroups of one column."""
        rows = {row.prevalence: row for row in (*self.document.at_prevalence, *document.at_prevalence)}
        return document.model_copy(
            update={
                "at_prevalence": [rows[share] for share in sorted(rows)],
                "subgroups": document.subgroups or self.document.subgroups,
                "inputs": {**self.document.inputs, **document.inputs},
            }
        )

    def counted(self, run: RunDir, seal: str | None) -> EvaluateDocument:
        """The document with the accesses as they are counted now.

        Raises:
            SealError: a ledger is broken.
        """
        if self.document.external is not None:  # its seal is that of images which are not read here
            return self.document
        own, of_set = count_accesses(run, seal)
        return self.document.model_copy(update={"opened": own, "opened_set": of_set})


def save_document(run: RunDir, document: EvaluateDocument, asked: ExtraBlocks, before: set[str]) -> EvaluateDocument:
    """The document with its inputs, saved in metrics.json, and its figure; blocks of earlier questions stay."""
    document = document.model_copy(update={"inputs": SavedDocument.inputs_of(run, document.split, asked)})
    saved = SavedDocument.read(run, document.split)
    if saved is not None and not saved.from_another_version and not saved.changed(run, ExtraBlocks()):
        document = saved.kept_in(document)
    document.inputs[ITSELF] = numbers_hash(document.model_dump(mode="json"))
    save_metrics(run, document)
    written = ["metrics.json", *_draw_decision_curve(run, document)]
    return document.model_copy(update={"written": sorted({*written, *(scored_files(run, document.split) - before)})})


def scored_files(run: RunDir, split: str) -> set[str]:
    """Files of a scoring that are there, relative to the run."""
    files = (run.predictions(split), run.top_images(split), run.probe_scores(split))
    return {path.relative_to(run.root).as_posix() for path in files if path.is_file()}


def _draw_decision_curve(run: RunDir, document: EvaluateDocument) -> list[str]:
    """Draw the decision curve, only with two classes; returns the file's name in the run."""
    if document.decision_curve is None or document.positive is None:
        return []
    from plainfilm.plots.base import as_png
    from plainfilm.plots.decision_curve import plot_decision_curve

    curve = document.decision_curve
    title = f"{marks(document.notes)}Decision curve, {document.split}, {curve.n} images"
    figure = plot_decision_curve(curve, document.positive, title, document.threshold)
    path = run.figure(f"decision_curve_{document.split}")
    atomic_write(path, as_png(figure))
    return [path.relative_to(run.root).as_posix()]
