"""The words of the field are used, and the private ones that they replaced are not: in code, templates, page and docs."""

from __future__ import annotations

import fnmatch
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PLACES = (
    "src/**/*.py",
    "src/**/*.j2",
    "src/**/*.js",
    "src/**/*.css",
    "docs/**/*.md",
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
)

# pattern (case-blind, whole words) -> what is said instead
REPLACED = {
    r"pictures?": "image",
    r"films?": "image; a film only where drawn or DICOM",
    r"look(s|ed|ing)?|looked_at": "test-set access; evaluated on test N times",
    r"open(s|ed)? (the|its|a|no|any|each|every|that|this)? ?(sealed |official )?test( set)?": "evaluates on the test set",
    r"test( set| sets)? (is|was|are|were|has been|gets|never|not) ?(not |never |ever |once )?opened": "was evaluated on",
    r"no[ _]lungs([ _]needed)?|needs? no lungs?|without (seeing|a look at) a lung": "shortcut baseline",
    r"(probe|network) errs|beyond (a|the|its) (shortcut|probe)": "discordant pairs",
    r"input gate|unlike the train(ing)? images": "out-of-distribution gate; out of distribution",
    r"called|calls|a call is": "predicted; runs",
    r"unsure|without (a )?doubt": "abstain",
    r"drift(s|ed)?|from outside|outside (minus|images?|sets?)|(inside|within) (to|from|and|minus) outside": "domain shift",
    r"answer(s|ed|ing)?": "document, metrics document",
    r"listeners?|told|talks?": "event, event callback; is said, is shown",
    r"who (learns|chooses|reports)": "partition, split; model selection",
    r"suspect(s|ed)?": "label errors",
    r"(the )?same bits|other bits": "bit-identical",
    r"anew|stands? in|bears": "again, is in, has",
}

# file, what may stand in the line, why
ALLOWED = [
    ("src/plainfilm/data/synthetic/*", r"films?\b", "drawn radiographs are films"),
    ("src/plainfilm/data/dicom/*", r"films?\b", "DICOM speaks of films"),
    ("src/plainfilm/data/synthetic/*", r"(?i)\b_?films?(?![a-z])", "the same, as identifiers: Film, film_x, films_of"),
    ("*", r"looks\.jsonl|[\"`/]\.looks\b(\.lock)?", "files that older versions wrote"),
    ("src/plainfilm/evaluate/access_chain.py", r'"look"', "key of ledger lines, which are chained by hash"),
    ("src/plainfilm/evaluate/shared_ledgers.py", r'"run_look"', "key of shared ledger lines, chained by hash too"),
    ("src/plainfilm/evaluate/shift/domain_shift.py", r'_PROBE = "picture statistics"', "a probe of run files"),
    ("src/plainfilm/evaluate/shift/generalization_gap.py", r"\bdrift=", "a field of the metrics document"),
    ("*", r"suspects\.csv", "a run file"),
    ("src/plainfilm/schemas/*", r"`(called|pictures|suspects|unsure|drift)`|^    (called|pictures|suspects|unsure|drift): ", "fields of documents"),
    ("src/plainfilm/cli/*", r"\b(document|heat|found|pair)\.(called|pictures|suspects|unsure|drift)\b", "fields of documents"),
    ("docs/reference/json.md", r"`(called|pictures|suspects|unsure|drift)`", "fields of documents"),
    ("*", r"[\"`]picture statistics[\"`]", "name of a probe in run files"),
    ("*", r"no_lungs_needed", "the older key, still written and read"),
    ("src/plainfilm/interpret/heatmap_study.py", r"\bpictures=", "field of HeatFindings"),
    ("src/plainfilm/schemas/interpret.py", r"\bself\.pictures\b", "field of HeatFindings"),
    ("src/plainfilm/interpret/run_figures.py", r"\bpair\.called\b", "field of Confused"),
    ("src/plainfilm/schemas/interpret.py", r"\bself\.called\b|\bcalled=(?=labels)", "field of Confused"),
    ("src/plainfilm/templates/report.html.j2", r"\baccess\.look\b", "key of ledger lines"),
    ("src/plainfilm/templates/report.html.j2", r'section id="answer"', "section id, which ReportDocument.sections lists"),
    ("src/plainfilm/experiments/results_csv.py", r"test_looks|test_no_lungs_auroc", "columns of results.csv"),
    ("src/plainfilm/export/*", r"`pictures`|\bpictures(?=[=:])|\.pictures\b", "key of card.json and of two documents"),
    ("src/plainfilm/export/predict.py", r"\b(called|unsure)(?==)", "keys of the document of predict"),
    ("docs/*", r"`films`|\"films[.\"]|\b(phantom|audit|train) films\b|^films/", "a folder of drawn radiographs"),
    ("src/plainfilm/pipeline/interpret.py", r"\bsuspects=", "field of the interpret document"),
]  # fmt: skip
WORDS = {re.compile(rf"(?<![\w])(?:{words})(?![\w])", re.IGNORECASE): instead for words, instead in REPLACED.items()}
FILES = sorted({path for place in PLACES for path in ROOT.glob(place)})


def hits(text: str, name: str = "") -> list[str]:
    """Lines with a replaced word, each with its number, the word and what is said instead."""
    found = []
    for number, line in enumerate(text.splitlines(), start=1):
        for place, pattern, _ in ALLOWED:
            if fnmatch.fnmatch(name, place):
                line = re.sub(pattern, "", line)
        # identifiers are words joined by underscores
        line = re.sub(r"(?<=[a-zA-Z])_(?=[a-zA-Z])", " ", line)
        for words, instead in WORDS.items():
            found += [f"{name}:{number}: {hit[0]!r} ({instead})" for hit in words.finditer(line)]
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_the_field_s_words_are_used(path: Path):
    assert hits(path.read_text(encoding="utf-8"), path.relative_to(ROOT).as_posix()) == []


@pytest.mark.parametrize(
    "line",
    [
        "The test set was opened once.",
        "def look_at_test(run):",
        "a picture of the film",
        "12 unsure, 3 unlike the training images",
        "images called NORMAL",
        "the row that needs no lungs",
        "opens the sealed test set",
        "NO_LUNGS = 1",
        "nothing is told anew",
    ],
)
def test_a_replaced_word_is_found(line: str):
    assert hits(line)


@pytest.mark.parametrize(
    "line",
    [
        "plainfilm reads images",
        "the file cannot be opened",
        "a value outside 0..1",
        "suspects.csv",
        "def __call__(self):",
    ],
)
def test_what_is_no_private_word_passes(line: str):
    assert hits(line, "README.md") == []


def test_there_are_files():
    assert len(FILES) > 250
