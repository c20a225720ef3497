"""The caveats on the first screen, one cause at a time."""

from __future__ import annotations

import shutil

import pandas as pd
import pytest
from report_edits import FAILED, UNDECIDED, edit_card, edit_metrics, rename_files, save_heat, with_heat

from plainfilm.data.table.saved_table import read_table
from plainfilm.errors import DataError
from plainfilm.evaluate.access_chain import read_chain
from plainfilm.evaluate.test_ledger import check_before_access, record_access
from plainfilm.pipeline.report import report_run
from plainfilm.report.caveats import caveats
from plainfilm.report.claim import _TOPICS, claim_items
from plainfilm.report.run_data import read_reported_run
from plainfilm.runs.folder import RunDir
from wording import lacking

UNTESTED = "Shortcuts not tested"


def levels(run: RunDir) -> dict[str, str]:
    """Title -> level of each caveat except UNTESTED, which has its own test."""
    return {c.title: c.level for c in caveats(read_reported_run(run)) if c.title != UNTESTED}


def probe(low: float | None, value: float | None = 0.7) -> dict:
    auroc = {"value": value, "ci_low": low, "ci_high": 0.8, "n": 80, "n_patients": 40, "method": "obuchowski/logit"}
    baseline = {"best": "thumbnail 8x8", "auroc": auroc, "probes": {"thumbnail 8x8": auroc}}
    return {"shortcut_baseline": baseline, "no_lungs_needed": baseline}  # both keys, as evaluate writes them


def test_a_clean_test_score_has_one_quiet_line(finish):
    assert levels(finish()) == {"Evaluated on the test set once": "fact"}


def test_without_a_test_set_access_it_is_no_test_score(finish):
    found = levels(finish(looked=False))
    assert found == {"No test score": "stop", "Chosen on these images": "mind"}


def test_each_further_access_is_reported(finish):
    run = finish()
    rows = read_table(run)
    for _ in range(2):
        seal, looks = check_before_access(run, rows[rows["split"] == "test"])
        record_access(run, seal, looks, {"model_sha256": "x", "inference": False})
    assert levels(run) == {"Evaluated on the test set 3 times": "mind"}


def test_accesses_to_external_sets_are_none_to_the_test_set(finish, monkeypatch, tmp_path):
    """They are in the same ledger, under another seal."""
    for name, looked in (("one", True), ("two", False)):
        run = finish(name, looked=looked, seed=int(looked))
        record_access(run, "e" * 64, read_chain(run.ledger), {"model_sha256": "x", "inference": True, "external": True})
        found = read_reported_run(run)
        assert (len(found.accesses), found.accesses_external) == (int(looked), 1)
        if looked:
            assert "Evaluated on the test set once" in levels(run)
            shutil.rmtree(run.root.parent / ".looks")  # else the other run counts this access
            monkeypatch.setenv("PLAINFILM_HOME", str(tmp_path / "another user"))
        else:
            assert any("still sealed" in caveat.text for caveat in caveats(found))
        report_run(run.root)
        page = (run.root / "report.html").read_text(encoding="utf-8")
        said = "test set <b>1 time</b>" if looked else "it is still sealed"
        assert lacking(page, said, "external images 1 time") == []


def test_accesses_of_other_runs_are_reported(finish):
    run, other = finish("one"), finish("two", seed=1)
    assert levels(run) == {"Evaluated on the test set once": "mind"}
    shutil.rmtree(other.root)  # the ledger of the set stays
    assert any("2 times in total by all runs" in caveat.text for caveat in caveats(read_reported_run(run)))


@pytest.mark.parametrize(("low", "raised"), [(0.601, True), (0.6, False), (0.52, False), (None, False)])
def test_a_probe_with_its_interval_above_the_limit_raises_the_banner(finish, low, raised):
    run = finish()
    edit_metrics(run, "test", **probe(low))
    titles = [caveat.title for caveat in caveats(read_reported_run(run))]
    assert ("Shortcut" in titles) is raised and UNTESTED not in titles


def test_a_run_without_probes_says_that_shortcuts_are_untested(finish):
    assert {c.title: c.level for c in caveats(read_reported_run(finish()))}[UNTESTED] == "mind"


def test_the_banner_says_when_the_network_is_no_better(finish):
    run = finish(skill=0.1)
    edit_metrics(run, "test", **probe(0.95, 0.99))
    text = next(c.text for c in caveats(read_reported_run(run)) if c.title == "Shortcut")
    assert (
        "thumbnail 8x8 alone" in text
        and "0.990" in text
        and text.endswith("The network is no better than this baseline.")
    )


def against(value: float, p: float | None, probe_block: dict) -> dict:
    """The probes' block with the difference of the network to the best of them."""
    found = {
        "value": value,
        "ci_low": value - 0.009,
        "ci_high": value + 0.009,
        "n": 80,
        "n_patients": 40,
        "method": "m",
        "p": p,
    }
    baseline = {**probe_block["shortcut_baseline"], "difference": {**found, "p_is_floor": p == 0.0001}}
    return {"shortcut_baseline": baseline, "no_lungs_needed": baseline}


@pytest.mark.parametrize(
    ("value", "p", "level", "says"),
    [
        (
            0.2,
            0.0001,
            "fact",
            "+0.200 [+0.191, +0.209], p <= 0.0001 (the fewest these draws can show): better than it.",
        ),
        (0.004, 0.35, "stop", "+0.004 [-0.005, +0.013], p 0.350: not distinguishable from it."),
        (-0.02, 0.01, "stop", "-0.020 [-0.029, -0.011], p 0.010: worse than it."),
        (0.0, None, "mind", "m."),
    ],
)
def test_the_difference_to_the_best_probe_is_on_the_first_screen(finish, value, p, level, says):
    run = finish()
    edit_metrics(run, "test", **against(value, p, probe(0.55)))
    (caveat,) = [c for c in caveats(read_reported_run(run)) if c.title == "Against the shortcut baseline"]
    assert (caveat.level, caveat.on_top) == (level, True)
    assert caveat.text == f"AUROC above the best shortcut probe (thumbnail 8x8): {says}"
    report_run(run.root)
    first, _, rest = (run.root / "report.html").read_text(encoding="utf-8").partition("<nav")
    assert "AUROC above the best shortcut probe" in first and "AUROC above the best shortcut probe" not in rest


def test_a_run_of_an_earlier_version_has_no_difference_and_no_line(finish):
    run = finish()
    edit_metrics(run, "test", **probe(0.55))
    assert "Against the shortcut baseline" not in levels(run)


def test_the_banner_names_the_highest_probe_of_the_table_and_the_one_chosen_on_valid(finish):
    run = finish()
    block = probe(0.55, 0.690)
    baseline = block["shortcut_baseline"]
    baseline["probes"]["image statistics"] = {**baseline["auroc"], "value": 0.750, "ci_low": 0.626, "ci_high": 0.843}
    edit_metrics(run, "test", **block)
    (text,) = [c.text for c in caveats(read_reported_run(run)) if c.title == "Shortcut"]
    assert text.startswith("AUROC 0.750 [0.626, 0.843] on these images from the image statistics alone")
    assert "(the thumbnail 8x8, best on valid: 0.690 [0.550, 0.800])" in text


def test_no_caveat_begins_with_its_title(finish):
    run = finish()
    edit_metrics(
        run, "test", **probe(0.7), notes=[f"{ONE_SET}: valid has 59 patients, and 100 are needed to split it."]
    )
    found = caveats(read_reported_run(run))
    assert {c.title for c in found} >= {"Shortcut", "One valid set", "Evaluated on the test set once"}
    stutter = [c.title for c in found if c.text.casefold().startswith(c.title.casefold())]
    assert stutter == [] and not any(c.text.startswith("This run was evaluated on its") for c in found)
    assert not any(c.title == "Note" for c in found)


ONE_SET = "ONE VALID SET is used for model selection (the epoch) and for temperature, threshold, and abstain band and OOD gate where it has them"


def test_notes_of_the_run_are_repeated(finish):
    run = finish()
    notes = [
        "LEAKY SPLIT: images, not patients, were divided at random; 9 patients in two parts.",
        "SHORTCUT: AUROC 0.9 [0.8, 0.95] on valid needs no detail of a lung.",
        "No patient key: each image counts as its own patient; the intervals are likely too narrow.",
        "FEW IMAGES: 20 train images of each class.",
        "NO OOD GATE: fewer than 49 valid images to set its limit.",
        "Something that a later version says.",
    ]
    edit_metrics(run, "test", notes=notes)
    found = levels(run)
    assert found == {
        "Leaky split": "stop",
        "Shortcut": "stop",
        "Patients unknown": "mind",
        "Few images": "mind",
        "No OOD gate": "mind",
        "Note": "mind",
        "Evaluated on the test set once": "fact",
    }
    assert list(found.values()) == sorted(found.values(), key=["stop", "mind", "fact"].index)


def test_a_run_without_test_images_says_so_once(finish):
    run = finish(looked=False)
    edit_metrics(run, "valid", notes=["VALIDATION ONLY: there is no test folder, so no number here is a test score."])
    edit_card(run, seal=None)
    run.write_status("done", seal=None)
    found = caveats(read_reported_run(run))
    assert [c.title for c in found] == ["No test score", UNTESTED] and "no test set" in found[0].text


def test_drawn_images_are_named_whoever_gave_the_folder_and_whichever_version_trained(finish):
    run = finish()
    rows = pd.read_csv(run.table, dtype=str, keep_default_na=False)
    assert "Drawn images" not in levels(run)
    drawn = {name: f"{name.rpartition('/')[0]}/phantom-{i:05d}-1.png" for i, name in enumerate(rows["relative"])}
    rename_files(run, drawn)
    rows = pd.read_csv(run.table, dtype=str, keep_default_na=False)
    rows.assign(mode="L", width=64, height=64, bytes=64 * 65 + 68).to_csv(run.table, index=False, lineterminator="\n")
    assert "path: /data" in run.config.read_text(encoding="utf-8")
    assert levels(run)["Drawn images"] == "mind"
    edit_metrics(run, "test", notes=["DRAWN IMAGES: all images are phantoms."])  # as a run of this version says it
    said = [c.text for c in caveats(read_reported_run(run)) if c.title == "Drawn images"]
    assert said == ["All images are phantoms."]


def test_the_checklist_has_44_items_each_listed_once(finish):
    filled, missing = claim_items(read_reported_run(finish()))
    numbers = [item.number for item in filled] + [n for n, _ in missing]
    assert sorted(numbers) == list(range(1, 45)) == sorted(_TOPICS)
    assert len(filled) >= 12
    assert {n for n, _ in missing} >= {5, 8, 11, 14, 16, 33, 34, 36, 40, 44}  # a run has no data on these


def test_the_checklist_says_what_the_run_did(finish):
    run = finish()
    said = {item.number: item.text for item in claim_items(read_reported_run(run))[0]}
    assert "2 files" in said[12] and "163 files found, 160 used of 80 patients" in said[35]
    assert said[20].startswith("Disjoint ") and lacking(said[20], "patients", "identical images") == []
    edit_card(run, leaky=True)
    assert {i.number: i.text for i in claim_items(read_reported_run(run))[0]}[20].startswith("NOT disjoint")


def item_31(run: RunDir) -> str:
    return {item.number: item.text for item in claim_items(read_reported_run(run))[0]}[31]


def about_heat(run: RunDir) -> dict[str, tuple[str, bool]]:
    """Title -> level and whether it is on the first screen, of the caveats at the heat maps."""
    return {c.title: (c.level, c.on_top) for c in caveats(read_reported_run(run)) if c.about_heat}


def test_heat_maps_that_failed_are_a_caveat_on_the_first_screen_and_at_the_maps(finish):
    run = with_heat(finish(), "failed", FAILED)
    assert about_heat(run) == {"Heat maps do not show what the score depends on": ("stop", True)}
    assert "FAILED" in item_31(run) and FAILED in item_31(run)


def test_too_few_images_are_a_caveat_at_the_maps_alone_and_no_failure(finish):
    run = with_heat(finish(), "not_enough_images", UNDECIDED)
    title = "Not enough images to tell whether these heat maps can be trusted"
    assert about_heat(run) == {title: ("mind", False)}
    assert item_31(run).endswith("on 8 valid images: not enough images to tell.") and "FAILED" not in item_31(run)


def test_heat_maps_that_passed_need_no_caveat(finish):
    run = with_heat(finish(), "passed", "Removing the hottest patches first lowers the score sooner.")
    assert about_heat(run) == {} and item_31(run).endswith("on 8 valid images: both checks passed.")


def test_heat_maps_of_a_run_that_saved_no_verdict_are_not_said_to_have_passed(finish):
    run = with_heat(finish(), None)
    ((title, shown),) = about_heat(run).items()
    assert title.startswith("Not known") and shown == ("mind", False)
    assert "not known" in item_31(run) and "passed." not in item_31(run)
    text = next(c.text for c in caveats(read_reported_run(run)) if c.about_heat)
    assert "plainfilm interpret RUN" in text


def test_a_run_without_heat_maps_says_so_and_a_left_over_verdict_counts_for_nothing(finish):
    run = finish()
    save_heat(run, {"deletion": "failed", "randomised": "passed"}, [FAILED])
    assert about_heat(run) == {} and item_31(run).startswith("Heat maps were not made")


def test_a_damaged_verdict_is_one_line_with_the_remedy(finish):
    run = with_heat(finish(), "failed", FAILED)
    run.heat_checks.write_text("{", encoding="utf-8")
    with pytest.raises(DataError) as error:
        read_reported_run(run)
    assert lacking(str(error.value), "heat_checks.json", "damaged", "plainfilm interpret") == []


REWORDED = "Taking the hottest places away first does nothing: the maps are wrong."


@pytest.mark.parametrize("check", ["deletion", "randomised"])
def test_the_saved_verdict_counts_and_not_the_words_of_its_sentence(finish, check):
    run = with_heat(finish(), "passed", "x")
    says = {"deletion": "Fine.", "randomised": "Fine."} | {check: REWORDED}
    verdicts = dict.fromkeys(says, "passed") | {check: "failed"}
    save_heat(run, verdicts, [*says.values(), "50% of the heat is in the middle."])
    ((title, shown),) = about_heat(run).items()
    assert title.startswith("Heat maps do not ") and shown == ("stop", True)
    assert [c.text for c in caveats(read_reported_run(run)) if c.about_heat] == [REWORDED]
    assert item_31(run).endswith(f"FAILED. {REWORDED}")
    save_heat(run, verdicts, [])  # no sentence at all
    assert about_heat(run) == {title: ("stop", True)} and item_31(run).endswith("FAILED.")


def test_maps_of_a_score_that_hardly_depends_on_the_image_are_a_caveat_at_the_maps(finish):
    run = with_heat(
        finish(), "not_judged", "THE SCORE HARDLY DEPENDS ON DETAIL: it changes by 0, so the maps cannot be judged."
    )
    title = "These heat maps cannot be judged: the score hardly depends on detail"
    assert about_heat(run) == {title: ("mind", False)}
    assert "not judged" in item_31(run) and lacking(item_31(run), "changes by 0") == []
    assert "passed" not in item_31(run) and "FAILED" not in item_31(run)


def test_whole_patients_are_named_only_where_they_are_known(finish):
    run = finish()
    said = {item.number: item.text for item in claim_items(read_reported_run(run))[0]}
    assert "whole patients" in said[19].casefold()
    edit_card(run, has_patients=False)
    said = {item.number: item.text for item in claim_items(read_reported_run(run))[0]}
    assert "whole patients" not in said[19].casefold() and "no patient key is known" in said[19]


def test_identity_recognition_is_the_first_caveat(finish):
    run = finish()
    edit_metrics(
        run, "test", notes=["IDENTITY RECOGNITION: every class is one patient; the score tells identities apart."]
    )
    assert levels(run)["Identity recognition"] == "stop"


def test_series_of_one_class_are_a_grave_caveat_and_the_split_is_named(finish):
    run = finish()
    note = "CLASS AND SERIES ARE CONFOUNDED: in test, the series held out ('IM') are of 'NORMAL'."
    edit_metrics(run, "test", notes=["HELD-OUT SERIES: test is 'IM', of 3 series.", note])
    edit_card(run, split="group")
    found = levels(run)
    assert (found["Class and series are confounded"], found["Held-out series"]) == ("stop", "mind")
    assert {item.number: item.text for item in claim_items(read_reported_run(run))[0]}[19].startswith(
        "Whole series held out"
    )
    report_run(run.root)
    page = (run.root / "report.html").read_text(encoding="utf-8")
    assert lacking(page, "used images, split by whole series") == []
