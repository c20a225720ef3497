"""Every entry lets waiting threads sleep, and the user's own settings win."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SAY = "import os; print(os.environ.get('OMP_WAIT_POLICY'))"
OWN = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME", "KMP_LIBRARY")


def python(code: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run `code` in a fresh interpreter, without a policy but for `settings`."""
    env = {name: value for name, value in os.environ.items() if name not in OWN} | settings
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, cwd=ROOT)


def as_main(entry: str) -> str:
    """Code that runs an entry with --version and then prints the policy."""
    return f"import runpy, sys; sys.argv[1:] = ['--version']\ntry: {entry}\nexcept SystemExit: {SAY}"


@pytest.mark.parametrize(
    "entry",
    [
        f"import plainfilm; {SAY}",
        f"from plainfilm import load_config; {SAY}",
        as_main("runpy.run_module('plainfilm', run_name='__main__')"),
        as_main("runpy.run_path('cli.py', run_name='__main__')"),
        as_main("from importlib.metadata import entry_points; entry_points(name='plainfilm')['plainfilm'].load()()"),
    ],
)
def test_every_entry_sets_the_policy_before_torch(entry):
    done = python(entry)
    assert done.stdout.splitlines()[-1:] == ["PASSIVE"], done.stderr
    assert "torch" not in python("import plainfilm, sys; print('torch' in sys.modules and 'torch')").stdout


@pytest.mark.parametrize("name", OWN)
def test_the_users_settings_win(name):
    policy = "ACTIVE" if name == "OMP_WAIT_POLICY" else "None"
    value = {"KMP_LIBRARY": "turnaround"}.get(name, "ACTIVE" if name == "OMP_WAIT_POLICY" else "10")
    assert python(f"import plainfilm; {SAY}", **{name: value}).stdout == f"{policy}\n"
    shown = python(
        "import plainfilm; from plainfilm.base.wait_policy import wait_policy; print(wait_policy())", **{name: value}
    )
    assert shown.stdout == ("active\n" if name == "OMP_WAIT_POLICY" else f"{name}={value}\n")


def test_a_number_of_threads_says_nothing_about_waiting():
    assert python(f"import plainfilm; {SAY}", OMP_NUM_THREADS="3").stdout == "PASSIVE\n"


LEARNER = """
import plainfilm, numpy as np, pandas as pd, sys
from pathlib import Path
from torch import nn
from fastai.data.core import DataLoaders
from fastai.data.load import DataLoader
from plainfilm.train.learner import make_learner
from plainfilm.base.wait_policy import wait_policy
dls = DataLoaders(DataLoader([0] * 4, bs=2), DataLoader([0] * 4, bs=2))
make_learner(dls, nn.Linear(1, 2), plainfilm.load_config().train, path=Path('.'))
print(wait_policy())
"""


def test_where_torch_came_first_the_learner_says_so():
    late = python("import torch" + LEARNER)
    assert "torch was imported before plainfilm" in late.stderr and "OMP_WAIT_POLICY=PASSIVE" in late.stderr
    assert late.stdout == "active, torch came first\n"


# torch itself takes seconds to import; of it only the name is asked
NAMED = "import sys, types; sys.modules['torch'] = types.ModuleType('torch')"


@pytest.mark.parametrize(
    ("first", "settings", "policy"),
    [("", {}, "passive"), (NAMED, {"OMP_WAIT_POLICY": "PASSIVE"}, "passive"), (NAMED, {}, "active, torch came first")],
)
def test_else_it_says_nothing(first, settings, policy):
    """The learner says so where the policy is the last of these; the test above is that of the whole."""
    done = python(
        f"{first}\nimport plainfilm; from plainfilm.base.wait_policy import wait_policy; print(wait_policy())",
        **settings,
    )
    assert done.stdout == f"{policy}\n", done.stderr
