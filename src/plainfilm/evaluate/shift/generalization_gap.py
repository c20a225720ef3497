"""The generalization gap: how the metrics change on external images, and how the images themselves differ."""

from __future__ import annotations

from plainfilm.data.audit.probes import Pixels
from plainfilm.data.split.splits import people
from plainfilm.evaluate.finished import FinishedRun
from plainfilm.evaluate.metrics.measure import measure_sample
from plainfilm.evaluate.shift.domain_shift import domain_shift
from plainfilm.evaluate.shift.external_set import ExternalSet
from plainfilm.evaluate.shortcuts.probe_baseline import TrainProbes
from plainfilm.evaluate.stats.intervals import difference, interval_of
from plainfilm.evaluate.test_ledger import no_test_access
from plainfilm.schemas.evaluate import Change, External, Metric
from plainfilm.schemas.macro_mean import WITHOUT


def external_block(
    finished: FinishedRun, external: ExternalSet, metrics: dict[str, Metric], probes: TrainProbes | None, pixels: Pixels
) -> External:
    """The block beside the metrics of an external set.

    Args:
        metrics: of the external images. pixels: as the network sees them.
        probes: None where the run keeps no features of its train images; then there is no domain shift.
    """
    card, table = finished.card, external.table
    return External(
        found=table.found, used=len(table.rows), quarantined=table.count("quarantined"),
        duplicates=table.count("duplicate"), ignored=table.count("ignored"),
        **people(external.rows, table.has_patients),
        left_out=external.left_out, classes={name: int((external.rows["label"] == name).sum()) for name in card.vocab},
        drops={split: _changes(metrics, internal) for split, internal in _internal_metrics(finished).items()},
        drift=None
        if probes is None
        else domain_shift(
            probes, external.rows, pixels, seed=finished.cfg.train.seed, has_patients=card.has_patients and table.has_patients
        ),
    )  # fmt: skip


def _internal_metrics(finished: FinishedRun) -> dict[str, dict[str, Metric]]:
    """Metrics of valid, and of test if this run was evaluated on it: from saved scores, without a new access."""
    run, card, cfg = finished.run, finished.card, finished.cfg
    splits = ["valid"]
    if run.predictions("test").is_file() and not no_test_access(run, card):
        splits.append("test")
    samples = {split: finished.predictions(split).sample(finished.positive, card.threshold) for split in splits}
    return {
        split: measure_sample(sample, n_boot=cfg.evaluate.n_boot, seed=cfg.train.seed)
        for split, sample in samples.items()
    }


def _changes(external: dict[str, Metric], internal: dict[str, Metric]) -> dict[str, Change]:
    """External minus internal of each metric, with limits recovered from those of the two (different patients)."""
    return {name: _change(external[name], internal[name]) for name in external}


def _change(external: Metric, internal: Metric) -> Change:
    both = [interval_of(metric) for metric in (external, internal)]
    if both[0] is None or both[1] is None:
        missing = external if both[0] is None else internal
        return Change(value=None, ci_low=None, ci_high=None, method=missing.method)
    if _left_out_of(external) != _left_out_of(internal):
        why = "not estimable: the two are means over different classes, since one set lacks some"
        return Change(value=None, ci_low=None, ci_high=None, method=why)
    value, low, high, _ = difference(both[0], both[1])
    narrow = "; likely too narrow" if any("too narrow" in metric.method for metric in (external, internal)) else ""
    return Change(value=value, ci_low=low, ci_high=high, method=f"mover{narrow}")


def _left_out_of(found: Metric) -> str:
    """The classes left out of a mean, as written by `noted`; '' for none."""
    return found.method.partition(WITHOUT)[2]
