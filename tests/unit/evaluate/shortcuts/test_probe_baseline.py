"""The shortcut baseline: fitted on the train rows alone, and no damaged file changes it silently."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from plainfilm.config import load_config
from plainfilm.evaluate.finished import FinishedRun
from plainfilm.evaluate.shortcuts.probe_baseline import (
    probe_features,
    probe_valid,
    read_train_probes,
    shortcut_baseline,
    shortcut_note,
    unknown_note,
)
from plainfilm.runs.folder import RunDir
from plainfilm.schemas.documents import Metric, ShortcutBaseline
from wording import lacking

VOCAB = ["A", "B"]
Refusal = Callable[..., str]


class FakeCard:
    vocab, positive, positive_index, has_patients = VOCAB, "B", 1, True


def rows_of(n: int, seed: int = 0) -> pd.DataFrame:
    """Half of the images in each class; B has the longer files. Every image is a patient."""
    rng = np.random.default_rng(seed)
    label = np.array(VOCAB)[np.arange(n) % 2]
    return pd.DataFrame({
        "label": label, "split": np.repeat(["train", "valid", "test"], [n - 2 * (n // 4), n // 4, n // 4]),
        "group": np.arange(n), "patient": [f"p{i}" for i in range(n)], "sha256": [f"{i:064x}" for i in range(n)],
        "bytes": rng.normal(1000, 30, n).round() + 200 * (label == "B"),
        "width": 32, "height": 32, "channels": 1, "quantisation": 0,
    })  # fmt: skip


def pixels_of(rows: pd.DataFrame, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (len(rows), 32, 32), dtype=np.uint8)


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    return RunDir(tmp_path / "run")


def learn(run: RunDir, rows: pd.DataFrame, pixels: np.ndarray) -> str | None:
    part = (rows["split"] != "test").to_numpy()
    known = rows[part].reset_index(drop=True)
    return probe_valid(run, known, probe_features(known, pixels[part]), VOCAB, "B", has_patients=True).best


def finished(run: RunDir, rows: pd.DataFrame) -> FinishedRun:
    return FinishedRun(run, FakeCard(), load_config(), rows)


def row_of(run: RunDir, part: pd.DataFrame, sure: float = 0.9) -> ShortcutBaseline | None:
    """The row beside a network that is always right."""
    right = np.where(part["label"] == "B", sure, 1 - sure)
    return shortcut_baseline(finished(run, part), "valid", np.column_stack([1 - right, right]))


def test_the_network_is_scored_on_the_pairs_that_the_best_probe_ranks_wrongly(run: RunDir) -> None:
    rows = rows_of(400)
    rows["bytes"] -= 150 * (rows["label"] == "B")  # the shortcut is left, and weak
    assert learn(run, rows, pixels_of(rows)) == "file facts"
    valid = rows[rows["split"] == "valid"]
    right, wrong = row_of(run, valid), row_of(run, valid, sure=0.1)
    assert right is not None and right.beyond is not None and right.beyond.value == 1
    assert wrong is not None and wrong.beyond is not None and wrong.beyond.value == 0
    scores = pd.read_csv(run.probe_scores("valid"))["file facts: B"].to_numpy()
    bad = scores[valid["label"] == "B", None] < scores[valid["label"] == "A"]
    assert right.beyond.n == bad.any(0).sum() + bad.any(1).sum()


def test_the_planted_shortcut_is_the_best_probe_and_its_row_is_read_back(run: RunDir) -> None:
    rows = rows_of(120)
    assert learn(run, rows, pixels_of(rows)) == "file facts"
    found = row_of(run, rows[rows["split"] == "valid"])
    assert found is not None
    assert found.best == "file facts"
    assert found.auroc is not None
    assert found.auroc.value is not None
    assert found.auroc.value > 0.95
    assert (found.auroc.n, found.auroc.n_patients) == (30, 30)
    assert found.difference is not None
    assert found.difference.value == pytest.approx(1 - found.auroc.value)  # the network is always right
    assert (found.difference.n, found.difference.n_patients) == (30, 30)


def test_only_the_train_rows_teach(run: RunDir) -> None:
    """Other labels in valid and test, and other test images, change no score of another row."""
    rows, pixels = rows_of(120), pixels_of(rows_of(120))
    learn(run, rows, pixels)
    valid = pd.read_csv(run.probe_scores("valid"))
    test = rows["split"] == "test"
    probes = read_train_probes(finished(run, rows))
    assert probes is not None
    first = probes.score(rows[test], pixels[test.to_numpy()], VOCAB)
    other = rows.copy()
    other.loc[rows["split"] != "train", "label"] = "A"
    other.loc[rows["split"] == "valid", "label"] = np.roll(rows.loc[rows["split"] == "valid", "label"], 1)
    learn(run, other, pixels)
    pd.testing.assert_frame_equal(pd.read_csv(run.probe_scores("valid")), valid)
    again = read_train_probes(finished(run, other))
    assert again is not None
    assert again.score(other[test], pixels[test.to_numpy()], VOCAB) == first
    changed = pixels[test.to_numpy()].copy()
    changed[0] = 0
    second = again.score(other[test], changed, VOCAB).splitlines()
    assert second[1] != first.splitlines()[1]
    assert second[2:] == first.splitlines()[2:]


def damage_features(run: RunDir) -> Path:
    run.probe_features.write_bytes(b"xx")
    return run.probe_features


def flip_feature(run: RunDir) -> Path:
    data = bytearray(run.probe_features.read_bytes())
    data[-3] ^= 1
    run.probe_features.write_bytes(data)
    return run.probe_features


def lose_features(run: RunDir) -> Path:
    run.probe_features.unlink()
    return run.probe_features


def damage_index(run: RunDir) -> Path:
    run.probes.write_text('{"columns": 7}')
    return run.probes


@pytest.mark.parametrize("damage", [damage_features, flip_feature, lose_features, damage_index])
def test_damaged_train_probes_are_refused_before_an_access(
    run: RunDir, refusal: Refusal, damage: Callable[[RunDir], Path]
) -> None:
    rows = rows_of(120)
    learn(run, rows, pixels_of(rows))
    path = damage(run)
    assert f"{path} is missing or damaged" in refusal(lambda: read_train_probes(finished(run, rows)))


@pytest.mark.parametrize(
    "edit",
    [
        lambda frame: frame.head(3),
        lambda frame: frame.iloc[::-1],
        lambda frame: frame.rename(columns={"file facts: B": "x"}),
        lambda frame: frame.assign(**{"file facts: B": "much"}),
        lambda frame: frame.drop(columns="sha256"),
    ],
)
def test_edited_scores_are_refused_by_name(run: RunDir, refusal: Refusal, edit: Callable) -> None:
    rows = rows_of(120)
    learn(run, rows, pixels_of(rows))
    path = run.probe_scores("valid")
    edit(pd.read_csv(path, dtype=str)).to_csv(path, index=False)
    valid = rows[rows["split"] == "valid"]
    assert f"{path} is missing or damaged" in refusal(lambda: row_of(run, valid))


def test_a_run_without_the_audit_has_no_row(run: RunDir) -> None:
    rows = rows_of(40)
    assert read_train_probes(finished(run, rows)) is None
    assert row_of(run, rows) is None


def test_too_few_patients_are_noted_and_stop_nothing(run: RunDir) -> None:
    rows = rows_of(40)
    rows.loc[(rows["label"] == "A") & (rows["split"] == "train"), "group"] = 0
    assert learn(run, rows, pixels_of(rows)) is None
    found = row_of(run, rows[rows["split"] == "valid"])
    assert found is not None
    assert (found.best, found.auroc, found.difference) == (None, None, None)
    assert {metric.value for metric in found.probes.values()} == {None}
    assert all("fewer than 2 patients" in metric.method for metric in found.probes.values())


def test_the_banner_names_the_best_and_the_others() -> None:
    def metric(low: float | None) -> Metric:
        value = None if low is None else low + 0.1
        return Metric(value=value, ci_low=low, ci_high=None if low is None else 1.0, n=10, n_patients=5, method="m")

    assert shortcut_note({"a": metric(0.6), "b": metric(None)}, "on valid") == []
    notes = shortcut_note({"a": metric(0.65), "b": metric(0.8), "c": metric(0.5)}, "on valid")
    (note,) = notes
    assert note.startswith("SHORTCUT: ") and "AUROC 0.900 [0.800, 1.000]" in note
    assert lacking(note, "on valid", "the b alone") == [] and note.endswith("(also above 0.6: a).")


def test_probes_of_several_facts_reach():
    """'the file facts ... reaches' was wrong."""
    sure = Metric(value=0.9, ci_low=0.8, ci_high=0.95, n=9, n_patients=9, method="m")
    for name, verb in (
        ("file facts", "reach"),
        ("picture statistics (plain pixels)", "reach"),
        ("border ring", "reaches"),
    ):
        (said,) = shortcut_note({name: sure}, "on valid")
        assert f"the {name} alone, without fine detail, {verb} AUROC 0.9" in said


def test_where_no_probe_can_be_judged_one_note_says_so_and_why(run: RunDir):
    rows = rows_of(40)
    rows["split"] = ["train"] * 36 + ["valid"] * 4
    rows.loc[rows["split"] == "valid", "label"] = ["A", "B", "A", "A"]  # one patient of B
    pixels = pixels_of(rows)
    found = probe_valid(run, rows, probe_features(rows, pixels), VOCAB, "B", has_patients=True).probes
    (said,) = unknown_note(found, "on valid")
    assert lacking(said, "NO SHORTCUT BASELINE", "not known (1 patient with images of a class") == []
    assert shortcut_note(found, "on valid") == [] == unknown_note({}, "on valid")
    known = next(iter(found.values())).model_copy(update={"value": 0.5})
    assert unknown_note({**found, "one": known}, "on valid") == []
