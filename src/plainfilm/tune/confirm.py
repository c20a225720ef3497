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
from plainfilm.errors import OccupiedError
from plainfilm.experiments.grid import Planned
from plainfilm.experiments.status import find_place
from plainfilm.runs.folder import RunDir
from plainfilm.runs.trial import Trial
from plainfilm.schemas.compare import Difference
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
    runs: dict[int, list[RunDir]] = {outcome.number: [] for outcome in chosen}
    for k, (seed, outcome) in enumerate(((s, o) for s in seeds for o in chosen), start=1):
        machine.on_event("tune_confirm", {"number": outcome.number, "seed": seed, "done": k, "of": of})
        runs[outcome.number].append(_trained(study, outcome, seed, machine))
    scored = {number: [calibrate_scores(run.root) for run in found] for number, found in runs.items()}
    return [
        Confirmed(
            number=o.number, params=o.values, seeds=seeds, runs=[str(run.root) for run in runs[o.number]],
            calibrate=over_seeds([each.metrics["auroc"] for each in scored[o.number]]),
            difference=None if o.number == 0 else _difference(scored[o.number], scored[0]),
        )
        for o in chosen
    ]  # fmt: skip


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
    """The saved scores of a run on the calibrate part of valid; on all of valid where it is not parted."""
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
