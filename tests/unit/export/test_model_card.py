"""MODEL_CARD.md says what was measured, counts what nobody measured, and no class name can write into it."""

from __future__ import annotations

import json
import re

from medical_claims import shows_research_use_only
from plainfilm.data.image.decode import DecodeSpec
from plainfilm.export.bundle_card import _Decoding
from plainfilm.export.model_card import NOT_REPORTED, _plain, model_card
from plainfilm.export.scorer import open_bundle
from plainfilm.runs.card import GateKinds
from plainfilm.schemas.macro_mean import MacroMean
from wording import lacking


def test_it_holds_the_runs_numbers(exported):
    run, folder = exported
    page = (folder / "MODEL_CARD.md").read_text(encoding="utf-8")
    measured = json.loads(run.metrics.read_text())["valid"]
    for name in ("auroc", "sensitivity", "brier"):
        metric = measured["metrics"][name]
        value, low, high = (f"{metric[key]:.3f}" for key in ("value", "ci_low", "ci_high"))
        assert f"| {name} | {value} | [{low}, {high}] | {metric['n']} | {metric['n_patients']} |" in page
    card = open_bundle(folder).card
    (point,) = (line for line in page.splitlines() if f"{card.threshold:.4f}" in line)
    assert lacking(point, "PNEUMONIA", "from a score of", "rule: accuracy", "chosen on valid") == []
    (temperature,) = (line for line in page.splitlines() if "Temperature: " in line)
    assert lacking(temperature, "Temperature: 1.7", "1 = as trained", "log loss", "valid") == []
    assert "| train | 60 | 60 | 30 | 30 |" in page
    assert lacking(page, "120 files found = 120 used + 0 quarantined", "0 duplicates dropped + 0 ignored") == []
    assert "SHORTCUT: AUROC 0.9 needs no lung." in page
    assert shows_research_use_only(page) and "No test score" in page
    assert "diagnosis" not in page.replace("never a diagnosis", "")
    assert card.weights_sha256 in page and card.split_sha256 in page
    assert open_bundle(folder).card_markdown() == page


def test_what_only_a_person_knows_is_counted(exported):
    page = (exported[1] / "MODEL_CARD.md").read_text(encoding="utf-8")
    said = int(re.search(r"^(\d+) fields are NOT REPORTED", page, re.MULTILINE)[1])
    assert said == page.count(NOT_REPORTED) - 1 == 15
    assert len(re.findall(rf"^- .*: {NOT_REPORTED}$", page, re.MULTILINE)) == said


def test_it_says_what_the_gate_marks_by_kind_and_when_there_is_none(exported, three_classes):
    card = open_bundle(exported[1]).card
    assert card.gate_kinds is None and "the gate marks: not measured" in model_card(card)
    kinds = GateKinds(images=60, fresh=True, marked={"unchanged": 1, "blurred": 3})
    page = model_card(card.model_copy(update={"gate_kinds": kinds}))
    assert (
        lacking(
            page, "counted on 60 valid images that did not set its limit", "| blurred | 3 of 60 |", "such as colour"
        )
        == []
    )
    assert "no gate" not in page and "no band" not in page
    without = open_bundle(three_classes[1]).card
    bare = model_card(without.model_copy(update={"band": None}))
    assert lacking(bare, "- Out of distribution: not judged (no gate)", "- Abstained: not judged (no band)") == []
    assert "not judged (no gate)" in part_of(bare, "## Valid images")


def part_of(page: str, heading: str) -> str:
    """The text from below a heading to the next one."""
    return page.partition(heading)[2].partition("\n## ")[0]


def test_test_and_external_sets_are_in_it_with_their_accesses(exported):
    card = open_bundle(exported[1]).card
    seen = card.metrics["valid"].model_copy(update={"opened": 2, "opened_by_all_runs": 7})
    metrics = {"valid": card.metrics["valid"], "test": seen, "external-0123abcd": seen.model_copy(update={"opened": 1})}
    page = model_card(card.model_copy(update={"metrics": metrics}))
    test, external = (part_of(page, heading) for heading in ("## Test images\n", "(external-0123abcd)\n"))
    assert lacking(test, "2 times by this run", "7 times by all runs") == []
    assert lacking(external, "once by this run", "7 times by all runs") == []
    assert "No test score" not in page


def test_without_a_test_score_it_says_which_runs_accessed_the_test_set(exported):
    card = open_bundle(exported[1]).card
    untested = {name: scores for name, scores in card.metrics.items() if name != "test"}

    def says(**facts) -> str:
        page = model_card(card.model_copy(update={"metrics": untested, **facts}))
        return next(line for line in page.splitlines() if line.startswith("- No test score: "))

    assert "the test set is sealed." in says(seal="0" * 64)
    assert "there is no test set." in says(seal=None)
    assert lacking(says(seal="0" * 64, test_opened_by_all_runs=1), "this run never", "other runs did", "once") == []
    assert lacking(says(seal="0" * 64, test_opened_by_all_runs=3), "this run never", "3 times") == []


def test_three_classes_and_hostile_names(three_classes):
    page = (three_classes[1] / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert lacking(page, "The class with the highest score") == []
    assert lacking(page, "inside the network:", "by its own mean and standard deviation") == []
    assert "<b>" not in page and "\n# y" not in page and "www*a*" not in page
    assert "&lt;b&gt;x&lt;/b&gt;\\\\n# y" in page
    table = [line for line in page.splitlines() if line.startswith("| train")]
    assert len(table) == 1 and len(re.findall(r"(?<!\\)\|", table[0])) == 7  # 6 cells


def test_plain_text_is_no_markup():
    assert _plain("a_b*c`d[e](f)") == "a\\_b\\*c\\`d\\[e\\](f)"
    assert _plain("# title") == "\\# title" and _plain("- item") == "\\- item"
    assert _plain("<script>&") == "&lt;script&gt;&amp;"
    assert _plain("line\nend\u202e") == "line\\\\nend\\\\u202e"
    assert _plain("see http://x") == "see http:\\/\\/x"
    assert _plain("see www.x.org, WWW.y") == "see www\\.x.org, WWW\\.y"  # GitHub links what begins with www.
    assert _plain("AUROC 0.980 [0.973, 0.986]") == "AUROC 0.980 \\[0.973, 0.986\\]"


def test_the_checked_fields_are_those_of_decode():
    from dataclasses import fields

    assert {name: field.default for name, field in _Decoding.model_fields.items() if name != "size_px"} == {
        field.name: field.default for field in fields(DecodeSpec) if field.name != "size_px"
    }


def test_calibration_in_the_large_is_said_and_a_class_that_a_mean_leaves_out_is_named(exported):
    run, folder = exported
    page = (folder / "MODEL_CARD.md").read_text(encoding="utf-8")
    large = json.loads(run.metrics.read_text())["valid"]["reliability"]["in_the_large"]
    assert f"- Calibration: {_plain(large['says'], 400)}" in page.splitlines()
    card = open_bundle(folder).card
    macro = {"ppv": MacroMean(classes=3, without={"B": "never predicted"}, zero_division=0.4)}
    scores = card.metrics["valid"].model_copy(update={"macro": macro, "calibration": None})
    page = model_card(card.model_copy(update={"metrics": {"valid": scores}}))
    assert "- ppv: mean of 2 of 3 classes, without B (never predicted); with 0 for it ppv 0.400" in page.splitlines()
    assert "- Calibration:" not in page


def test_many_classes_are_counted_as_rows_and_named_in_part(exported):
    _, folder = exported
    card = open_bundle(folder).card
    names = [f"kind {i:02d}" for i in range(30)]
    sizes = {name: 100 - i for i, name in enumerate(names)}
    splits = {name: split.model_copy(update={"classes": sizes}) for name, split in card.data.splits.items()}
    data = card.data.model_copy(update={"classes": sizes, "splits": splits})
    page = model_card(card.model_copy(update={"vocab": names, "data": data}))
    (classes,) = (line for line in page.splitlines() if line.startswith("- Classes: "))
    assert lacking(classes, "kind 00, kind 01", "kind 19 and 10 more") == []
    rows = [line for line in page.splitlines() if line.startswith(("| kind", "| ..."))]
    assert [row.split(" | ")[0] for row in rows] == [f"| {name}" for name in [*names[:5], "...", *names[-5:]]]
    assert max(line.count("|") for line in page.splitlines()) < 10
