"""`experiments table`: rows checked by hand from saved runs, a page that keeps other text, and refusals."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner, Result

from plainfilm.base.files import dump_json
from plainfilm.cli import app
from plainfilm.errors import DataError
from plainfilm.experiments import held_out
from plainfilm.experiments.markdown import _aligned, _begin, _end, put_section
from plainfilm.experiments.results_csv import put_rows
from plainfilm.plots import learning_curve
from plainfilm.runs.folder import RunDir
from wording import lacking

WIDE, NARROW = {"model.dense": 128}, {"model.dense": 8}


def table(*args: object, code: int = 0) -> Result:
    done = CliRunner(env={"NO_COLOR": "1", "COLUMNS": "400"}).invoke(app, ["experiments", "table", *map(str, args)])
    assert done.exit_code == code, f"{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr
    return done


def refused(*args: object) -> str:
    lines = table(*args, code=2).stderr.strip().splitlines()
    assert len(lines) == 1, lines
    return lines[0]


@pytest.fixture
def grid(save_run, tmp_path) -> Path:
    """Two configurations of three seeds, 'wide' the better one."""
    for seed in (0, 1, 2):
        save_run(
            f"narrow-seed{seed}", root=tmp_path / "runs" / "race", seed=seed, skill=0.5, options=NARROW, noise=seed
        )
        save_run(f"wide-seed{seed}", root=tmp_path / "runs" / "race", seed=seed, skill=2, options=WIDE, noise=10 + seed)
    return tmp_path / "runs" / "race"


@pytest.fixture
def out(tmp_path) -> Path:
    (tmp_path / "results").mkdir()
    return tmp_path / "results"


def rows(out: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((out / "results.csv").read_text(encoding="utf-8").splitlines()))


def test_a_row_is_the_mean_and_sd_of_its_seeds_ranked_on_valid(grid, out):
    table(grid, "--out", out)
    first, second = rows(out)
    assert (first["configuration"], first["rank"], second["configuration"]) == ("wide", "1", "narrow")
    values = [
        json.loads((grid / f"wide-seed{k}" / "metrics.json").read_text())["valid"]["metrics"]["auroc"] for k in range(3)
    ]
    assert float(first["valid_auroc_mean"]) == pytest.approx(np.mean([m["value"] for m in values]))
    assert float(first["valid_auroc_sd"]) == pytest.approx(np.std([m["value"] for m in values], ddof=1))
    assert float(first["valid_auroc_low"]) == pytest.approx(np.mean([m["ci_low"] for m in values]))
    assert (first["seeds"], first["valid_n"], first["valid_patients"]) == ("0 1 2", "80", "40")
    assert float(first["train_minutes"]) == pytest.approx((60 + 61 + 62) / 180)
    assert second["to_best_distinguishable"] == "True" and float(second["to_best_value"]) < 0
    assert first["to_best_value"] == ""


def test_a_section_names_the_versions_that_trained_its_runs(grid, out):
    (grid / "wide-seed0" / "environment.json").write_text('{"plainfilm": "0.3.1"}')
    table(grid, "--out", out)
    assert "- Trained by: plainfilm 0.1.0, 0.3.1\n" in (out / "RESULTS.md").read_text(encoding="utf-8")


def test_the_page_is_readable_as_plain_text(grid, out):
    table(grid, "--out", out)
    page = (out / "RESULTS.md").read_text(encoding="utf-8")
    assert "## race" in page and "Research use only" in page
    line = next(line for line in page.splitlines() if "| wide" in line)
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells[:3] == ["1", "wide", "3"] and "the best" in line
    assert re.fullmatch(r"0\.\d{3} ± 0\.\d{3} \[0\.\d{3}, [01]\.\d{3}\].*", cells[3])
    for block in re.findall(r"(?:^\|.*\n)+", page, flags=re.MULTILINE):
        assert len({len(line) for line in block.splitlines()}) == 1  # columns are aligned
    (alternative,) = re.findall(r"!\[([^\]]+)\]\(figures/race\.png\)", page)  # alternative text
    assert (
        lacking(alternative, "AUROC on valid", "training time") == [] and "latency" not in alternative
    )  # not measured
    assert (out / "figures" / "race.png").read_bytes().startswith(b"\x89PNG")
    assert str(out) not in page and str(grid.parent) not in page  # no path of this machine


def test_equal_configurations_are_reported_as_not_distinguishable(save_run, tmp_path, out):
    for k, options in enumerate((WIDE, NARROW)):
        save_run(f"{'ab'[k]}-seed0", root=tmp_path / "runs" / "even", options=options, noise=k)
    table(tmp_path / "runs" / "even", "--out", out)
    assert "not distinguishable from the best row, p " in (out / "RESULTS.md").read_text(encoding="utf-8")


def test_a_p_at_its_floor_and_unadjusted_limits_say_so(save_run, tmp_path, out):
    """Three rows, three pairs: 3 x 1/10,000 after Holm."""
    for k, (name, skill) in enumerate((("a", 4.0), ("b", 3.9), ("c", 0.2))):
        save_run(
            f"{name}-seed0", root=tmp_path / "runs" / "floor", skill=skill, noise=k, options={"model.dense": 60 + k}
        )
    table(tmp_path / "runs" / "floor", "--out", out)
    page = (out / "RESULTS.md").read_text(encoding="utf-8")
    line = next(line for line in page.splitlines() if "| c " in line)
    assert lacking(line, "p <= 0.0003 (the fewest these draws can show)") == []
    assert lacking(page, "Limits are not adjusted for the 3 comparisons; p is.") == []
    worst = next(row for row in rows(out) if row["configuration"] == "c")
    assert (worst["to_best_p_holm_is_floor"], worst["to_best_comparisons"]) == ("True", "3")
    assert float(worst["to_best_p"]) == 1 / 10_000 and worst["to_best_verdict"] == ""


def test_a_margin_adds_a_verdict_to_each_row(grid, out):
    table(grid, "--out", out, "--margin", "0.9")
    page = (out / "RESULTS.md").read_text(encoding="utf-8")
    line = next(line for line in page.splitlines() if "| narrow" in line)
    assert lacking(line, "equivalent within 0.9") == [] and lacking(page, "Margin 0.9", "90 % limits") == []
    assert rows(out)[1]["to_best_verdict"] == "equivalent" and float(rows(out)[1]["to_best_margin"]) == 0.9
    table(grid, "--out", out)
    assert "equivalent" not in (out / "RESULTS.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("margin", ["0", "-0.1", "1", "nan"])
def test_a_margin_that_is_none_is_refused_before_anything_is_written(grid, out, margin):
    assert "--margin" in refused(grid, "--out", out, "--margin", margin)
    assert list(out.iterdir()) == []


def test_a_row_is_worse_only_if_its_seeds_say_so_too(save_run, tmp_path, out):
    """One seed of three is far better: other patients would not change the mean, another training would."""
    skills = {"a": (2.0, 2.0, 2.0), "b": (1.9, 1.9, 0.2)}
    for name, options in (("a", WIDE), ("b", NARROW)):
        for seed, skill in enumerate(skills[name]):
            save_run(f"{name}-seed{seed}", root=tmp_path / "runs" / "luck", seed=seed, skill=skill, options=options,
                     noise=7, patients=200)  # fmt: skip
    table(tmp_path / "runs" / "luck", "--out", out)
    first, second = rows(out)
    aurocs = [
        [json.loads((tmp_path / f"runs/luck/{name}-seed{k}/metrics.json").read_text())["valid"]["metrics"]["auroc"]["value"]
         for k in range(3)] for name in "ab"
    ]  # fmt: skip
    moved = np.subtract(aurocs[1], aurocs[0])
    half = 4.302653 * np.std(moved, ddof=1) / np.sqrt(3)  # t, two degrees of freedom
    assert float(second["to_best_seeds_low"]) == pytest.approx(moved.mean() - half, abs=1e-6)
    assert float(second["to_best_seeds_high"]) == pytest.approx(moved.mean() + half, abs=1e-6)
    assert first["configuration"] == "a" and float(second["to_best_p_holm"]) < 0.05
    assert second["to_best_distinguishable"] == "False"
    page = (out / "RESULTS.md").read_text(encoding="utf-8")
    assert (
        lacking(
            page, "not distinguishable from the best row", "p <= 0.0001 (the fewest these draws can show); over seeds"
        )
        == []
    )


def test_where_the_number_of_train_images_varies_rows_of_one_number_are_tested(save_run, tmp_path, out):
    for name, skill in (("scratch", 0.3), ("weights", 1.0)):
        for n, more in ((10, 0.0), (400, 2.0)):
            options = {**(WIDE if name == "weights" else NARROW), "data.per_class": n}
            save_run(f"{name}-per_class_{n}-seed0", root=tmp_path / "runs" / "few", skill=skill + more, options=options)
    table(tmp_path / "runs" / "few", "--out", out)
    page = (out / "RESULTS.md").read_text(encoding="utf-8")
    ranked = {line.split("|")[2].strip(): line for line in page.splitlines() if re.match(r"\| +\d", line)}
    assert "the best of 10 images" in ranked["weights-per_class_10"] and "the best " in ranked["weights-per_class_400"]
    found = {row["configuration"]: row for row in rows(out)}
    aurocs = {name: float(row["valid_auroc_mean"]) for name, row in found.items()}
    assert float(found["scratch-per_class_10"]["to_best_value"]) == pytest.approx(
        aurocs["scratch-per_class_10"] - aurocs["weights-per_class_10"]
    )
    assert lacking(page, "the best of the same number of train images") == []


def add_train_images(run: RunDir, **of_class: int) -> None:
    """Train rows in the table of a saved run, which has none."""
    found = pd.read_csv(run.table, dtype=str, keep_default_na=False)
    more = [
        found[:1].assign(label=label, split="train", path=f"/data/{label}{i}.png", relative=f"{label}{i}.png")
        for label, n in of_class.items() for i in range(n)
    ]  # fmt: skip
    pd.concat([found, *more]).to_csv(run.table, index=False, lineterminator="\n")


def test_rows_of_all_train_images_are_compared_and_drawn_at_the_size_of_the_smallest_class(
    save_run, tmp_path, out, monkeypatch
):
    for name, options, skill in (("scratch", NARROW, 0.3), ("weights", WIDE, 1.0)):
        for n, part in ((10, "10"), (None, "all")):
            run = save_run(f"{name}-per_class_{part}-seed0", root=tmp_path / "runs" / "few",
                           skill=skill + (1 if n else 0), options={**options, "data.per_class": n})  # fmt: skip
            add_train_images(run, NORMAL=40, PNEUMONIA=70)
    drawn = {}
    real = learning_curve.plot_sizes
    monkeypatch.setattr(learning_curve, "plot_sizes", lambda lines, *more: drawn.update(lines=lines, whole=more[-1]) or real(lines, *more))  # fmt: skip
    table(tmp_path / "runs" / "few", "--out", out)
    page = (out / "RESULTS.md").read_text(encoding="utf-8")
    ranked = {line.split("|")[2].strip(): line for line in page.splitlines() if re.match(r"\| +\d", line)}
    assert "the best of all images" in ranked["weights-per_class_all"]
    assert drawn["whole"] == {40}
    assert {name: sorted(line[:, 0]) for name, line in drawn["lines"].items()} == {
        "scratch": [10, 40],
        "weights": [10, 40],
    }


def test_notes_say_why_rows_are_not_comparable(grid, save_run, out):
    (grid / "wide-seed0" / "predictions" / "valid-shifted.csv").write_text("x")
    save_run("late-seed0", root=grid, options={"model.dense": 5})
    table(grid, "--out", out)
    page = (out / "RESULTS.md").read_text(encoding="utf-8")
    notes = [line for line in page.splitlines() if "NOTE: " in line]
    assert any(lacking(note, "Ranked on valid", "6 of 7 runs", "valid-shifted") == [] for note in notes)
    assert any(lacking(note, "fewer seeds", "(3)", "late 1") == [] for note in notes)


def test_every_access_of_the_project_to_the_same_test_set_is_counted(save_run, tmp_path, out):
    run = save_run("a-seed0", root=tmp_path / "runs" / "seal", looked=True)
    seal = json.loads(run.card.read_text())["seal"]
    accesses = [(seal, "by hand"), (seal, "a"), (seal, "a"), ("f" * 64, "another set")]
    lines = [json.dumps({"seal": s, "what": what, "model_sha256": "0"}) for s, what in accesses]
    (out / "looks.jsonl").write_text("\n".join(lines) + "\n")
    table(tmp_path / "runs" / "seal", "--out", out)
    lines = (out / "RESULTS.md").read_text(encoding="utf-8").splitlines()
    (line,) = (line for line in lines if f"seal {seal[:8]}" in line)
    assert lacking(line, "3 times by 2 configurations", "looks.jsonl", "by hand (1), a (2)") == []


def test_sensitivity_at_fixed_specificity_counted_by_hand(save_run, tmp_path, out):
    run = save_run("a-seed0", root=tmp_path / "runs" / "one", images=1)
    table(tmp_path / "runs" / "one", "--out", out)
    lines = list(csv.DictReader(run.predictions("valid").read_text().splitlines()))
    negative = sorted(float(line["prob_PNEUMONIA"]) for line in lines if line["label"] == "NORMAL")
    positive = [float(line["prob_PNEUMONIA"]) for line in lines if line["label"] == "PNEUMONIA"]
    assert len(negative) == 20  # at least 18 of 20 must stay below: the threshold is above the 18th
    expected = np.mean([score > negative[17] for score in positive])
    assert float(rows(out)[0]["valid_sensitivity_at_specificity_90_mean"]) == pytest.approx(expected)
    loss = np.mean([-np.log(float(line[f"prob_{line['label']}"])) for line in lines])
    assert float(rows(out)[0]["valid_log_loss_mean"]) == pytest.approx(loss)


def test_the_rank_never_comes_from_the_test_set(save_run, tmp_path, out):
    root = tmp_path / "runs" / "seal"
    poor = save_run("poor-seed0", root=root, skill=0.5, noise=1, options=WIDE, looked=True)
    save_run("good-seed0", root=root, skill=4, noise=2, options=NARROW, looked=True)
    saved = json.loads(poor.metrics.read_text())
    saved["test"]["metrics"]["auroc"]["value"] = 1.0
    poor.metrics.write_text(json.dumps(saved))
    poor.predictions("test").unlink()  # of a run without a manifest: nothing says that these are not its numbers
    table(root, "--out", out)
    first, second = rows(out)
    assert first["configuration"] == "good" and float(second["test_auroc_mean"]) == 1.0
    assert (first["test_looks"], first["test_runs"]) == ("1", "1")
    assert "### Test set" in (out / "RESULTS.md").read_text(encoding="utf-8")


def test_the_shortcut_baseline_is_beside_the_test_scores(save_run, tmp_path, out):
    root = tmp_path / "runs" / "probed"
    for seed, value in ((0, 0.7), (1, 0.8)):
        run = save_run(f"a-seed{seed}", root=root, seed=seed, looked=True)
        saved = json.loads(run.metrics.read_text())
        metric = {**saved["test"]["metrics"]["auroc"], "value": value}
        saved["test"]["no_lungs_needed"] = {"best": "thumbnail 8x8", "auroc": metric, "probes": {}}
        run.metrics.write_text(json.dumps(saved))
    save_run("b-seed0", root=root, looked=True, options=NARROW)
    table(root, "--out", out)
    found = {row["configuration"]: row["test_no_lungs_auroc_mean"] for row in rows(out)}
    assert float(found["a"]) == pytest.approx(0.75) and found["b"] == ""
    head, _, *body = (out / "RESULTS.md").read_text(encoding="utf-8").partition("### Test set\n\n")[2].splitlines()[:4]
    place = [cell.strip() for cell in head.split("|")].index("AUROC, shortcut baseline")
    cells = {line.split("|")[1].strip(): line.split("|")[place].strip() for line in body}
    assert cells["a"].startswith("0.750 ± 0.071") and cells["b"] == "-"


def test_there_are_no_test_columns_before_an_evaluation_on_test(grid, out):
    table(grid, "--out", out)
    assert "### Test set" not in (out / "RESULTS.md").read_text(encoding="utf-8")
    assert not any(row["test_auroc_mean"] for row in rows(out))
    assert {row["test_looks"] for row in rows(out)} == {"0"}


def test_test_scores_without_a_recorded_access_are_not_shown(save_run, tmp_path, out):
    run = save_run("a-seed0", root=tmp_path / "runs" / "one")
    saved = json.loads(run.metrics.read_text())
    run.metrics.write_text(json.dumps({**saved, "test": saved["valid"]}))
    table(tmp_path / "runs" / "one", "--out", out)
    assert rows(out)[0]["test_auroc_mean"] == ""


def test_the_shortcut_baseline_is_its_own_row(save_run, tmp_path, out):
    for seed, value in ((0, 0.6), (1, 0.8)):
        run = save_run(f"a-seed{seed}", root=tmp_path / "runs" / "probe", seed=seed)
        saved = json.loads(run.metrics.read_text())
        auroc = {
            "value": value,
            "ci_low": value - 0.1,
            "ci_high": value + 0.1,
            "n": 80,
            "n_patients": 40,
            "method": "m",
        }
        saved["valid"]["no_lungs_needed"] = {
            "best": "thumbnail 8x8",
            "auroc": auroc,
            "probes": {"thumbnail 8x8": auroc},
        }
        run.metrics.write_text(json.dumps(saved))
    table(tmp_path / "runs" / "probe", "--out", out)
    last = rows(out)[-1]
    assert last["configuration"] == "shortcut baseline (thumbnail 8x8)" and last["rank"] == ""
    assert float(last["valid_auroc_mean"]) == pytest.approx(0.7)
    assert "shortcut baseline (thumbnail 8x8)" in (out / "RESULTS.md").read_text(encoding="utf-8")


def test_configurations_of_the_file_that_were_not_run_say_not_run(grid, out):
    (out / "race.yaml").write_text(
        "about: {title: who is best, command: 'plainfilm experiments run experiments/race.yaml --data images'}\n"
        "configurations: [{name: wide}, {name: narrow, model.dense: 8}, {name: huge, model.dense: 999}, {name: vast, model.dense: 9999, skip: takes hours}]"
    )
    section = json.loads(table(grid, "--out", out, "--json").stdout)["sections"][0]
    assert (section["best"], section["not_run"], section["runs"]) == ("wide", ["huge", "vast"], 6)
    page = (out / "RESULTS.md").read_text(encoding="utf-8")
    assert "## race: who is best" in page and "NOT RUN" in page
    for name in ("wide", "huge"):
        assert f"`plainfilm experiments run experiments/race.yaml --data images --only {name}`" in page
    assert [row["status"] for row in rows(out)] == ["done", "done", "NOT RUN", "NOT RUN: takes hours"]


def test_a_file_alone_gives_a_section_of_rows_not_run(out, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (out / "later.yaml").write_text("configurations: [{name: a}, {name: b, model.dense: 3}]")
    document = json.loads(table(out / "later.yaml", "--out", out, "--json").stdout)
    assert document["sections"][0]["not_run"] == ["a", "b"] and document["figures"] == []


def test_unfinished_runs_are_in_no_row_and_named(grid, out, save_run):
    save_run("wide-seed3", root=grid, seed=3, options=WIDE, status="interrupted")
    save_run("other-seed0", root=grid, options={"model.dense": 5}, status="diverged")
    said = table(grid, "--out", out).stdout
    assert "wide-seed3 (interrupted)" in said
    found = {row["configuration"]: row for row in rows(out)}
    assert found["wide"]["seeds"] == "0 1 2" and found["other"]["status"] == "diverged"


def test_rows_on_other_images_are_ranked_and_not_tested(save_run, tmp_path, out):
    save_run("a-seed0", root=tmp_path / "runs" / "apart", options=WIDE)
    save_run("b-seed0", root=tmp_path / "runs" / "apart", options=NARROW, first=500)
    table(tmp_path / "runs" / "apart", "--out", out)
    assert "not tested: different images" in (out / "RESULTS.md").read_text(encoding="utf-8")


def test_writing_a_section_again_keeps_the_others_and_text_by_hand(grid, save_run, tmp_path, out):
    save_run("a-seed0", root=tmp_path / "runs" / "other")
    table(tmp_path / "runs" / "other", "--out", out)
    page = out / "RESULTS.md"
    page.write_text(page.read_text(encoding="utf-8") + "\nA remark by hand.\n", encoding="utf-8")
    table(grid, "--out", out)
    once = page.read_text(encoding="utf-8")
    table(grid, "--out", out)
    assert page.read_text(encoding="utf-8") == once  # the same runs, the same page
    table(tmp_path / "runs" / "other", "--out", out)
    assert page.read_text(encoding="utf-8") == once
    assert once.count("## other") == once.count("## race") == once.count("A remark by hand.") == 1
    assert {row["experiment"] for row in rows(out)} == {"other", "race"} and len(rows(out)) == 3


def test_a_folder_of_experiments_gives_a_section_each(grid, save_run, tmp_path, out):
    save_run("a-seed0", root=tmp_path / "runs" / "other")
    document = json.loads(table(tmp_path / "runs", "--out", out, "--json").stdout)
    assert [section["experiment"] for section in document["sections"]] == ["other", "race"]


def test_a_section_replaces_its_old_text():
    page = put_section("", "a", "one")
    page = put_section(page, "b", "two")
    page = put_section(page, "a", "three")
    assert "one" not in page.partition(_begin("a"))[2] and page.index("three") < page.index("two")
    with pytest.raises(DataError, match="2 opening and 1 closing marks of 'a'"):
        put_section(page + _begin("a"), "a", "x")
    with pytest.raises(DataError, match="marks"):
        put_section(f"{_end('c')} {_begin('c')}", "c", "x")


def test_a_bar_in_a_name_does_not_break_the_table():
    assert _aligned(["a", "b"], [["x|y", "z"]]) == ["| a    | b   |", "| ---- | --- |", "| x\\|y | z   |"]


def test_the_columns_are_those_of_the_repositorys_own_table_whatever_was_run(grid, out):
    table(grid, "--out", out)
    own = (Path(__file__).parents[3] / "experiments" / "results.csv").read_text(encoding="utf-8").splitlines()[0]
    assert (out / "results.csv").read_text(encoding="utf-8").splitlines()[0] == own


def test_another_experiment_rewrites_no_row(grid, save_run, tmp_path, out):
    table(grid, "--out", out)
    before = (out / "results.csv").read_text(encoding="utf-8").splitlines()
    save_run("a-seed0", root=tmp_path / "runs" / "other", looked=True)
    save_run("b-seed0", root=tmp_path / "runs" / "other", looked=True, options=NARROW)
    table(tmp_path / "runs" / "other", "--out", out)
    after = (out / "results.csv").read_text(encoding="utf-8").splitlines()
    assert after[: len(before)] == before and len(after) == len(before) + 2


def test_results_lie_beside_their_runs_and_a_checkout_stays_as_it_is(save_run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    grid = Path("runs") / "experiments" / "race"
    save_run("wide-seed0", root=grid)
    tracked = tmp_path / "experiments"
    tracked.mkdir()
    (tracked / "RESULTS.md").write_text("by hand")
    (tracked / "race.yaml").write_text("configurations: [{name: wide}, {name: huge, model.dense: 999}]")
    assert json.loads(table(grid, "--json").stdout)["page"] == str(grid / "RESULTS.md")
    assert {"RESULTS.md", "results.csv", "figures"} <= {path.name for path in grid.iterdir()}
    assert sorted(path.name for path in tracked.iterdir()) == ["RESULTS.md", "race.yaml"]
    assert (tracked / "RESULTS.md").read_text() == "by hand"
    assert "| huge" in (grid / "RESULTS.md").read_text(encoding="utf-8")  # the file there still names what was not run
    table(grid, "--out", "experiments")
    assert (tracked / "results.csv").is_file()


def test_several_folders_need_a_place_for_their_table(grid, save_run, tmp_path):
    save_run("a-seed0", root=tmp_path / "elsewhere" / "other")
    said = refused(grid, tmp_path / "elsewhere")
    assert lacking(said, "2 folders", "--out FOLDER") == []


def test_two_runs_of_ones_own_with_other_seeds_and_splits_are_two_rows(save_run, tmp_path, out):
    root = tmp_path / "runs" / "mine"
    save_run("first run", root=root)
    save_run("second", root=root, seed=1, first=20)
    table(root, "--out", out)
    assert [(row["configuration"], row["seeds"]) for row in sorted(rows(out), key=lambda row: row["seeds"])] == [
        ("first run (seed 0, own split)", "0"), ("second (seed 1, own split)", "1"),
    ]  # fmt: skip
    assert "not tested: different images" in (out / "RESULTS.md").read_text(encoding="utf-8")


def test_a_name_given_by_hand_makes_no_grid(save_run, tmp_path, out):
    """Without cost.json, which `experiments run` writes."""
    root = tmp_path / "runs" / "mine"
    for seed in (1, 2):
        save_run(f"paper-seed{seed}", root=root, seed=seed, first=20 * seed).cost.unlink()
    table(root, "--out", out)
    assert [row["seeds"] for row in sorted(rows(out), key=lambda row: row["seeds"])] == ["1", "2"]


def test_two_runs_of_ones_own_on_the_same_images_are_seeds_of_one_row(save_run, tmp_path, out):
    root = tmp_path / "runs" / "mine"
    save_run("first run", root=root)
    save_run("second", root=root, seed=1)
    table(root, "--out", out)
    (row,) = rows(out)
    assert (row["configuration"], row["seeds"]) == ("first run, second", "0 1")
    assert "drew its own split" not in (out / "RESULTS.md").read_text(encoding="utf-8")


def test_a_grid_whose_seeds_drew_their_own_splits_is_one_row_and_says_so(save_run, tmp_path, out):
    for seed in (0, 1):
        save_run(f"a-seed{seed}", root=tmp_path / "runs" / "own", seed=seed, first=20 * seed)
    table(tmp_path / "runs" / "own", "--out", out)
    assert [row["seeds"] for row in rows(out)] == ["0 1"]
    page = (out / "RESULTS.md").read_text(encoding="utf-8")
    assert lacking(page, "Each seed drew its own split in a") == []


def test_folds_of_one_partition_are_one_row_of_all_their_images(save_run, tmp_path, out):
    """Counted by hand from the saved scores: no mean over folds, no sd, no limits over "seeds"."""
    folds = {"data.split": "kfold", "data.folds": 5}
    runs = [save_run(f"f{fold}", root=tmp_path / "runs" / "folds", first=40 * fold, test_first=1000 + 40 * fold,
                     options={**folds, "data.fold": fold}, looked=True, noise=fold) for fold in range(5)]  # fmt: skip
    table(tmp_path / "runs" / "folds", "--out", out)
    (row,) = rows(out)
    assert (row["configuration"], row["seeds"], row["folds"]) == ("f0, f1, f2, f3, f4", "0", "5 folds")
    for split, column in (("valid", "valid_auroc"), ("test", "test_auroc")):
        lines = [line for run in runs for line in csv.DictReader(run.predictions(split).read_text().splitlines())]
        scores = np.array([float(line["prob_PNEUMONIA"]) for line in lines])
        truth = np.array([line["label"] == "PNEUMONIA" for line in lines])
        assert float(row[f"{column}_mean"]) == pytest.approx((scores[truth][:, None] > scores[~truth]).mean())
        assert row[f"{column}_sd"] == ""
    assert float(row["test_sensitivity_mean"]) == pytest.approx((scores[truth] >= 0.5).mean())
    assert (row["valid_n"], row["valid_patients"], row["test_runs"]) == ("400", "200", "5")
    page = (out / "RESULTS.md").read_text(encoding="utf-8")
    assert lacking(page, "1 (5 folds)", "5 of 5", "Folds are pooled", "400 (200)") == []
    assert "drew its own split" not in page and "over seeds" not in page and "±" not in page


def test_an_unfinished_fold_is_said(save_run, tmp_path, out):
    for name, folds, options in (("a", 3, WIDE), ("b", 2, NARROW)):
        for fold in range(folds):
            save_run(f"{name}-fold{fold}-seed0", root=tmp_path / "runs" / "some", first=40 * fold,
                     options={**options, "data.split": "kfold", "data.folds": 3, "data.fold": fold})  # fmt: skip
    table(tmp_path / "runs" / "some", "--out", out)
    page = (out / "RESULTS.md").read_text(encoding="utf-8")
    assert lacking(page, "1 (3 folds)", "1 (2 of 3 folds)", "not tested: different images") == []
    assert lacking(page, "Rows with fewer folds than the others (3): b 2") == []


def test_the_probes_of_folds_are_a_mean_without_spread(save_run, tmp_path, out):
    for fold, value in enumerate((0.6, 0.8, 0.85)):
        run = save_run(f"a-fold{fold}-seed0", root=tmp_path / "runs" / "probe", first=40 * fold,
                       options={"data.split": "kfold", "data.folds": 3, "data.fold": fold})  # fmt: skip
        metrics = json.loads(run.metrics.read_text())
        auroc = {**metrics["valid"]["metrics"]["auroc"], "value": value}
        metrics["valid"]["shortcut_baseline"] = {"best": "thumbnail 8x8", "auroc": auroc, "probes": {}, "beyond": auroc}
        run.metrics.write_text(json.dumps(metrics))
    table(tmp_path / "runs" / "probe", "--out", out)
    row, probe = rows(out)
    for found, name in ((probe, "valid_auroc"), (row, "valid_beyond_shortcut")):
        assert float(found[f"{name}_mean"]) == pytest.approx(0.75)
        assert (found[f"{name}_sd"], found[f"{name}_low"], found[f"{name}_high"]) == ("", "", "")


def test_columns_that_come_later_leave_older_rows_empty(tmp_path):
    path = tmp_path / "results.csv"
    path.write_text(put_rows(path, [{"experiment": "a", "x": 0.1, "command": "c"}]))
    found = list(csv.DictReader(put_rows(path, [{"experiment": "b", "y": None, "command": "d"}]).splitlines()))
    assert [(row["experiment"], row["x"], row["y"], row["command"]) for row in found] == [
        ("a", "0.1", "", "c"),
        ("b", "", "", "d"),
    ]


# --- refusals --------------------------------------------------------------------------------------------------------


def test_a_folder_without_runs_an_empty_one_and_none_are_refused(tmp_path, out, monkeypatch):
    (tmp_path / "empty" / "sub").mkdir(parents=True)
    assert "has no run folder" in refused(tmp_path / "empty", "--out", out)
    assert "is not a folder" in refused(tmp_path / "nowhere", "--out", out)
    monkeypatch.chdir(tmp_path)
    assert "is not a folder. Train first" in refused("--out", out)
    assert list(out.iterdir()) == []


def test_a_run_itself_is_refused_with_the_folder_that_holds_it(grid, out):
    assert f"give the folder that holds the runs: {grid}" in refused(grid / "wide-seed0", "--out", out)


def test_two_folders_of_one_name_are_refused(grid, save_run, tmp_path, out):
    save_run("a-seed0", root=tmp_path / "elsewhere" / "race")
    assert "Two folders are named 'race'" in refused(grid, tmp_path / "elsewhere" / "race", "--out", out)


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("config.yaml", "newer: 1\n", "newer: unknown key"),
        ("status.json", "{", "is damaged"),
        ("card.json", "{}", "cannot be read"),
        ("metrics.json", "{}", "is damaged"),
        ("cost.json", dump_json({"schema_version": 2}), "of a newer version"),
        ("predictions/valid.csv", "path,label\n", "is damaged"),
    ],
)
def test_a_damaged_or_newer_file_of_a_run_is_named_and_nothing_is_written(grid, out, file, text, said):
    (grid / "wide-seed1" / file).write_text(text)
    message = refused(grid, "--out", out)
    assert said in message and "wide-seed1" in message
    assert list(out.iterdir()) == []


def test_a_csv_that_is_not_a_table_of_experiments_is_kept(grid, out):
    (out / "results.csv").write_text("a,b\n1,2\n")
    assert "no column 'experiment'" in refused(grid, "--out", out)
    assert (out / "results.csv").read_text() == "a,b\n1,2\n" and not (out / "RESULTS.md").exists()


def test_a_damaged_experiment_file_beside_the_page_is_named(grid, out):
    (out / "race.yaml").write_text("grid: {train.seed: []}")
    assert "The experiment's file cannot be used" in refused(grid, "--out", out)


def test_a_damaged_metrics_file_is_one_line(save_run, tmp_path, out):
    """A block that is lost, one of another kind, and one that is no object."""
    run = save_run("wide-seed0", root=tmp_path / "runs" / "race", options=WIDE, patients=12)
    saved = json.loads(run.metrics.read_text())
    lost = {name: value for name, value in saved["valid"].items() if name != "confusion"}
    for part in (lost, saved["valid"] | {"shortcut_baseline": {"auroc": 3}}, saved["valid"] | {"metrics": []}):
        run.metrics.write_text(json.dumps({**saved, "valid": part}))
        said = refused(run.root.parent, "--out", out)
        assert lacking(said, "metrics.json of", "Make it again") == [], said
    assert list(out.iterdir()) == []


def test_the_numbers_of_each_run_are_compared_once(save_run, tmp_path, out, monkeypatch):
    compared: list[tuple[str, str]] = []
    monkeypatch.setattr(
        held_out, "refuse_other_numbers", lambda run, found: compared.append((run.root.name, found[0].split))
    )
    for name, options in (("wide-seed0", WIDE), ("narrow-seed0", NARROW)):
        save_run(name, root=tmp_path / "runs" / "race", options=options, patients=12, looked=True)
    table(tmp_path / "runs" / "race", "--out", out)
    assert sorted(compared) == [(name, split) for name in ("narrow-seed0", "wide-seed0") for split in ("test", "valid")]
