"""`plainfilm interpret`: figures of a finished run, heat maps with their checks, and a list of likely label errors.

Figures come from saved predictions. The network runs only for heat maps: on the saved images of the largest losses,
and on a fixed number of valid images. No test image is opened and the test set is not accessed.
"""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from plainfilm.base.events import EventCallback, silent
from plainfilm.base.files import atomic_write, dump_json
from plainfilm.base.seeds import content_key
from plainfilm.data.cache.rows import decode_with_events
from plainfilm.data.image.decode import DecodeSpec
from plainfilm.errors import DataError, SealError
from plainfilm.evaluate.finished import FinishedRun
from plainfilm.evaluate.predictions import Predictions
from plainfilm.evaluate.test_ledger import no_test_access
from plainfilm.interpret.label_errors import describe_label_errors, find_label_errors, label_errors_csv
from plainfilm.interpret.out_of_fold import out_of_fold
from plainfilm.models.from_card import bare_network, kept_network
from plainfilm.runs.folder import RunDir
from plainfilm.runs.heat_checks_file import read_heat_checks
from plainfilm.runs.run_manifest import read_verified, remove_file, write_file
from plainfilm.schemas.interpret import HeatFindings, InterpretDocument, LabelErrorFindings, confused_pairs

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from plainfilm.interpret.gradcam import Method
    from plainfilm.interpret.heatmap_study import HeatStudy
    from plainfilm.interpret.run_figures import SplitView

_HEAT_IMAGES = 32  # 900 forward passes; with `compact` at 128 px all of interpret takes 7 s on one core


def interpret_run(
    root: Path,
    *,
    split: str | None = None,
    heat_images: int = _HEAT_IMAGES,
    method: Method = "hires-cam",
    device: str = "cpu",
    data: Path | None = None,
    on_event: EventCallback = silent,
) -> InterpretDocument:
    """Draw and check what a run learned; writes figures/ and suspects.csv into it.

    Args:
        split: valid or test; None takes test if the run has been evaluated on it, else valid. The accesses of the parent
            of a recalibrated version do not count: it has another operating point.
        heat_images: number of valid images on which heat maps are checked; 0 skips heat maps, and no network runs.
        data: where DATA is now, if it was moved.
    Raises:
        SealError: no test-set access is recorded.
    """
    from plainfilm.interpret.run_figures import draw_run_figures, make_view

    run = RunDir.open(root)
    finished = FinishedRun.open(run, data, on_event)
    split = split or _split_of(finished, on_event)
    if split == "test" and no_test_access(run, finished.card):
        raise SealError(no_test_access(run, finished.card))
    valid = finished.predictions("valid")
    view = make_view(finished, split, valid if split == "valid" else finished.predictions(split))
    study = None
    if heat_images:
        view, study = _heat(finished, view, valid, heat_images, method, device, on_event)
    drawn = draw_run_figures(finished, view) | (study.figures(finished.card) if study else {})
    found = study.findings() if study else None
    label_errors, listed = _label_errors(finished, valid)
    with run.lock():
        found = found and found.model_copy(update={"sheets": _sheets(run, split, found)})
        _write(run, drawn, found)
        atomic_write(run.label_errors, listed)
    return InterpretDocument(
        run=str(run.root), split=split, figures={name: str(run.figure(name)) for name in drawn}, notes=finished.card.notes,
        confused=confused_pairs(view.matrix.tolist(), finished.card.vocab), heat=found,
        suspects=label_errors,
    )  # fmt: skip


def _split_of(finished: FinishedRun, on_event: EventCallback) -> str:
    """Test if there are scores of it, else valid; valid for a version whose scores of test nobody has asked for."""
    run, card = finished.run, finished.card
    if not run.predictions("test").is_file():
        return "valid"
    if card.recalibration is None or not no_test_access(run, card):
        return "test"
    on_event("note", {"text": f"The figures are of valid. {no_test_access(run, card)}"})
    return "valid"


def _write(run: RunDir, drawn: dict[str, Figure], found: HeatFindings | None) -> None:
    """Write the figures and the checks of the heat maps; take away those of earlier heat maps."""
    from plainfilm.plots.base import as_png

    remove_file(run, run.heat_checks)  # first: a verdict must not outlive the maps that it judges
    for name, figure in drawn.items():
        atomic_write(run.figure(name), as_png(figure))
    for stale in run.figure("any").parent.glob("heat_*.png"):  # of the sheets that were just replaced
        if stale.stem not in drawn:
            stale.unlink()
    if found:
        write_file(run, run.heat_checks, dump_json(found.model_dump(mode="json")))


def _sheets(run: RunDir, split: str, found: HeatFindings) -> list[str]:
    """The splits whose sheets have these heat maps: this one, and one drawn before by the same method."""
    before = None
    with contextlib.suppress(DataError):  # a damaged file is replaced
        before = read_heat_checks(run)
    same = before is not None and (before.method, before.layer) == (found.method, found.layer)
    return sorted({split, *(before.sheets if before and same else [])})


def _heat(
    finished: FinishedRun,
    view: SplitView,
    valid: Predictions,
    n: int,
    method: Method,
    device: str,
    on_event: EventCallback,
) -> tuple[SplitView, HeatStudy]:
    """Heat maps of the largest losses, and their checks on valid images."""
    from plainfilm.evaluate.metrics.predicted_class import predicted_classes
    from plainfilm.interpret.gradcam import heat_maps
    from plainfilm.interpret.heatmap_study import StudiedImages, choose_images, study_heat
    from plainfilm.interpret.run_figures import with_heat

    card, rows = finished.card, finished.part("valid")
    model, device = kept_network(finished.run, card, device)
    predicted = predicted_classes(valid.probs, positive=view.positive, threshold=card.threshold)
    chosen, available = choose_images(rows, n), rows["group"].nunique()
    described = "valid images, one of each patient" if card.has_patients else "valid images"
    try:
        with finished.decoding():
            pixels = decode_with_events(
                rows.iloc[chosen], DecodeSpec(**card.decode), on_event, keep=finished.cfg.data.cache
            )[:]
    except DataError:
        on_event(
            "note",
            {
                "text": "The valid images cannot be read; heat maps are checked on the saved largest losses. "
                "Give the new place of moved DATA with --data."
            },
        )
        pixels, chosen, described, available = _saved(finished, valid, n)
    keys = np.array([content_key(sha) for sha in rows["sha256"].iloc[chosen]], dtype=np.int64)
    images = StudiedImages(pixels, predicted[chosen], keys, described, available)
    study = study_heat(
        model, lambda seed: bare_network(card, seed), images, card, method=method, device=device, on_event=on_event
    )
    worst = view.predictions.worst(len(view.worst))
    heat = heat_maps(model, view.worst, view.predicted[worst], place=study.place, method=method, device=device)
    return with_heat(view, heat), study


def _saved(finished: FinishedRun, valid: Predictions, n: int) -> tuple[np.ndarray, np.ndarray, str, int]:
    """At most `n` saved valid images of the largest losses, one per patient, their rows, their description, and how many
    there were to choose from.
    """
    images = np.load(io.BytesIO(read_verified(finished.run, finished.run.top_images("valid"))), allow_pickle=False)
    rows = valid.worst(len(images))
    _, first = np.unique(valid.groups[rows], return_index=True)
    available, first = len(first), np.sort(first)[:n]
    return images[first], rows[first], "valid images of the largest losses", available


def _label_errors(finished: FinishedRun, valid: Predictions) -> tuple[LabelErrorFindings, str]:
    """The likely label errors, and the text of suspects.csv."""
    scored = out_of_fold(finished, valid)
    found = find_label_errors(scored.probs, scored.targs)
    text = label_errors_csv(found, scored.relative, scored.probs, scored.targs, finished.card.vocab)
    return LabelErrorFindings(
        file=str(finished.run.label_errors), found=len(found.order), images=len(scored.targs),
        folds=scored.folds if scored.of_folds else None, of_folds=scored.of_folds or None,
        says=describe_label_errors(found, len(scored.targs), (scored.folds, scored.of_folds) if scored.of_folds else None),
    ), text  # fmt: skip
