"""The OOD gate's limit, set again on local images; what it knows of the train images stays."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from plainfilm.errors import DataError, UsageError
from plainfilm.evaluate.ood.ood_gate import gate_bytes, limit_score
from plainfilm.evaluate.stats.intervals import Bools
from plainfilm.recalibrate.local_images import LocalImages, Parent

_PATIENTS = 200  # fewer would let a handful of unusual local images open the gate


def refitted_gate(parent: Parent, local: LocalImages, used: Bools) -> tuple[bytes, float]:
    """The gate with the limit that marks 2 % of images like the fitted ones, and what it makes of OOD scores so far: a factor.

    Raises:
        UsageError: no gate. DataError: fewer than 200 local patients.
    """
    gate = parent.gate
    if gate is None or local.ood is None:
        raise UsageError("--refit-gate: there is no out-of-distribution gate to set again. Leave it out.")
    if local.scores.patients < _PATIENTS:
        raise DataError(
            f"--refit-gate needs {_PATIENTS} local patients; found {local.scores.patients}. Leave it out: the gate keeps its limit."
        )
    limit = float(np.float32(gate.limit * limit_score(local.ood[used])))
    if not np.isfinite(limit):
        raise DataError(
            "--refit-gate: more than 2 % of the local images have no OOD score, so that no limit holds for them. Leave it out."
        )
    return gate_bytes(replace(gate, limit=limit)), gate.limit / limit
