"""Stopped runs: killed, interrupted, starved of disk, raced and damaged, then resumed to the same bytes or refused."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from commands import plainfilm
from safetensors.torch import load_file

from plainfilm.data.synthetic.phantom import write_phantom
from plainfilm.runs.folder import RunDir
from plainfilm.runs.run_manifest import seal_files
from plainfilm.train.machine.precision import bf16_support
from wording import lacking

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]
FORKS = Path(__file__).with_name("forks.py")
SAME = ("model.safetensors", "history.csv", "predictions/valid.csv", "card.json", "metrics.json")
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")


def refused(run: Path, code: int, *words: str) -> str:
    """One line on stderr, nothing on stdout, and the run as it was."""
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file() and path.name != ".lock"}
    done = plainfilm("resume", run, "-q", code=code)
    assert done.stdout == ""
    assert len(done.stderr.strip().splitlines()) == 1
    for word in words:
        assert word in done.stderr, done.stderr
    after = {path: path.read_bytes() for path in run.rglob("*") if path.is_file() and path.name != ".lock"}
    changed = {path.name for path in before.keys() | after.keys() if before.get(path) != after.get(path)}
    assert changed <= {"status.json"}
    return done.stderr


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("data") / "drawn"
    write_phantom(out, images=60, size_px=32, seed=1)
    return out


@pytest.fixture(scope="module")
def small(tmp_path_factory, data) -> list[object]:
    """The options of a training that takes a second."""
    path = tmp_path_factory.mktemp("config") / "small.yaml"
    path.write_text(
        f"data: {{path: {json.dumps(str(data))}}}\nmodel: {{filters: [4, 8], dense: 8}}\nevaluate: {{n_boot: 100}}\n"
        "train: {size_px: 32, batch_size: 8, epochs: 3, lr: 0.01}\n"
    )
    return ["--config", path, "--device", "cpu"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def whole(small, runs) -> Path:
    """A run that never stopped."""
    plainfilm("train", *small, "--out", runs / "whole", "-q")
    return runs / "whole"


@pytest.fixture(scope="module")
def stopped(small, runs) -> Path:
    """A run that stopped after its first step."""
    done = plainfilm("train", *small, "--out", runs / "stopped", "--max-minutes", 0, "--json", code=130)
    assert done.stdout == ""
    assert done.stderr.strip().splitlines()[-1].endswith(f"Resume with: plainfilm resume {runs / 'stopped'}")
    return runs / "stopped"


@pytest.fixture
def copy(stopped, tmp_path) -> Path:
    shutil.copytree(stopped, tmp_path / "copy")
    return tmp_path / "copy"


def differ(run: Path, other: Path) -> list[str]:
    return [name for name in SAME if (run / name).read_bytes() != (other / name).read_bytes()]


# kills, full disks and races, in processes of their own ------------------------------------------------------------


def trials(data: Path, folder: Path, seconds: int, **options: int | str) -> dict:
    command = [sys.executable, FORKS, data, folder, *(f"--{name}={value}" for name, value in options.items())]
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def some(data, tmp_path_factory) -> dict:
    return trials(data, tmp_path_factory.mktemp("some"), 600, kills=1, interrupts=1, every=37, starts=2, controls=1)


@pytest.fixture(scope="module")
def many(data, tmp_path_factory) -> dict:
    return trials(
        data, tmp_path_factory.mktemp("many"), 7200, kills=20, interrupts=20, every=1, starts=20, controls=1, seed=1
    )


@pytest.fixture(scope="module")
def threaded(data, tmp_path_factory) -> dict:
    return trials(data, tmp_path_factory.mktemp("threaded"), 7200, kills=20, threads=2, seed=2)


@pytest.fixture(scope="module")
def in_bf16(data, tmp_path_factory) -> dict:
    return trials(data, tmp_path_factory.mktemp("bf16"), 600, kills=3, controls=1, seed=3, precision="bf16")


# .ci/run asks for the first by name, and for those of bf16 and of all moments
SHORT_AND_LONG = [pytest.param(*each, marks=pytest.mark.campaign) for each in (("some", 1, 2), ("many", 20, 20))]


@needs_fork
@pytest.mark.parametrize(
    ("which", "kills", "starts"), [*SHORT_AND_LONG, pytest.param("threaded", 20, 0, marks=pytest.mark.campaign)]
)
def test_killed_at_random_moments_a_run_ends_as_if_it_had_not_been(request, which, kills, starts):
    found = request.getfixturevalue(which)["kills"]
    assert len(found) == kills
    for trial in found:
        assert trial["stopped"][0]["code"] == -signal.SIGKILL, trial
        for stop in trial["stopped"]:
            assert (stop["status"], stop["broken"]) in (("interrupted", []), ("done", [])), trial
        assert (trial["code"], trial["differ"], trial["left"]) == (0, [], []), trial


@needs_fork
@pytest.mark.parametrize(("which", "kills", "starts"), SHORT_AND_LONG)
def test_a_lost_part_of_the_state_shows_in_the_comparison(request, which, kills, starts):
    """Or the tests above would show nothing."""
    found = request.getfixturevalue(which)["controls"]
    assert found.pop("nothing") == []
    assert set(found) == {"moments", "place", "weights"}
    for name, files in found.items():
        assert {"model.safetensors", "history.csv", "predictions/valid.csv"} <= set(files), name


@needs_fork
@pytest.mark.campaign  # test_precision_run stops and resumes one in this process
@pytest.mark.skipif(not bf16_support("cpu")[0], reason=bf16_support("cpu")[1])
def test_killed_in_bf16_a_run_ends_as_if_it_had_not_been(in_bf16):
    assert len(in_bf16["kills"]) == 3
    for trial in in_bf16["kills"]:
        assert (trial["code"], trial["differ"], trial["left"]) == (0, [], []), trial
    assert in_bf16["controls"].pop("nothing") == []
    assert all("model.safetensors" in files for files in in_bf16["controls"].values())


@needs_fork
@pytest.mark.parametrize(("which", "kills", "starts"), SHORT_AND_LONG)
def test_a_file_operation_that_fails_leaves_a_state_to_go_on_from(request, which, kills, starts):
    found = request.getfixturevalue(which)["faults"]
    assert found[-1]["struck"] is False  # every operation had its turn
    assert len(found) > 5
    for trial in found:
        assert trial["broken"] == [], trial
        assert (trial["code"], trial["status"] == "done") in ((0, True), (2, False)), trial
        if trial["status"] == "done":  # what failed was the sweeping of an old file, or a folder's flush
            assert trial["differ"] == [], trial
        else:
            assert trial["status"] in ("none", "failed", "interrupted"), trial
            assert trial["resumed"] == (0 if trial["begun"] else 2), trial
            # where not even the status was written, there is no run whose next writer could sweep
            assert (trial["differ"], trial["left"] if trial["status"] != "none" else []) == ([], []), trial
    assert sum(not trial.get("begun", True) for trial in found) < len(found) / 2


@needs_fork
@pytest.mark.parametrize(("which", "kills", "starts"), SHORT_AND_LONG)
def test_of_many_that_start_or_resume_one_run_at_once_one_wins(request, which, kills, starts):
    found = request.getfixturevalue(which)["starts"]
    assert found["codes"] == [0] + [4] * (starts - 1)
    assert found["stopped"] == 130
    assert found["resumed"][0] == 0
    assert set(found["resumed"][1:]) <= {2, 4}  # a late one finds it done
    assert len(found["resumed"]) == starts
    assert (found["differ"], found["resumed_differ"]) == ([], [])


@pytest.fixture(scope="module")
def shortcut(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("moments")
    plainfilm("phantom", folder / "data", "--images", 160, "--size", 32, "--shortcut", "jpeg")
    return folder / "data"


@needs_fork
@pytest.mark.parametrize(
    ("moments", "number"), [(1, 2), pytest.param(2, 2 * 4 * 2, marks=pytest.mark.campaign, id="all-moments")]
)
def test_killed_before_during_or_after_the_probes_a_run_ends_as_if_it_had_not_been(shortcut, tmp_path, moments, number):
    """They follow the first step; a resumed run makes them after its own first step."""
    found = trials(shortcut, tmp_path, 900, moments=moments)["moments"]
    assert len(found) == number
    for trial in found:
        assert trial["codes"][0] == -signal.SIGKILL and trial["codes"][-1] in (0, -signal.SIGKILL), trial
        assert trial["status"] == "done" and (trial["differ"], trial["left"]) == ([], []), trial


# Ctrl-C --------------------------------------------------------------------------------------------------------------


@needs_fork
@pytest.mark.parametrize(("which", "kills", "starts"), SHORT_AND_LONG)
def test_ctrl_c_at_any_moment_keeps_the_step_and_says_how_to_go_on(request, which, kills, starts):
    found = request.getfixturevalue(which)["interrupts"]
    assert len(found) == kills
    for trial in found:
        assert (trial["code"], trial["status"], trial["stdout"]) == (130, "interrupted", ""), trial
        assert trial["said"].startswith("plainfilm: Interrupted.") and "\n" not in trial["said"], trial
        assert trial["said"].endswith(f": plainfilm resume {trial['run']}"), trial
        assert (trial["resumed"], trial["differ"], trial["left"]) == (0, [], []), trial


@pytest.mark.campaign
@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for one process")
def test_ctrl_c_in_a_shell_and_a_resume_with_another_number_of_threads(small, runs):
    """As a user does it, with the machine's own number of threads, which resume takes again."""
    command = [sys.executable, "-m", "plainfilm", "train", *map(str, small), "--checkpoint-minutes", "0"]
    subprocess.run([*command, "--out", runs / "threads"], check=True, capture_output=True, timeout=280)
    run = runs / "interrupted"
    with subprocess.Popen(
        [*command, "--out", run], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        until = time.monotonic() + 240
        while not (run / "checkpoints" / "last.json").exists() and time.monotonic() < until:
            time.sleep(0.005)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, ""), err
    last = err.strip().splitlines()[-1]
    assert last.startswith("plainfilm: Interrupted.") and last.endswith(f": plainfilm resume {run}")
    env = {**os.environ, "OMP_NUM_THREADS": "3"}
    subprocess.run([*command[:3], "resume", run], check=True, capture_output=True, timeout=280, env=env)
    assert differ(run, runs / "threads") == []


# what resume takes and says ------------------------------------------------------------------------------------------


def test_a_stopped_run_goes_on_with_its_own_threads_and_says_where(copy, whole):
    """Another number of threads adds sums up in another order: the bits would differ."""
    torch.set_num_threads(2)
    done = plainfilm("resume", copy)
    assert torch.get_num_threads() == 1
    assert "Resuming in epoch 1/3, after step 1\n" in done.stderr
    assert "About 1 s left (from timed steps)" in done.stderr
    assert len([line for line in done.stderr.splitlines() if line.startswith("epoch ")]) == 3
    assert "Run:" in done.stdout
    assert differ(copy, whole) == []
    log = (copy / "log.txt").read_text()
    assert [line.split(" ")[1] for line in log.splitlines()] == [
        "run",
        "run",
        "network",
        "resume",
        "estimate",
        *["epoch"] * 3,
        "done",
    ]
    assert " resume phase=1 epoch=1 step=1 device=cpu\n" in log
    assert "already done" in refused(copy, 2)
    plainfilm("evaluate", copy, "--split", "test")


def test_a_run_that_stopped_before_its_first_state_starts_from_the_beginning(copy, whole):
    (copy / "checkpoints" / "last.json").unlink()
    assert "starting from the beginning" in plainfilm("resume", copy).stderr
    assert differ(copy, whole) == []


def test_a_run_whose_training_ended_is_only_finished(whole, tmp_path):
    shutil.copytree(whole, tmp_path / "copy")
    copy = RunDir(tmp_path / "copy")
    for path in (copy.weights, copy.card, copy.metrics, copy.predictions("valid"), copy.history):
        path.unlink()
    copy.write_status("running")
    assert "running the steps after training" in plainfilm("resume", copy.root).stderr
    assert differ(copy.root, whole) == []


def test_a_run_can_be_stopped_again_and_again_by_the_time_limit(copy, whole):
    for step in (2, 3):
        line = plainfilm("resume", copy, "--max-minutes", 0, "-q", code=130).stderr
        assert line.startswith("plainfilm: Stopped") and line.count("\n") == 1
        assert lacking(line, "--max-minutes", "0 minutes", "epoch 1 of 3", f"step {step}") == []
        assert line.endswith(f": plainfilm resume {copy}\n")
    plainfilm("resume", copy, "--max-minutes", 60)
    assert differ(copy, whole) == []


def test_a_found_rate_is_kept_and_the_last_epoch_too(small, runs):
    """The finder does not run again; `keep last` needs no best epoch."""
    options = [*small, "--lr", "auto", "--keep", "last", "--balance", "auto", "-q"]
    plainfilm("train", *options, "--out", runs / "auto")
    plainfilm("train", *options, "--out", runs / "auto-stopped", "--max-minutes", 0, code=130)
    plainfilm("resume", runs / "auto-stopped")
    assert differ(runs / "auto-stopped", runs / "auto") == []
    log = (runs / "auto-stopped" / "log.txt").read_text()
    assert log.count(" lr lr=") == 1


def test_a_run_without_an_end_is_not_evaluated(copy):
    line = plainfilm("evaluate", copy, code=2).stderr
    assert lacking(line, "'interrupted'", "not 'done'", "no finished model", f"plainfilm resume {copy}") == []


def test_a_run_in_use_is_refused(copy):
    with RunDir(copy).lock():
        refused(copy, 4, "another process")


def test_folders_that_are_no_run_or_hold_too_little_are_refused(tmp_path, copy):
    refused(tmp_path / "nowhere", 2, "not a run folder")
    (copy / "checkpoints" / "start.json").unlink()
    refused(copy, 2, "no checkpoints/start.json", "train again")


def test_a_diverged_run_is_refused_and_left_no_nan(small, runs):
    run = runs / "diverged"
    line = plainfilm("train", *small, "--lr", "1e6", "--checkpoint-minutes", 0, "--out", run, "-q", code=5).stderr
    assert "smaller --lr" in line
    assert json.loads((run / "status.json").read_text())["status"] == "diverged"
    for path in run.rglob("*.safetensors"):
        assert all(bool(value.isfinite().all()) for value in load_file(path).values()), path.name
    refused(run, 2, "diverged", "smaller --lr")


@pytest.mark.parametrize(
    ("name", "old", "new", "words"),
    [
        ("config.yaml", "wd: 0.01", "wd: 0.1", ["config.yaml train.wd: 0.01 then, 0.1 now", "Restore what changed"]),
        ("table.csv", ",valid\n", ",train\n", ["table.csv: edited"]),
        ("environment.json", '"torch": "', '"torch": "1.', ["torch: '1.", "now"]),
        ("checkpoints/last.json", '"step": 1', '"step": 2', ["last.json was changed after it was written"]),
        ("status.json", '"status"', "", ["status.json", "damaged"]),
    ],
)
def test_a_changed_run_is_refused_with_what_changed(copy, name, old, new, words):
    text = (copy / name).read_text()
    assert old in text
    (copy / name).write_text(text.replace(old, new, 1))
    if name == "environment.json":
        refused(copy, 2, "environment.json", "not the file that was written")
        seal_files(RunDir(copy), copy / name)  # as another installation would have written it
    refused(copy, 2, *words)


def test_lost_moments_are_refused(copy):
    path = next(copy.glob("checkpoints/last-*.safetensors"))
    path.unlink()
    refused(copy, 2, path.name, "missing", "checkpoint")


def test_a_changed_image_is_refused_and_named_and_a_restored_one_is_not(data, copy, whole):
    path = next(line.split(",")[0] for line in (copy / "table.csv").read_text().splitlines() if line.endswith(",train"))
    before = Path(path).read_bytes()
    try:
        Path(path).write_bytes(before + b"\x00")
        refused(copy, 2, Path(path).name, "changed since the scan")
    finally:
        Path(path).write_bytes(before)
    plainfilm("resume", copy)
    assert differ(copy, whole) == []


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_run_folder_that_cannot_be_written_is_refused(copy):
    copy.chmod(0o500)
    (copy / ".lock").unlink(missing_ok=True)
    try:
        refused(copy, 2, "cannot be written", "rights")
    finally:
        copy.chmod(0o700)


def test_a_training_that_will_not_fit_is_refused_before_it_starts(small, tmp_path, monkeypatch):
    from plainfilm.train import memory

    monkeypatch.setattr(memory, "free_bytes", lambda: 1_000_000)
    line = plainfilm("train", *small, "--out", tmp_path / "run", "-q", code=5).stderr
    assert "Training would need about" in line
    assert not (tmp_path / "run").exists()


def test_nothing_is_written_beside_the_data(data, small, copy):
    before = {path: path.stat().st_mtime_ns for path in [data, *data.rglob("*")]}
    plainfilm("resume", copy)
    assert {path: path.stat().st_mtime_ns for path in [data, *data.rglob("*")]} == before
