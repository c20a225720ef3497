"""`plainfilm evaluate`: metrics of a split or of external images, with subgroups and other prevalences on request."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from plainfilm.base.events import EventCallback, silent
from plainfilm.config import ExperimentConfig, load_config
from plainfilm.data.table.image_table import read_table
from plainfilm.errors import SealError, UsageError
from plainfilm.evaluate.document import ExtraBlocks, evaluate_document
from plainfilm.evaluate.heldout import score_external, score_shifted_valid, score_test
from plainfilm.evaluate.metrics.subgroup_columns import subgroup_names
from plainfilm.evaluate.operating.operating_point import threshold_of
from plainfilm.evaluate.predictions import read_predictions
from plainfilm.evaluate.shift.corrupted_valid import SHIFTED, score_changes, shifted_rows
from plainfilm.evaluate.shift.external_set import read_external
from plainfilm.evaluate.shift.generalization_gap import external_block
from plainfilm.evaluate.shortcuts.probe_baseline import read_train_probes, shortcut_baseline
from plainfilm.evaluate.test_ledger import accesses_to, check_before_access, count_accesses, seal_of
from plainfilm.pipeline.saved_document import SavedDocument, save_document, scored_files
from plainfilm.pipeline.weights_overlap import refuse_overlap
from plainfilm.runs.card import Card, read_card
from plainfilm.runs.folder import RunDir
from plainfilm.schemas.documents import EvaluateDocument


def _extra_blocks(
    card: Card, cfg: ExperimentConfig, rows: pd.DataFrame, prevalences: list[float] | None, by: str | None,
    data: Path | None = None,
) -> ExtraBlocks:  # fmt: skip
    """The requested extra blocks for these rows, checked; `by` may be a column of `data`, by default the run's DATA.

    Raises:
        UsageError: more than two classes, or no such column. DataError: the CSV is missing.
    """
    if prevalences and card.positive is None:
        raise UsageError(f"--prevalence needs two classes; this run has {len(card.vocab)}. Leave it out.")
    data = data or (Path(cfg.data.path) if cfg.data.path else None)
    return ExtraBlocks(prevalences or [], by, [] if by is None else subgroup_names(rows, by, data, cfg.data))


def _evaluate_external(
    run: RunDir, card: Card, cfg: ExperimentConfig, rows: pd.DataFrame, path: Path, prevalences: list[float] | None,
    by: str | None, names: dict[str, str], patient_pattern: str | None, device: str, on_event: EventCallback, *, keep: bool,
) -> EvaluateDocument:  # fmt: skip
    """Evaluate on external images; everything that can be refused is refused before the access is recorded."""
    external = read_external(
        path.absolute(), card, cfg, rows, names=names, patient_pattern=patient_pattern, on_event=on_event
    )
    overlap_notes = refuse_overlap(external.rows, run, card)
    extra = _extra_blocks(card, cfg, external.rows, prevalences, by, external.path)
    before = scored_files(run, external.name)
    probes = read_train_probes(run, rows)
    predictions, pixels, accesses = score_external(run, card, external, device, on_event, keep=cfg.data.cache)
    document = evaluate_document(run, card, external.name, predictions, cfg, accesses, extra)
    block = external_block(run, card, cfg, rows, external, document.metrics, probes, pixels)
    document = document.model_copy(
        update={"external": block, "notes": list(dict.fromkeys([*document.notes, *external.notes, *overlap_notes]))}
    )
    return save_document(run, document, extra, before) if keep else document


_COSTS = "Computing them again is a test-set access."


def evaluate_run(
    root: Path,
    *,
    split: str = "valid",
    threshold: str | None = None,
    prevalences: list[float] | None = None,
    by: str | None = None,
    external: Path | None = None,
    names: dict[str, str] | None = None,
    patient_pattern: str | None = None,
    device: str = "cpu",
    again: bool = False,
    on_event: EventCallback = silent,
) -> EvaluateDocument:
    """`plainfilm evaluate`: metrics with intervals from one inference pass; a test-set access is recorded first.

    Where the saved document holds all that is asked, and its inputs have not changed, it is returned: no access, no file.

    Args:
        split: valid, test, or valid-shifted: the valid images unchanged and under each of a fixed list of changes.
        threshold: a rule or number in place of the stored threshold; a rule is still applied to valid.
        prevalences: shares of positive images, 0..1, for which PPV and NPV are recomputed.
        by: a column of subgroups, see `subgroup_names`.
        external: a folder or CSV of images that are not in the run's data, in place of a split; `names` maps their
            class names to the run's, `patient_pattern` finds the patient in their file names.
        again: compute also what is saved; the images of test and valid-shifted are scored again, on test an access.
    Raises:
        SealError: the run has no test set, or its ledger or sealed rows were changed.
        UsageError: `prevalences` with more than two classes, or `by` names no column of subgroups.
        DataError: the external images cannot be read, or are not external.
    """
    run = RunDir.open(root)
    if external is None and threshold is None and not again:
        saved = _saved_document(run, split, prevalences, by, on_event)
        if saved is not None:
            return saved
    with run.lock():
        card, cfg, rows = read_card(run), load_config(run.config), read_table(run.table)
        if threshold is not None:
            card = _other_threshold(run, card, rows, threshold)  # before the access: a wrong rule must not cost one
        if external is not None:
            shared = (prevalences, by, names or {}, patient_pattern, device, on_event)
            return _evaluate_external(run, card, cfg, rows, external, *shared, keep=threshold is None)
        part = shifted_rows(rows) if split == SHIFTED else rows[rows["split"] == split]
        extra, before = _extra_blocks(card, cfg, part, prevalences, by), scored_files(run, split)  # before the access
        again = again or _edited_scores(run, split)
        if split == "test":
            if card.seal is None:
                raise SealError(
                    "This run has no test set (VALIDATION ONLY), so there is nothing for --split test. Train on data with a test folder, or with --split patient."
                )
            predictions, accesses = score_test(run, card, rows, device, on_event, keep=cfg.data.cache, again=again)
        elif split == SHIFTED:
            predictions, accesses = (
                score_shifted_valid(run, card, rows, device, on_event, keep=cfg.data.cache, again=again),
                count_accesses(run, card.seal),
            )
        else:
            predictions = read_predictions(run.predictions(split), part, card.vocab, has_patients=card.has_patients)
            accesses = count_accesses(run, card.seal)
        document = evaluate_document(run, card, split, predictions, cfg, accesses, extra)
        if split == SHIFTED:
            positive = card.vocab.index(card.positive) if card.positive else None
            document = document.model_copy(update={"changes": score_changes(predictions, positive)})
        else:
            document = document.model_copy(
                update={"shortcut_baseline": shortcut_baseline(run, card, split, part, predictions.probs)}
            )
        return save_document(run, document, extra, before) if threshold is None else document


def _edited_scores(run: RunDir, split: str) -> bool:
    """Whether the scores that were saved are no longer those that the saved numbers come from."""
    saved = SavedDocument.read(run, split)
    return saved is not None and saved.scores_changed(run)


def _saved_document(
    run: RunDir, split: str, prevalences: list[float] | None, by: str | None, on_event: EventCallback
) -> EvaluateDocument | None:
    """The saved document if it holds all that is asked and nothing it comes from has changed; writes nothing.

    On test, where computing is an access, neither another version nor a document that does not name its inputs is a
    reason to compute: its notes say so.
    """
    saved = SavedDocument.read(run, split)
    card, cfg, rows = read_card(run), load_config(run.config), read_table(run.table)
    part = shifted_rows(rows) if split == SHIFTED else rows[rows["split"] == split]
    if split == "test" and not (len(part) and accesses_to(check_before_access(run, part)[1], seal_of(part))):
        return None
    if saved is None:
        if split == "test":
            on_event("note", {"text": f"The saved numbers of test cannot be read from metrics.json. {_COSTS}"})
        return None
    asked, checked = _extra_blocks(card, cfg, part, prevalences, by), bool(saved.document.inputs)
    if not saved.holds(asked) or (saved.from_another_version and split != "test"):
        return None
    if checked and (changed := saved.changed(run, asked)):
        if split == "test":  # why an access is made now
            on_event("note", {"text": f"Changed or gone since the numbers were saved: {', '.join(changed)}. {_COSTS}"})
        return None
    on_event("saved", {"split": split, "checked": checked})
    document = saved.counted(run, card.seal)
    return document.model_copy(update={"notes": [*document.notes, *saved.doubts()]})


def _other_threshold(run: RunDir, card: Card, rows: pd.DataFrame, rule: str) -> Card:
    if card.positive is None:
        raise UsageError("--threshold needs two classes; with more, the class with the highest score is predicted.")
    rule = load_config(options={"evaluate.threshold": rule}).evaluate.threshold
    split = SHIFTED if card.threshold_chosen_on == SHIFTED else "valid"
    part = shifted_rows(rows) if split == SHIFTED else rows[rows["split"] == "valid"]
    valid = read_predictions(run.predictions(split), part, card.vocab, has_patients=card.has_patients)
    k = card.vocab.index(card.positive)
    return card.model_copy(update={"threshold": threshold_of(rule, valid, part, k), "threshold_rule": rule})
