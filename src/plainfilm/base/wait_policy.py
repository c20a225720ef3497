"""How the threads of one computation wait for each other: asleep, so that a busy neighbour takes its share and no more.

OpenMP's threads spin while they wait, and on shared cores a spinning thread keeps the one that it waits for from running.
"""

from __future__ import annotations

import os
import sys

_POLICY = "OMP_WAIT_POLICY"
_USERS_CHOICE = (_POLICY, "GOMP_SPINCOUNT", "KMP_BLOCKTIME", "KMP_LIBRARY")
TOO_LATE = "active, torch came first"
TORCH_CAME_FIRST = (
    "torch was imported before plainfilm, so its threads spin while they wait for each other: beside another busy "
    "process training takes several times as long. Import plainfilm before torch and fastai, or set OMP_WAIT_POLICY=PASSIVE."
)

_too_late = False  # torch reads the policy once, when it is loaded


def sleep_while_waiting() -> None:
    """Set OMP_WAIT_POLICY=PASSIVE, for child processes too, unless the user's own settings say how threads wait."""
    global _too_late
    if not any(name in os.environ for name in _USERS_CHOICE):
        _too_late = "torch" in sys.modules
        os.environ[_POLICY] = "PASSIVE"


def wait_policy() -> str:
    """The policy in effect, for the record: 'passive', 'active', TOO_LATE, or the user's settings, 'GOMP_SPINCOUNT=1000'."""
    if _too_late:
        return TOO_LATE
    if _POLICY in os.environ:
        return os.environ[_POLICY].lower()
    return ", ".join(f"{name}={os.environ[name]}" for name in _USERS_CHOICE if name in os.environ)
