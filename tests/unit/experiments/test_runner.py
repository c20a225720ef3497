"""`experiments run` without training: what is skipped, resumed, refused, and what a failure or Ctrl-C leaves."""

from __future__ import annotations

import gc
import json
import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner, Result

from plainfilm.base.files import dump_json
from plainfilm.cli import app
from plainfilm.errors import DataError, DivergedError, StoppedError
from plainfilm.experiments import runner
from plainfilm.experiments.cost import Cost, _Latency
from plainfilm.experiments.failures import _why
from plainfilm.runs.folder import RunDir
from plainfilm.schemas.documents import Timing
from wording import lacking

GRID = "data: {path: DATA}\nconfigurations: [{name: a}, {name: b, model.dense: 3}]\ngrid: {train.seed: [0, 1]}\n"
FOUR = ["a-seed0", "a-seed1", "b-seed0", "b-seed1"]


class Stage:
    """A grid of four runs, a train_run that only writes what a training leaves, and what it was asked."""

    def __init__(self, folder: Path, save_run: Callable[..., RunDir]) -> None:
        self.folder, self.save_run = folder, save_run
        self.data, self.out, self.file = folder / "DATA", folder / "out", folder / "grid.yaml"
        self.data.mkdir()
        self.file.write_text(GRID.replace("DATA", str(self.data)), encoding="utf-8")
        self.trained: list[str] = []
        self.resumed: list[str] = []
        self.timed: list[str] = []
        self.trouble: dict[str, BaseException] = {}
        self.evaluated_on_test: list[str] = []

    def root(self, name: str) -> Path:
        return self.out / "grid" / name

    def train(self, cfg, out, *, dry_run=False, on_event=None, **_):
        if dry_run:
            return SimpleNamespace(estimate_seconds=30.0)
        self.trained.append(out.name)
        if out.name in self.trouble:
            raise self.trouble.pop(out.name)
        return self._leave(cfg, out)

    def resume(self, root, *, on_event=None, **_):
        from plainfilm.config import load_config

        self.resumed.append(root.name)
        cfg = load_config(root / "config.yaml")
        shutil.rmtree(root)
        return self._leave(cfg, root)

    def _leave(self, cfg, root):
        options = {f"{section}.{name}": getattr(getattr(cfg, section), name)
                   for section, name in (("data", "path"), ("model", "dense"))}  # fmt: skip
        run = self.save_run(root.name, root=root.parent, seed=cfg.train.seed, options={"train.size_px": 224, **options})
        assert run.config.read_text() == cfg.as_yaml()
        run.cost.unlink()
        return SimpleNamespace(timing=Timing(seconds=60.0, epochs_seconds=50.0, train_img_per_s=10.0, peak_rss_mb=1e6))

    def latency(self, run: RunDir) -> None:
        self.timed.append(run.root.name)
        cost = Cost.model_validate_json(run.cost.read_text())
        took = _Latency(median_ms=1.0, low_ms=0.9, high_ms=1.1, n=10, threads=1)
        run.cost.write_text(dump_json(cost.model_copy(update={"latency": took}).model_dump()))

    def run(self, *args: object, code: int = 0) -> Result:
        command = ["experiments", "run", str(self.file), "--out", str(self.out), *map(str, args)]
        done = CliRunner(env={"NO_COLOR": "1", "COLUMNS": "400"}).invoke(app, command)
        assert done.exit_code == code, f"{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr
        return done

    def refused(self, *args: object, code: int = 2) -> str:
        lines = self.run(*args, "-q", code=code).stderr.strip().splitlines()
        assert len(lines) == 1, lines
        assert not self.trained and not self.resumed
        return lines[0]

    def outcomes(self, *args: object, code: int = 0) -> dict[str, str]:
        document = json.loads(self.run(*args, "--json", code=code).stdout)
        return {Path(run["run"]).name: run["outcome"] for run in document["runs"]}


@pytest.fixture(autouse=True, scope="module")
def what_is_imported_is_not_searched_again():
    """The runner collects garbage after each run; beside all that a test session has imported that takes most of the time."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture
def stage(tmp_path, save_run, monkeypatch) -> Stage:
    made = Stage(tmp_path, save_run)
    monkeypatch.setattr("plainfilm.pipeline.train.train_run", made.train)
    monkeypatch.setattr("plainfilm.pipeline.train.resume_run", made.resume)
    monkeypatch.setattr(runner, "write_latency", made.latency)
    return made


def test_all_runs_are_trained_in_the_order_of_the_file_and_skipped_the_next_time(stage):
    said = stage.run().stderr
    assert stage.trained == FOUR
    assert "4 runs of 2 configurations" in said and "unknown until" in said
    assert "1/4 done: a-seed0; about 3 min left" in said  # three more of 60 s
    assert stage.timed == ["a-seed0", "b-seed0"]  # latency once per configuration
    stage.trained.clear()
    assert set(stage.outcomes().values()) == {"skipped"} and stage.trained == []
    assert stage.timed == ["a-seed0", "b-seed0"]
    assert "nothing is left to train" in stage.run().stderr


def test_what_training_took_is_kept_in_the_run(stage):
    stage.run()
    cost = json.loads((stage.root("a-seed0") / "cost.json").read_text())
    assert (cost["seconds"], cost["parameters"], cost["peak_rss_mb"]) == (60.0, 10, 1e6)
    assert cost["peak_rss_exact"] is True


def test_only_the_named_configuration_is_trained(stage):
    stage.run("--only", "b")
    assert stage.trained == ["b-seed0", "b-seed1"]


def test_a_dry_run_says_how_long_and_trains_nothing(stage):
    done = stage.run("--dry-run", "--json")
    document = json.loads(done.stdout)
    assert document["estimate_seconds"] == 120.0  # 30 s each, by the timed steps
    assert {run["outcome"] for run in document["runs"]} == {"planned"}
    assert stage.trained == [] and not stage.out.exists()


def test_next_is_the_run_after_a_dry_run_and_the_table_after_the_runs(stage):
    again = f"plainfilm experiments run {stage.file} --out {stage.out}"
    assert json.loads(stage.run("--dry-run", "--json").stdout)["next"] == again
    assert f"Next: {again}\n" in stage.run("--dry-run").stdout
    then = f"Next: plainfilm experiments table {stage.out / 'grid'} {stage.file}\n"
    assert then in stage.run().stdout
    assert then in stage.run("--dry-run").stdout  # all are done


def test_where_no_run_finished_nothing_is_next(stage):
    for name in FOUR:
        stage.trouble[name] = DivergedError("The loss is no number.")
    assert "Next:" not in stage.run(code=5).stdout


def test_the_estimate_comes_from_finished_runs_of_the_same_configuration(stage):
    stage.run("--only", "a")
    document = json.loads(stage.run("--dry-run", "--json").stdout)
    assert document["estimate_seconds"] == 120.0  # two of 60 s
    assert "2 to train, about 2 min, estimated from the finished runs" in stage.run("--dry-run").stderr


def test_one_failure_does_not_stop_the_rest_and_ends_with_its_code(stage):
    stage.trouble["a-seed1"] = DivergedError("The loss is no number.")
    done = stage.run(code=5)
    assert stage.trained == FOUR
    assert "FAILED: a-seed1: The loss is no number." in done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("plainfilm: 1 of 4 runs did not finish")
    assert "a-seed1: The loss is no number." in last
    assert f"plainfilm experiments run {stage.file} --out {stage.out}" in last
    assert "failed: The loss is no number." in done.stdout


@pytest.mark.parametrize(
    ("troubles", "code"),
    [([DataError("no")], 2), ([DataError("no"), DataError("no")], 2), ([DataError("no"), DivergedError("x")], 5), ([ValueError("odd")], 101)],
)  # fmt: skip
def test_failures_end_with_the_code_they_share_or_with_5(stage, troubles, code):
    stage.trouble = dict(zip(FOUR, troubles, strict=False))
    outcomes = stage.outcomes(code=code)
    assert list(outcomes.values()).count("failed") == len(troubles)
    assert list(outcomes.values()).count("trained") == 4 - len(troubles)


@pytest.mark.parametrize("trouble", [KeyboardInterrupt(), StoppedError("Interrupted. Resume with: plainfilm resume X")])
def test_ctrl_c_stops_and_says_how_to_resume(stage, trouble):
    stage.trouble["b-seed0"] = trouble
    last = stage.run("--only", "a", "--only", "b", code=130).stderr.strip().splitlines()[-1]
    assert stage.trained == ["a-seed0", "a-seed1", "b-seed0"]
    assert "2 of 4 runs done" in last
    assert last.endswith(f": plainfilm experiments run {stage.file} --out {stage.out} --only a --only b")
    stage.trained.clear()
    stage.run()
    assert stage.trained == ["b-seed0", "b-seed1"]


def stop(stage: Stage, name: str, *, resumable: bool = True, status: str = "interrupted") -> Path:
    """A run of the plan that stopped, before or after its inputs were complete."""
    dense, seed = (128 if name.startswith("a") else 3), int(name[-1])
    options = {"train.size_px": 224, "data.path": str(stage.data), "model.dense": dense}
    run = stage.save_run(name, root=stage.out / "grid", seed=seed, options=options, status=status)
    if resumable:
        run.start.parent.mkdir()
        run.start.write_text("{}")
    return run.root


def test_a_stopped_run_is_resumed_and_the_others_are_trained(stage):
    stop(stage, "a-seed1")
    assert stage.outcomes() == {"a-seed0": "trained", "a-seed1": "resumed", "b-seed0": "trained", "b-seed1": "trained"}
    assert stage.resumed == ["a-seed1"]


def test_a_killed_run_reads_running_and_is_resumed(stage):
    stop(stage, "a-seed0", status="running")
    assert stage.outcomes()["a-seed0"] == "resumed"


def test_a_run_that_another_process_trains_is_skipped(stage):
    root = stop(stage, "a-seed0", status="running")
    with RunDir(root).lock():
        assert stage.outcomes(code=4)["a-seed0"] == "busy"
    assert stage.trained == FOUR[1:]


def test_a_diverged_run_is_not_repeated(stage):
    stop(stage, "a-seed0", status="diverged")
    assert stage.outcomes(code=5)["a-seed0"] == "failed"
    assert stage.trained == FOUR[1:] and not stage.resumed


def test_an_incomplete_run_stays_and_is_trained_into_a_new_folder(stage):
    root = stop(stage, "a-seed0", resumable=False)
    before = sorted(path.name for path in root.iterdir())
    said = stage.run().stderr
    assert any(lacking(line, "a-seed0 stopped", "it is kept", "a new folder") == [] for line in said.splitlines())
    assert stage.trained[0] == "a-seed0.2"
    assert sorted(path.name for path in root.iterdir() if path.name != ".lock") == before
    stage.trained.clear()
    assert stage.outcomes()["a-seed0.2"] == "skipped"


def test_a_folder_with_something_else_is_not_written_to(stage):
    stage.root("a-seed0").mkdir(parents=True)
    (stage.root("a-seed0") / "notes.txt").write_text("mine")
    stage.run()
    assert stage.trained[0] == "a-seed0.2"
    assert [path.name for path in stage.root("a-seed0").iterdir()] == ["notes.txt"]


def with_weights(stage: Stage, **weights: object) -> None:
    """Four configurations: two from scratch, and two that start from `weights`."""
    more = "".join(f", {{name: {name}, model.name: compact, model.weights: {w}}}" for name, w in weights.items())
    text = stage.file.read_text()
    stage.file.write_text(text.replace("model.dense: 3}]", "model.dense: 3}" + more + "]"))


@pytest.mark.parametrize("option", ["--dry-run", "--json"])
def test_all_missing_weights_are_reported_before_anything_is_trained(stage, option):
    with_weights(stage, c=stage.folder / "gone", d=stage.folder / "gone.pth")
    said = stage.refused(option, code=3)
    assert said.startswith("plainfilm: 2 of 4 configurations")
    assert (
        lacking(said, "cannot be trained", "none was started: c:", "gone.pth:", "no such file or run folder", "; d:")
        == []
    )
    stage.run("--only", "a")  # the possible ones can be trained by name


def test_faults_of_different_kinds_end_with_the_code_of_a_config(stage):
    (stage.folder / "empty").mkdir()
    with_weights(stage, c=stage.folder / "gone", d=stage.folder / "empty")
    assert "d: " in stage.refused(code=2)


def test_imagenet_weights_are_searched_first_and_offline_downloads_none(stage, monkeypatch, tmp_path):
    for name in ("TORCH_HOME", "HF_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "nothing"))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    text = stage.file.read_text()
    stage.file.write_text(text.replace("model.dense: 3}", "model.name: resnet18, model.weights: imagenet}"))
    assert "--offline or HF_HUB_OFFLINE forbids" in stage.refused("--offline", code=3)
    tried: list[str] = []
    monkeypatch.setattr("plainfilm.models.find_weights._reachable", lambda host: tried.append(host) or False)
    assert "download.pytorch.org was not reached" in stage.refused(code=3)
    assert tried == ["download.pytorch.org"]  # once for both seeds


def test_norm_hold_without_batch_norm_is_reported_first(stage):
    (stage.folder / "w.pth").write_bytes(b"x")
    file = stage.file.read_text()
    stage.file.write_text(
        file.replace("model.dense: 3}", f"model.weights: {stage.folder / 'w.pth'}, train.norm: hold}}")
    )
    assert lacking(stage.refused(), "b: train.norm:", "hold", "BatchNorm", "'paper' has none") == []


def test_a_configuration_that_cannot_be_timed_does_not_stop_a_dry_run(stage, monkeypatch):
    def train(cfg, out, **options):
        if cfg.model.dense == 3:
            raise DataError("No such images.")
        return stage.train(cfg, out, **options)

    monkeypatch.setattr("plainfilm.pipeline.train.train_run", train)
    done = stage.run("--dry-run", "--json", code=2)
    document = json.loads(done.stdout)
    assert [run["outcome"] for run in document["runs"]] == ["planned", "planned", "failed", "failed"]
    assert document["estimate_seconds"] == 60.0 and stage.trained == []
    last = done.stderr.strip().splitlines()[-1]
    assert lacking(last, "2 of 4 runs could not begin", "b-seed0: No such images") == [] and "are done" not in last


def test_why_a_run_failed_is_in_the_table_until_it_is_trained(stage):
    stage.trouble["b-seed0"] = DataError("The images of '/home/u/Smith, John.png' are gone. Put them back.")
    stage.trouble["b-seed1"] = DivergedError("The loss became nan in epoch 1, step 3. Train again.")
    stage.run(code=5)

    def written() -> str:
        table = ["experiments", "table", str(stage.out / "grid"), "--out", str(stage.folder)]
        assert CliRunner().invoke(app, table).exit_code == 0
        return (stage.folder / "RESULTS.md").read_text()

    page = written()
    assert "failed: The images of ... are gone" in page and "Smith" not in page and "NOT RUN" not in page
    assert lacking(page, "b-seed1 (failed: The loss became nan", "epoch 1, step 3") == []
    assert "failed: The loss became nan" in (stage.folder / "results.csv").read_text()
    stage.run()
    assert "failed:" not in written()


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("The loss became nan in epoch 1. Train again.", "The loss became nan in epoch 1"),
        ("/data/x.png cannot be read (No such file). Check it.", "... cannot be read (No such file)"),
        ("the class 'A B' isn't in \"x y\".", "the class ... isn't in ..."),
        ("C:\\images\\a.png is damaged.", "... is damaged"),
        ("x" * 300, "x" * 117 + "..."),
        ("", ""),
    ],
)
def test_a_reason_names_no_file(message, said):
    assert _why(message) == said


def test_a_run_of_another_config_is_refused_with_what_differs(stage):
    stage.run()
    stage.trained.clear()
    stage.file.write_text(stage.file.read_text().replace("model.dense: 3", "model.dense: 4"))
    said = stage.refused(code=4)
    assert lacking(said, "b-seed0", "another config", "model.dense: 3 there, 4 wanted", "1 more runs") == []


def test_a_run_of_a_newer_version_is_refused(stage):
    stage.run()
    stage.trained.clear()
    config = stage.root("a-seed0") / "config.yaml"
    config.write_text("newer: 1\n" + config.read_text())
    assert "newer: unknown key" in stage.refused()


def test_a_file_where_a_run_should_be_is_refused(stage):
    stage.root("x").parent.mkdir(parents=True)
    stage.root("a-seed0").write_text("")
    assert "is a file; a run folder was expected" in stage.refused(code=4)


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--jobs", "0"], "--jobs 0 would train nothing"),
        (["--jobs", "-2"], "expected 1 or more"),
        (["--jobs", "two"], "a valid integer"),
        (["--only", "c"], "no configuration 'c'; it has a, b"),
        (["--data", "/nowhere/at/all"], "'/nowhere/at/all' does not exist"),
    ],
)
def test_a_wrong_option_is_one_line(stage, args, said):
    assert said in stage.refused(*args)


def test_a_file_without_images_is_refused_with_the_option(stage):
    stage.file.write_text("grid: {train.seed: [0]}")
    assert "names no images. Give a folder" in stage.refused()
    stage.run("--data", stage.data)
    assert stage.trained == ["paper-seed0"]


def test_runs_are_not_written_into_the_images(stage):
    done = CliRunner().invoke(app, ["experiments", "run", str(stage.file), "--out", str(stage.data / "runs")])
    assert done.exit_code == 2 and "is inside DATA" in done.stderr


def test_a_damaged_cost_file_fails_its_run_alone(stage):
    stage.run()
    (stage.root("a-seed0") / "cost.json").write_text("{")
    done = stage.run(code=2)
    assert "cost.json is damaged" in done.stderr


# --- the test set ----------------------------------------------------------------------------------------------------


@pytest.fixture
def evaluated(stage, monkeypatch) -> Stage:
    """evaluate_run records an access and its scores, as the real one does, without a network."""

    def evaluate(root, *, split, on_event=None, **_):
        from plainfilm.evaluate.test_ledger import record_access

        run = RunDir(root)
        stage.evaluated_on_test.append(root.name)
        saved = json.loads(run.metrics.read_text())
        run.metrics.write_text(json.dumps({**saved, "test": {**saved["valid"], "split": "test"}}))
        record_access(run, run.read_status()["seal"], [], {"model_sha256": "x", "inference": True})

    monkeypatch.setattr("plainfilm.pipeline.evaluate.evaluate_run", evaluate)
    return stage


def logged(stage: Stage) -> list[dict]:
    return [json.loads(line) for line in (stage.folder / "looks.jsonl").read_text().splitlines()]


def test_no_run_is_evaluated_on_test_unless_requested(evaluated):
    evaluated.run()
    assert evaluated.evaluated_on_test == [] and not (evaluated.folder / "looks.jsonl").exists()


def test_each_run_is_evaluated_on_test_once_and_the_access_is_logged_beside_the_file(evaluated):
    (evaluated.folder / "looks.jsonl").write_text(
        json.dumps({"model_sha256": None, "what": "an earlier access"}) + "\n"
    )
    evaluated.run()
    assert all(run["test_opened"] for run in json.loads(evaluated.run("--open-test", "--json").stdout)["runs"])
    assert evaluated.evaluated_on_test == FOUR
    evaluated.run("--open-test")
    assert evaluated.evaluated_on_test == FOUR and len(logged(evaluated)) == 5
    access = logged(evaluated)[1]
    assert list(access) == ["time", "test_set", "seal", "what", "seed", "model_sha256", "auroc", "accuracy"]
    assert (access["what"], access["seed"], access["test_set"]) == (
        "experiments/grid.yaml, a",
        0,
        "DATA, patient split",
    )
    card = json.loads((evaluated.root("a-seed0") / "card.json").read_text())
    assert (access["model_sha256"], access["seal"]) == (card["weights_sha256"], card["seal"])


def test_the_table_named_next_has_the_log_beside_the_file_and_what_was_not_run(evaluated):
    evaluated.file.write_text(evaluated.file.read_text() + "about: {title: of a file elsewhere}\n")
    command = json.loads(evaluated.run("--only", "a", "--open-test", "--json").stdout)["next"]
    assert CliRunner().invoke(app, shlex.split(command)[1:]).exit_code == 0
    page = (evaluated.out / "grid" / "RESULTS.md").read_text(encoding="utf-8")
    assert re.search(r"\| *NOT RUN *\| *b ", page) or re.search(r"\| *b .*NOT RUN", page)
    assert lacking(page, "of a file elsewhere", "was accessed 2 times by 1 configurations") == []


def test_next_is_short_where_the_table_finds_the_file_by_itself(evaluated, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "experiments").mkdir()
    file = Path("experiments") / evaluated.file.name
    file.write_text(evaluated.file.read_text())
    evaluated.file, evaluated.out = file, runner.OUT
    assert json.loads(evaluated.run("--only", "a", "--json").stdout)["next"].endswith(f" table {runner.OUT / 'grid'}")


def test_an_access_that_was_not_logged_is_logged_without_another_access(evaluated):
    evaluated.run("--open-test")
    kept = logged(evaluated)[:2]
    (evaluated.folder / "looks.jsonl").write_text("".join(json.dumps(access) + "\n" for access in kept))
    evaluated.run("--open-test")
    assert evaluated.evaluated_on_test == FOUR and len(logged(evaluated)) == 4


def test_a_log_that_cannot_be_read_stops_everything_before_an_access(evaluated):
    (evaluated.folder / "looks.jsonl").write_text("not json\n")
    assert "is not a log of test-set accesses" in evaluated.refused("--open-test")
    assert evaluated.evaluated_on_test == []
