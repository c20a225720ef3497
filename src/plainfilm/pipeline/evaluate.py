"""`plainfilm evaluate`: metrics of a split or of external images, with subgroups and other prevalences on request."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from plainfilm.base.events import EventCallback, silent
from plainfilm.config import load_config
from plainfilm.errors import SealError, UsageError
from plainfilm.evaluate.document import ExtraBlocks, evaluate_document
from plainfilm.evaluate.finished import SHIFTED, FinishedRun
from plainfilm.evaluate.heldout import score_external, score_shifted_valid, score_test
from plainfilm.evaluate.metrics.subgroup_columns import subgroup_names
from plainfilm.evaluate.operating.operating_point import threshold_fields, threshold_of
from plainfilm.evaluate.operating.thresholds import is_fixed
from plainfilm.evaluate.predictions import Predictions
from plainfilm.evaluate.saved_numbers import refuse_other_numbers
from plainfilm.evaluate.shift.corrupted_valid import score_changes
from plainfilm.evaluate.shift.external_set import ExternalRequest, ExternalSet, read_external
from plainfilm.evaluate.shift.generalization_gap import external_block
from plainfilm.evaluate.shortcuts.probe_baseline import read_train_probes, shortcut_baseline
from plainfilm.evaluate.test_ledger import accesses_to, check_before_access, count_accesses, seal_of
from plainfilm.pipeline.saved_document import SavedDocument, save_document, scored_files
from plainfilm.pipeline.weights_overlap import refuse_overlap
from plainfilm.runs.folder import RunDir
from plainfilm.runs.metrics_file import saved_splits
from plainfilm.runs.run_manifest import read_manifest, verify
from plainfilm.schemas.documents import EvaluateDocument

_COSTS = "Computing them again is a test-set access."


@dataclass(frozen=True)
class EvaluateRequest:
    """What is evaluated, and how.

    split: valid, test, or valid-shifted: the valid images unchanged and under each of a fixed list of changes.
    threshold: a rule or number in place of the stored threshold; a rule is still applied to valid.
    prevalences: shares of positive images, 0..1, for which PPV and NPV are recomputed.
    by: a column of subgroups, see `subgroup_names`.
    external: images that are not in the run's data, in place of a split.
    again: compute also what is saved; the images of test and valid-shifted are scored again, on test an access.
    data: where the run's DATA is now, if it was moved.
    """

    split: str = "valid"
    threshold: str | None = None
    prevalences: Sequence[float] | None = None
    by: str | None = None
    external: ExternalRequest | None = None
    device: str = "cpu"
    again: bool = False
    data: Path | None = None


def evaluate_run(
    root: Path, request: EvaluateRequest | None = None, *, on_event: EventCallback = silent, **asked: Any
) -> EvaluateDocument:
    """`plainfilm evaluate`: metrics with intervals from one inference pass; a test-set access is recorded first.

    Where the saved document holds all that is asked, and its inputs have not changed, it is returned: no access, no file.

    Args:
        asked: fields of EvaluateRequest, e.g. split="test"; they come before those of `request`. `external` may be a path;
            then `names` and `patient_pattern` may be given beside it.
    Raises:
        SealError: the run has no test set, or its ledger or sealed rows were changed.
        UsageError: `prevalences` with more than two classes, or `by` names no column of subgroups.
        DataError: the external images cannot be read, or are not external.
    """
    if isinstance(asked.get("external"), str | Path):
        about = {name: asked.pop(name) for name in ("names", "patient_pattern") if asked.get(name) is not None}
        asked["external"] = ExternalRequest(Path(asked["external"]), **about)
    request = replace(request or EvaluateRequest(), **asked)
    finished = FinishedRun.open(root, request.data, on_event)
    if not request.again:
        _verify_saved(finished.run, request.split)
    if request.external is None and request.threshold is None and not request.again:
        saved = _saved_document(finished, request, on_event)
        if saved is not None:
            return saved
    with finished.run.lock():
        finished = finished.up_to_date()  # another process may have written the run before it was locked
        if request.threshold is not None:  # before the access: a wrong rule must not cost one
            finished = _at_other_threshold(finished, request.threshold)
        if request.external is not None:
            scored = _score_external(finished, request, request.external, on_event)
        else:
            scored = _score_split(finished, request, on_event)
        document = evaluate_document(finished, scored.name, scored.predictions, scored.accesses, scored.extra)
        document = document.model_copy(update=scored.beside(document))
        if request.threshold is not None:
            return document
        return save_document(finished.run, document, scored.extra, scored.before)


class _Scored(NamedTuple):
    """A set of images with its scores.

    `accesses`: of the set, by this run and by all runs. `before`: files of it that were there before it was scored.
    `beside`: what only this kind of set has beside the metrics, as fields of the document, from the document.
    """

    name: str
    predictions: Predictions
    accesses: tuple[int, int]
    extra: ExtraBlocks
    before: set[str]
    beside: Callable[[EvaluateDocument], dict[str, Any]]


def _score_split(finished: FinishedRun, request: EvaluateRequest, on_event: EventCallback) -> _Scored:
    split = request.split
    extra, before = _extra_blocks(finished, request, finished.part(split)), scored_files(finished.run, split)
    predictions, accesses = _scores(finished, request, on_event)

    def beside(_: EvaluateDocument) -> dict[str, Any]:
        if split == SHIFTED:
            return {"changes": score_changes(predictions, finished.positive)}
        return {"shortcut_baseline": shortcut_baseline(finished, split, predictions.probs)}

    return _Scored(split, predictions, accesses, extra, before, beside)


def _scores(
    finished: FinishedRun, request: EvaluateRequest, on_event: EventCallback
) -> tuple[Predictions, tuple[int, int]]:
    """The predictions of a split, new or as saved, and the accesses of the test set, by this run and by all runs."""
    run, split, device = finished.run, request.split, request.device
    again = request.again or _edited_scores(run, split)
    if split == "test":
        if finished.card.seal is None:
            raise SealError(
                "This run has no test set (VALIDATION ONLY), so there is nothing for --split test. Train on data with a test folder, or with --split patient."
            )
        return score_test(finished, device, on_event, again=again)
    if split == SHIFTED:
        predictions = score_shifted_valid(finished, device, on_event, again=again)
    else:
        predictions = finished.predictions(split)
    return predictions, count_accesses(run, finished.card.seal)


def _score_external(
    finished: FinishedRun, request: EvaluateRequest, asked: ExternalRequest, on_event: EventCallback
) -> _Scored:
    """The external images; everything that can be refused is refused before the access is recorded."""
    run, external = finished.run, read_external(finished, asked, on_event)
    notes = [*external.notes, *refuse_overlap(external.rows, run, finished.card)]
    extra = _extra_blocks(finished, request, external.rows, external)
    before, probes = scored_files(run, external.name), read_train_probes(finished)
    predictions, pixels, accesses = score_external(finished, external, request.device, on_event)

    def beside(document: EvaluateDocument) -> dict[str, Any]:
        block = external_block(finished, external, document.metrics, probes, pixels)
        return {"external": block, "notes": list(dict.fromkeys([*document.notes, *notes]))}

    return _Scored(external.name, predictions, accesses, extra, before, beside)


def _extra_blocks(
    finished: FinishedRun, request: EvaluateRequest, rows: pd.DataFrame, external: ExternalSet | None = None
) -> ExtraBlocks:
    """The requested extra blocks for these rows, checked; `by` may be a column of the external table, or of the run's DATA.

    Raises:
        UsageError: more than two classes, or no such column. DataError: the CSV is missing.
    """
    if request.prevalences and finished.positive is None:
        raise UsageError(f"--prevalence needs two classes; this run has {len(finished.card.vocab)}. Leave it out.")
    data, cfg = (external.path, external.read_with) if external else (finished.data, finished.cfg.data)
    names = [] if request.by is None else subgroup_names(rows, request.by, data, cfg)
    return ExtraBlocks(list(request.prevalences or []), request.by, names)


def _verify_saved(run: RunDir, split: str) -> None:
    """Refuse saved numbers and scores that were edited: else they would be computed again, which may be an access.

    Those that are gone are computed again, which a note says.
    """
    scores = (run.predictions(split), run.top_images(split), run.probe_scores(split))
    there = [path for path in (run.metrics, run.probes, run.probe_features, *scores) if path.is_file()]
    if there:
        verify(run, *there)
    if run.metrics in there and read_manifest(run) is not None:
        saved_splits(run)


def _edited_scores(run: RunDir, split: str) -> bool:
    """Whether the scores that were saved are no longer those that the saved numbers come from."""
    saved = SavedDocument.read(run, split)
    return saved is not None and saved.scores_changed(run)


def _saved_document(
    finished: FinishedRun, request: EvaluateRequest, on_event: EventCallback
) -> EvaluateDocument | None:
    """The saved document if it holds all that is asked and nothing it comes from has changed; writes nothing.

    On test, where computing is an access, neither another version nor a document that does not name its inputs is a
    reason to compute: its notes say so.
    """
    run, split, part = finished.run, request.split, finished.part(request.split)
    saved = SavedDocument.read(run, split)
    if split == "test" and not (len(part) and accesses_to(check_before_access(run, part)[1], seal_of(part))):
        return None
    if saved is None:
        if split == "test":
            on_event("note", {"text": f"metrics.json has no numbers of test that can be read. {_COSTS}"})
        return None
    asked, checked = _extra_blocks(finished, request, part), bool(saved.document.inputs)
    if not saved.holds(asked) or (saved.from_another_version and split != "test"):
        return None
    if checked and (changed := saved.changed(run, asked)):
        if split == "test":  # why an access is made now
            on_event("note", {"text": f"Changed or gone since the numbers were saved: {', '.join(changed)}. {_COSTS}"})
        return None
    refuse_other_numbers(run, [saved.document])
    on_event("saved", {"split": split, "checked": checked})
    document = saved.counted(run, finished.card.seal)
    return document.model_copy(update={"notes": [*document.notes, *saved.doubts()]})


def _at_other_threshold(finished: FinishedRun, rule: str) -> FinishedRun:
    card, positive = finished.card, finished.positive
    if positive is None:
        raise UsageError("--threshold needs two classes; with more, the class with the highest score is predicted.")
    rule = load_config(options={"evaluate.threshold": rule}).evaluate.threshold
    if card.recalibration is not None and not is_fixed(rule):
        raise UsageError(
            f"--threshold {rule} would be chosen on valid, and this run was recalibrated for another place. Give a number, or "
            "recalibrate a run that was trained with that rule."
        )
    split = SHIFTED if card.threshold_chosen_on == SHIFTED else "valid"
    found = threshold_of(rule, finished.predictions(split), finished.part(split), positive, finished.cfg.train.seed)
    notes = [*card.notes, *([found.note] if found.note else [])]
    return replace(
        finished, card=card.model_copy(update={"threshold_rule": rule, "notes": notes, **threshold_fields(found)})
    )
