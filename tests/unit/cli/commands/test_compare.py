"""`plainfilm compare`: rows, refusals, and that it reads no image."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner, Result

from plainfilm import __version__
from plainfilm.cli import app


def compare(*args: object, code: int = 0) -> Result:
    done = CliRunner(env={"NO_COLOR": "1", "COLUMNS": "160"}).invoke(app, ["compare", *map(str, args)])
    assert done.exit_code == code, f"{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr
    return done


def refused(*args: object, code: int = 2) -> str:
    lines = compare(*args, code=code).stderr.strip().splitlines()
    assert len(lines) == 1, lines
    return lines[0]


def document(*args: object) -> dict:
    found = json.loads(compare(*args, "--json").stdout)
    assert found["schema_version"] == 1
    return found


def test_the_better_run_comes_first_and_the_other_is_distinguishable(save_run):
    worse, better = save_run("a", skill=0.5), save_run("b", skill=4.0, options={"model.dense": 64})
    found = document(worse.root, better.root)
    assert [row["name"] for row in found["rows"]] == ["b", "a"] and found["best"] == "b"
    assert (found["n"], found["n_patients"]) == (80, 40)
    first, second = found["rows"]
    assert first["differences"] == {}
    difference = second["differences"]["auroc"]
    expected = second["metrics"]["auroc"]["mean"] - first["metrics"]["auroc"]["mean"]
    assert difference["value"] == pytest.approx(expected)
    assert difference["ci_low"] < expected < difference["ci_high"] < 0
    assert difference["p"] == difference["p_holm"] < 0.05 and difference["distinguishable"]
    assert difference["second"] == "obuchowski" and difference["patients"] == 40
    assert second["differences"]["accuracy"]["second"] == "mcnemar, clustered"
    assert "below the best row" in compare(worse.root, better.root).stdout


def test_equal_runs_are_not_distinguishable_and_never_better(save_run):
    runs = [save_run(name, noise=k, options={"model.dense": 60 + k}) for k, name in enumerate("abc", start=1)]
    said = compare(*(run.root for run in runs)).stdout
    assert said.count("not distinguishable from the best row") == 2
    assert "Research use only" in said


def test_p_is_adjusted_for_all_pairs_of_rows_and_not_only_those_with_the_best(save_run):
    """Rows 2 and 3 have the same scores, so their own pair has p 1 and the two others share one p: 3 p, then 2 p."""
    best = save_run("best", skill=2.5, noise=1)
    others = [save_run(name, noise=2, options={"model.dense": dense}) for name, dense in (("x", 60), ("y", 61))]
    found = document(best.root, *(run.root for run in others))
    assert found["best"] == "best"
    one, other = (row["differences"]["auroc"] for row in found["rows"][1:])
    assert one["p"] == other["p"] < 0.3
    assert one["p_holm"] == other["p_holm"] == pytest.approx(3 * one["p"])


def test_identical_scores_have_p_one_and_an_interval_with_a_width(save_run):
    one, other = save_run("a", noise=1), save_run("b", noise=1, options={"model.dense": 64})
    difference = document(one.root, other.root)["rows"][1]["differences"]["auroc"]
    assert (difference["value"], difference["p"]) == (0, 1)
    assert difference["ci_low"] < 0 < difference["ci_high"]


def test_with_one_image_each_the_closed_tests_are_delongs_and_mcnemars(save_run):
    one, other = save_run("a", images=1), save_run("b", images=1, noise=5, options={"model.dense": 64})
    differences = document(one.root, other.root)["rows"][1]["differences"]
    assert (differences["auroc"]["second"], differences["accuracy"]["second"]) == ("delong", "mcnemar, exact")


def test_seeds_of_one_config_are_one_row_with_mean_and_sd(save_run):
    runs = [save_run(f"{name}-seed{seed}", seed=seed, options={"model.dense": dense}, noise=10 * dense + seed)
            for name, dense in (("wide", 128), ("narrow", 8)) for seed in (0, 1, 2)]  # fmt: skip
    found = document(*(run.root for run in runs))
    assert {row["name"] for row in found["rows"]} == {"wide", "narrow"}
    for row in found["rows"]:
        assert row["seeds"] == [0, 1, 2] and row["metrics"]["auroc"]["sd"] > 0
    assert found["rows"][1]["differences"]["auroc"]["pairs"] == 3


def test_seeds_with_different_splits_are_paired_seed_by_seed(save_run):
    runs = [save_run(f"{name}-seed{seed}", seed=seed, first=20 * seed, options={"model.dense": dense}, noise=dense + seed)
            for name, dense in (("wide", 128), ("narrow", 8)) for seed in (0, 1)]  # fmt: skip
    difference = document(*(run.root for run in runs))["rows"][1]["differences"]["auroc"]
    assert difference["pairs"] == 2
    assert difference["patients"] == 60  # 0-39 and 20-59: the twenty in both count once


def test_on_a_given_test_set_rows_whose_seeds_drew_other_valid_images_are_named(save_run):
    """Their test images are the same, so that the scores do not show it."""
    runs = [save_run(f"{name}-seed{seed}", seed=seed, first=20 * seed * moved, looked=True, options={"model.dense": dense})
            for name, dense, moved in (("wide", 128, 1), ("narrow", 8, 0)) for seed in (0, 1)]  # fmt: skip
    notes = document(*(run.root for run in runs), "--split", "test")["notes"]
    assert [note for note in notes if note.startswith("Each seed drew its own split in wide:")]


def test_a_seed_that_only_one_row_has_is_left_out_and_noted(save_run):
    runs = [
        save_run("wide-seed0"),
        save_run("wide-seed1", seed=1, first=20),
        save_run("narrow-seed0", noise=3, options={"model.dense": 8}),
    ]
    found = document(*(run.root for run in runs))
    assert found["rows"][1]["differences"]["auroc"]["pairs"] == 1
    assert any("on 1 of 2 runs" in note for note in found["notes"])


def test_rows_can_be_ranked_by_accuracy(save_run):
    one, other = save_run("a"), save_run("b", noise=5, options={"model.dense": 64})
    found = document(one.root, other.root, "--metric", "accuracy")
    first, second = (row["metrics"]["accuracy"]["mean"] for row in found["rows"])
    assert found["metric"] == "accuracy" and first >= second


def test_the_same_runs_in_another_order_give_the_same_document(save_run):
    one, other = save_run("a"), save_run("b", noise=5, options={"model.dense": 64})
    assert document(one.root, other.root) == document(other.root, one.root)


def test_three_classes_are_compared_by_the_mean_over_them(save_run):
    classes = {"vocab": ("A", "B", "C"), "positive": None}
    one, other = save_run("a", **classes), save_run("b", skill=5, noise=5, options={"model.dense": 64}, **classes)
    found = document(one.root, other.root)
    assert found["best"] == "b" and found["rows"][1]["differences"]["auroc"]["distinguishable"]
    assert found["rows"][0]["metrics"]["sensitivity_at_specificity_90"]["mean"] is None


def test_no_image_file_is_needed(save_run):
    """The paths in the tables of these runs do not exist, and the comparison needs none."""
    one, other = save_run("a"), save_run("b", noise=5, options={"model.dense": 64})
    assert "/data/" in one.table.read_text() and not one.root.joinpath("/data/NORMAL").exists()
    compare(one.root, other.root)


def test_test_scores_are_compared_only_if_both_runs_were_evaluated_on_test(save_run):
    one, other = save_run("a", looked=True), save_run("b", noise=5, options={"model.dense": 64})
    assert "No test-set access is recorded" in refused(one.root, other.root, "--split", "test")
    assert not other.predictions("test").exists() and not other.ledger.exists()
    third = save_run("c", noise=6, options={"model.dense": 32}, looked=True)
    assert document(one.root, third.root, "--split", "test")["split"] == "test"
    assert len(one.ledger.read_text().splitlines()) == 1  # no access was added


def test_a_ledger_that_was_edited_is_refused(save_run):
    one, other = save_run("a", looked=True), save_run("b", looked=True, noise=5, options={"model.dense": 64})
    one.ledger.write_text(one.ledger.read_text().replace('"inference": true', '"inference": false'))
    assert "was edited" in refused(one.root, other.root, "--split", "test")


def test_different_test_sets_are_refused_by_their_seals(save_run):
    one = save_run("a", looked=True)
    other = save_run("b", looked=True, patients=30, noise=5, options={"model.dense": 64})
    assert "different test sets" in refused(one.root, other.root, "--split", "test")


# --- refusals --------------------------------------------------------------------------------------------------------


def test_one_run_is_not_enough(save_run):
    assert "at least two" in refused(save_run("a").root)


def test_the_same_run_by_another_path_is_refused(save_run, tmp_path):
    run = save_run("a").root
    assert "given twice" in refused(run, run.parent / ".." / run.parent.name / "a")


def test_a_copy_of_a_run_is_not_a_second_seed(save_run):
    runs = [save_run("a"), save_run("b"), save_run("c", options={"model.dense": 64})]
    assert "same config and seed" in refused(*(run.root for run in runs))


def test_seeds_of_one_config_alone_are_refused(save_run):
    assert "differ only in their seed" in refused(save_run("a-seed0").root, save_run("a-seed1", seed=1).root)


def test_another_seed_with_another_split_is_no_repeat_and_cannot_be_paired(save_run):
    said = refused(save_run("first run").root, save_run("second", seed=1, first=20).root)
    for fact in ("differ only in their seed", "another split", "80 and 80", "40 in both", "--split split.csv"):
        assert fact in said


def test_an_unfinished_run_is_refused_with_its_resume_command(save_run):
    said = refused(save_run("a").root, save_run("b", status="interrupted").root)
    assert "'interrupted', not 'done'" in said and "plainfilm resume" in said


def test_different_classes_are_refused(save_run):
    other = save_run("b", vocab=("NORMAL", "TB"), positive="TB", options={"model.dense": 64})
    assert "only runs of the same classes" in refused(save_run("a").root, other.root)


def test_another_positive_class_is_refused(save_run):
    other = save_run("b", positive="NORMAL", options={"model.dense": 64})
    assert "--positive" in refused(save_run("a").root, other.root)


def test_different_valid_images_are_refused_with_the_number_shared(save_run):
    said = refused(save_run("a").root, save_run("b", first=30, options={"model.dense": 64}).root)
    assert "80 and 80, 20 in both" in said


def test_a_folder_that_is_not_a_run_and_a_missing_one_are_refused(save_run, tmp_path):
    assert "not a run folder" in refused(save_run("a").root, tmp_path)
    assert "not a run folder" in refused(tmp_path / "nowhere", tmp_path)


def test_a_run_of_a_newer_version_is_refused_with_both_versions(save_run):
    one, other = save_run("a"), save_run("b")
    other.config.write_text("newer_key: 1\n" + other.config.read_text())
    other.environment.write_text(json.dumps({"plainfilm": "9.0.0"}))
    said = refused(one.root, other.root)
    assert f"made by plainfilm 9.0.0, this is {__version__}" in said and "newer_key: unknown key" in said


@pytest.mark.parametrize(("option", "value"), [("--split", "train"), ("--metric", "f1")])
def test_other_splits_and_metrics_are_refused(save_run, option, value):
    assert "cannot be compared; expected" in refused(save_run("a").root, save_run("b").root, option, value)


# --- floors, margins, folds ------------------------------------------------------------------------------------------


def test_a_p_that_is_the_fewest_of_its_draws_is_printed_as_a_bound(save_run):
    worse, better = save_run("a", skill=0.3), save_run("b", skill=4.0, options={"model.dense": 64})
    said = compare(worse.root, better.root).stdout
    assert "<= 0.0001" in said and "p <=: the fewest these draws can show." in said
    assert "not adjusted" not in said  # one comparison: there is nothing to adjust
    equal = compare(better.root, save_run("c", skill=4.0, noise=3, options={"model.dense": 32}).root).stdout
    assert "<=" not in equal


def test_limits_beside_an_adjusted_p_are_said_not_to_be_adjusted(save_run):
    runs = [save_run(name, noise=k, options={"model.dense": 60 + k}) for k, name in enumerate("abc", start=1)]
    said = compare(*(run.root for run in runs)).stdout
    assert "Limits are not adjusted for the 3 comparisons; p is." in said


def test_a_margin_gives_a_verdict_for_each_row(save_run):
    runs = [save_run("a", skill=4.0, patients=200), save_run("b", skill=3.9, patients=200, options={"model.dense": 64}),
            save_run("c", skill=0.5, patients=200, options={"model.dense": 32})]  # fmt: skip
    found = document(*(run.root for run in runs), "--margin", "0.05")
    verdicts = {row["name"]: row["differences"]["auroc"]["verdict"] for row in found["rows"][1:]}
    assert found["margin"] == 0.05 and sorted(verdicts.values()) == ["different", "equivalent"]
    said = compare(*(run.root for run in runs), "--margin", "0.05").stdout
    assert (
        "margin 0.05" in said
        and "equivalent within 0.05" in said
        and "Margin 0.05, of AUROC and accuracy alike" in said
    )
    assert "equivalent" not in compare(*(run.root for run in runs)).stdout


@pytest.mark.parametrize("margin", ["0", "-0.01", "1", "nan"])
def test_a_margin_that_is_no_difference_is_refused(save_run, margin):
    said = refused(save_run("a").root, save_run("b", options={"model.dense": 64}).root, "--margin", margin)
    assert f"--margin {float(margin):g} is no difference" in said and "--margin 0.01" in said


def test_folds_are_said_to_be_folds(save_run):
    runs = [save_run(f"{name}-fold{fold}-seed0", first=40 * fold, noise=dense + fold,
                     options={"model.dense": dense, "data.split": "kfold", "data.folds": 3, "data.fold": fold})
            for name, dense in (("wide", 128), ("narrow", 8)) for fold in range(3)]  # fmt: skip
    said = compare(*(run.root for run in runs)).stdout
    assert said.count("1 (3 folds)") == 2 and "Folds are pooled" in said and "±" not in said
