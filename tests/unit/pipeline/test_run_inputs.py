"""The inputs of a run are read back unchanged, and any change since is reported."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from plainfilm.base.events import silent
from plainfilm.config import load_config
from plainfilm.errors import ConfigError, DataError
from plainfilm.evaluate.test_ledger import seal_of
from plainfilm.pipeline.prepare import prepare
from plainfilm.pipeline.run_inputs import _DECISIVE, _SHOWN, read_inputs, write_inputs
from plainfilm.runs.folder import RunDir
from plainfilm.runs.run_manifest import seal_files, write_file


@pytest.fixture
def cfg(tiny_cxr):
    return load_config(options={"data.path": str(tiny_cxr), "train.size_px": 24, "train.lr": 0.002})


@pytest.fixture
def ready(cfg):
    return prepare(cfg, silent)


@pytest.fixture
def run(tmp_path, cfg, ready):
    run = RunDir(tmp_path / "run")
    run.make()
    write_inputs(run, cfg, ready, {"device": "cpu", "threads": 2}, seal=seal_of(ready.split.of("test")))
    return run


def refused(run, *words):
    with pytest.raises(DataError) as error:
        read_inputs(run)
    for word in words:
        assert word in str(error.value), str(error.value)
    assert "\n" not in str(error.value)
    return str(error.value)


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_everything_is_there_again_without_a_scan(run, cfg, ready):
    found = read_inputs(run)
    assert found.cfg == cfg
    assert (found.environment.device, found.environment.threads) == ("cpu", 2)
    assert (found.ready.counts, found.ready.positive, found.ready.spec) == (ready.counts, ready.positive, ready.spec)
    assert found.ready.vocab == ready.vocab
    assert (found.ready.split.kind, found.ready.split.leaky, found.ready.split.notes) == (
        ready.split.kind, ready.split.leaky, ready.split.notes
    )  # fmt: skip
    for part in ("train", "valid", "test"):
        pd.testing.assert_frame_equal(found.ready.split.of(part), ready.split.of(part), check_dtype=False)
    assert found.ready.table.has_patients == ready.table.has_patients


@pytest.mark.parametrize(
    ("name", "old", "new", "words"),
    [
        ("config.yaml", "lr: 0.002", "lr: 0.02", ["config.yaml train.lr: 0.002 then, 0.02 now"]),
        ("config.yaml", "seed: 0", "seed: 1", ["config.yaml data.phantom.seed: 0 then, 1 now"]),
        ("table.csv", ",train\n", ",valid\n", ["table.csv: edited or deleted since"]),
        ("data.json", '"found": 32', '"found": 33', ["data.json: edited"]),
        ("environment.json", '"numpy": "', '"numpy": "0.', ["numpy: '0.", "then, '"]),
        ("environment.json", '"plainfilm": "', '"plainfilm": "0.', ["plainfilm: '0."]),
        ("environment.json", '"pydicom": "', '"pydicom": "0.', ["pydicom: '0."]),
        ("environment.json", '"torch":', '"tortch":', ["torch: None then"]),
        ("environment.json", '"threads"', '"thraeds"', ["environment.json is missing or damaged"]),
        ("checkpoints/start.json", '"leaky"', '"leeky"', ["start.json is missing or damaged"]),
        ("checkpoints/start.json", '"fold"', '"felt"', ["config.yaml data.felt: 0 then, 'nothing' now"]),
    ],
)
def test_a_change_is_reported_with_the_old_value(run, name, old, new, words):
    edit(run.root / name, old, new)
    if name == "environment.json":
        refused(run, "environment.json", "not the file that was written")
        seal_files(run, run.environment)  # as another installation would have written it
    refused(run, *words)


@pytest.mark.parametrize("name", ["table.csv", "data.json", "environment.json", "checkpoints/start.json"])
@pytest.mark.parametrize("damage", [None, b"", b"\x00{"])
def test_a_missing_or_damaged_input_is_reported(run, name, damage):
    path = run.root / name
    path.unlink() if damage is None else path.write_bytes(damage)
    refused(run, path.name)


def test_every_version_that_decides_the_bits_is_recorded_and_compared(run):
    recorded = json.loads(run.environment.read_text())
    assert set(_DECISIVE) <= {"plainfilm", *recorded["libraries"]}
    for name in _DECISIVE[1:]:
        assert f'"{name}": "' in run.environment.read_text()


def test_an_invalid_config_is_reported_as_such(run):
    run.config.write_text("train: [\n")
    with pytest.raises(ConfigError, match="config.yaml"):
        read_inputs(run)


def test_comments_and_order_in_the_config_change_nothing_but_its_hash(run, cfg):
    """Resumed with it, the finished run would be refused by every command."""
    sections = run.config.read_text().split("\ndata:")
    run.config.write_text("# mine\n" + sections[0] + "\n# here\ndata:" + sections[1])
    refused(run, "config.yaml of", "not the file that was written")
    seal_files(run, run.config)
    assert read_inputs(run).cfg == cfg


def test_changed_and_lost_images_of_train_and_valid_are_counted_and_named(run, ready, write_image):
    rows = ready.split.rows
    paths = list(rows.loc[rows["split"] != "test", "path"])
    for path in paths[: _SHOWN + 2]:
        with open(path, "ab") as file:
            file.write(b"\x00")
    line = refused(run, "changed since the scan", "and 2 more")
    assert line.count("changed since the scan") == _SHOWN
    assert "Restore what changed" in line


def test_a_lost_image_is_named(run, ready):
    row = ready.split.of("valid").iloc[0]
    (run.root.parent / "tiny_cxr" / row["relative"]).unlink()
    refused(run, row["relative"], "cannot be opened (No such file")


def test_the_test_images_are_not_opened(run, ready):
    """They are sealed, and a resumed training needs none of them."""
    for relative in ready.split.of("test")["relative"]:
        (run.root.parent / "tiny_cxr" / relative).unlink()
    assert read_inputs(run).cfg


def test_new_images_are_ignored(run, ready, write_image, tiny_cxr):
    first = next(tiny_cxr.rglob("*.png"))
    (tiny_cxr / "NORMAL" / "phantom-99999-1.png").write_bytes(first.read_bytes() + b"\x00")
    assert len(read_inputs(run).ready.split.rows) == len(ready.split.rows)


def test_the_last_file_written_shows_that_the_others_exist(tmp_path, cfg, ready, monkeypatch):
    from plainfilm.pipeline import run_inputs

    written = []
    whole = run_inputs.atomic_write
    monkeypatch.setattr(
        run_inputs, "atomic_write", lambda path, content: (written.append(path.name), whole(path, content))
    )
    run = RunDir(tmp_path / "other")
    run.make()
    write_inputs(run, cfg, ready, {"device": "cpu", "threads": 2}, seal=None)
    assert written[-1] == "start.json"
    assert json.loads(run.start.read_text())["config"]["train"]["lr"] == 0.002


def test_a_run_that_timed_its_steps_before_it_began_is_read(run):
    start = json.loads(run.start.read_text())
    assert "estimate_seconds" not in start
    run.start.write_text(json.dumps(start | {"estimate_seconds": 1.5}))
    assert read_inputs(run).cfg.train.epochs > 0


@pytest.mark.parametrize(("began", "said"), [("bf16", "fp32"), ("fp32", "bf16"), ("bf16", "fp64"), ("bf16", None)])
def test_an_edited_precision_is_refused(run, began, said):
    start, environment = json.loads(run.start.read_text()), json.loads(run.environment.read_text())
    run.start.write_text(json.dumps(start | {"precision": began}))
    environment["speed"] = {k: v for k, v in environment["speed"].items() if k != "precision"}
    environment["speed"] |= {"precision": said} if said else {}
    write_file(run, run.environment, json.dumps(environment))
    refused(run, f"environment.json precision: {began!r} then, {said or 'fp32'!r} now")
