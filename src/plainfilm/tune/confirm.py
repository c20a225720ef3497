"""Train the best configs and the default again on fresh seeds, and compare them on the calibrate part of valid, which
no trial was chosen on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from plainfilm.compare.compare import compare_scored
from plainfilm.compare.mean_over_seeds import over_seeds
from plainfilm.compare.scored_run import Scored, read_scored
from plainfilm.data.split.valid_roles import calibrates
from plainfilm.data.table.saved_table import read_table
from plainfilm.errors import OccupiedError, TrainingError
from plainfilm.evaluate.stats.multiple_testing import at_floor, holm
from plainfilm.experiments.grid import Planned
from plainfilm.experiments.status import find_place
from plainfilm.runs.folder import RunDir
from plainfilm.runs.trial import Trial
from plainfilm.schemas.compare import Difference
from plainfilm.schemas.evaluate import LEVEL
from plainfilm.schemas.tune import Confirmed
from plainfilm.tune.outcome import Outcome
from plainfilm.tune.space import choice_code
from plainfilm.tune.study import Study
from plainfilm.tune.trials import Machine, train_in


def ranked(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """The finished trials, best select AUROC first, of equal ones the earlier; each config once."""
    done = sorted((o for o in outcomes if o.status == "done"), key=lambda o: (-(o.select or 0.0), o.number))
    first: dict[str, Outcome] = {}
    for outcome in done:
        first.setdefault(choice_code(outcome.values), outcome)
    return list(first.values())


def _to_confirm(outcomes: Sequence[Outcome], top: int) -> list[Outcome]:
    """The best `top`, and the default, which is trial 0; none where `top` is 0."""
    best = ranked(outcomes)[:top]
    default = [outcome for outcome in outcomes if outcome.number == 0 and outcome not in best]
    return [*best, *default] if best else []


def confirm(study: Study, outcomes: Sequence[Outcome], machine: Machine) -> list[Confirmed]:
    """Each config on every fresh seed, with the mean over them and the difference to the default."""
    chosen = _to_confirm(outcomes, study.plan.tune.confirm.top)
    first = study.plan.base.train.seed + 1
    seeds = [first + k for k in range(study.plan.tune.confirm.seeds)] if chosen else []
    of = len(chosen) * len(seeds)
    runs: dict[int, dict[int, RunDir]] = {outcome.number: {} for outcome in chosen}
    failures: dict[int, list[str]] = {outcome.number: [] for outcome in chosen}
    for k, (seed, outcome) in enumerate(((s, o) for s in seeds for o in chosen), start=1):
        facts = {"number": outcome.number, "seed": seed, "done": k, "of": of}
        machine.on_event("tune_confirm", facts)
        try:
            runs[outcome.number][seed] = _trained(study, outcome, seed, machine)
        except TrainingError as error:
            failures[outcome.number].append(f"seed {seed}: {error}")
            machine.on_event("tune_unconfirmed", {**facts, "message": str(error)})
    return _adjusted([_confirmed(outcome, seeds, runs, failures[outcome.number]) for outcome in chosen])


def _confirmed(
    outcome: Outcome, seeds: list[int], runs: dict[int, dict[int, RunDir]], failures: list[str]
) -> Confirmed:
    """A row; its difference is over the seeds on which both it and the default were trained to their end."""
    own, default = runs[outcome.number], runs.get(0, {})
    scored = {seed: calibrate_scores(run.root) for seed, run in own.items()}
    both = [seed for seed in own if seed in default] if outcome.number else []
    against = [calibrate_scores(default[seed].root) for seed in both]
    return Confirmed(
        number=outcome.number, params=outcome.values, seeds=seeds, runs=[str(run.root) for run in own.values()],
        calibrate=over_seeds([each.metrics["auroc"] for each in scored.values()]),
        difference=_difference([scored[seed] for seed in both], against) if both else None, message="; ".join(failures),
    )  # fmt: skip


def _adjusted(rows: list[Confirmed]) -> list[Confirmed]:
    """The rows with p_holm of each difference to the default adjusted for their number (Holm), the limits as they are."""
    found = [(k, row.difference) for k, row in enumerate(rows) if row.difference is not None]
    if not found:
        return rows
    p = np.array([difference.p for _, difference in found])
    p_holm, rows = holm(p), list(rows)
    floor = min((each.p for _, each in found if each.p_is_floor), default=0.0)
    for (k, difference), value, lowest in zip(found, p_holm, at_floor(p_holm, floor), strict=True):
        over = difference.seeds_low, difference.seeds_high
        apart = over[0] is None or over[1] is None or over[0] > 0 or over[1] < 0
        changed = {
            "p_holm": float(value), "p_holm_is_floor": bool(lowest), "comparisons": len(found),
            "distinguishable": bool(value <= LEVEL and apart),
        }  # fmt: skip
        rows[k] = rows[k].model_copy(update={"difference": difference.model_copy(update=changed)})
    return rows


def _trained(study: Study, outcome: Outcome, seed: int, machine: Machine) -> RunDir:
    name = f"trial-{outcome.number:03}-seed{seed}"
    cfg = study.config(outcome.values, train__seed=seed)
    place = find_place(study.folder / "confirmed", Planned(name, name, cfg))
    if place.standing == "busy":
        raise OccupiedError(f"{place.run.root} is being trained by another process. Wait for it.")
    if place.standing != "done":
        train_in(place, Trial(study.plan.name, outcome.number, confirms=True), study, machine)
    return place.run


def calibrate_scores(root: Path) -> Scored:
    """The saved scores of a run on the calibrate part of valid; on all of valid where it is not divided."""
    scored, rows = read_scored(root, "valid"), read_table(RunDir(root))
    keep = np.isin(scored.images, rows.loc[calibrates(rows), "sha256"].to_numpy(dtype=str))
    people = scored.patients
    return replace(
        scored, images=scored.images[keep], groups=scored.groups[keep], probs=scored.probs[keep], targs=scored.targs[keep],
        predicted=scored.predicted[keep], patients=None if people is None else people[keep],
    )  # fmt: skip


def _difference(runs: list[Scored], default: list[Scored]) -> Difference | None:
    """The AUROC of a config minus the default's, paired by seed on the same images; None where it is not estimable."""
    document = compare_scored([*runs, *default], metric="auroc")
    behind = document.rows[1]
    found = behind.differences.get("auroc")
    if found is None or behind.runs[0] == str(runs[0].root):
        return found
    turned = {"value": -found.value, "ci_low": -found.ci_high, "ci_high": -found.ci_low}
    if found.seeds_low is not None and found.seeds_high is not None:
        turned |= {"seeds_low": -found.seeds_high, "seeds_high": -found.seeds_low}
    return found.model_copy(update=turned)
