"""The page: what is on it, what never is, and what happens to an incomplete run."""

from __future__ import annotations

import base64
import json
import os
import re
import struct
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
from report_edits import FAILED, UNDECIDED, edit_card, edit_metrics, save_heat, with_heat
from typer.testing import CliRunner

from medical_claims import shows_research_use_only
from plainfilm.cli import app
from plainfilm.errors import OccupiedError, SealError, UsageError
from plainfilm.evaluate.access_chain import append
from plainfilm.pipeline.report import report_run
from plainfilm.report.page import GENERATOR
from plainfilm.runs.card import read_card
from plainfilm.runs.folder import RunDir
from wording import lacking

ELEMENTS = {
    "html", "head", "meta", "title", "style", "body", "header", "section", "nav", "footer", "h1", "h2", "h3", "p", "b", "br", "a",
    "span", "bdi", "div", "table", "caption", "tbody", "tr", "th", "td", "figure", "img", "figcaption", "ul", "li", "code", "svg",
    "line", "circle",
}  # fmt: skip
ATTRIBUTES = {
    "lang", "charset", "name", "content", "http-equiv", "class", "id", "href", "alt", "src", "role", "aria-label", "data-l",
    "viewbox", "x1", "x2", "y1", "y2", "cx", "cy", "r",
}  # fmt: skip
HOSTILE = [
    "<script>alert(1)</script>", "\"><img src=x onerror=alert(1)>", "' onmouseover='alert(1)", "\u202egnp.exe", "=cmd|' /C calc'!A0",
    "{{7*7}}", "</td></table><h1>x", "a\nb", "&lt;b&gt;", "javascript:alert(1)", "]]><svg onload=alert(1)>", "$x^$", "--><b>",
]  # fmt: skip


class Page(HTMLParser):
    """Elements and attributes in order, and the text."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.text += " "
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.text += data

    def flat(self) -> str:
        return re.sub(r"\s+", " ", self.text)


def draw(run: RunDir, **asked: object) -> tuple[str, Page]:
    html = Path(report_run(run.root, **asked).out).read_text(encoding="utf-8")
    return html, Page(html)


def test_the_numbers_are_those_of_metrics_json(finish):
    run = finish()
    metrics = json.loads(run.metrics.read_text(encoding="utf-8"))["test"]["metrics"]
    text = draw(run)[1].flat()
    for name in ("auroc", "accuracy", "sensitivity", "npv", "brier"):
        m = metrics[name]
        assert f"{m['value']:.3f} [{m['ci_low']:.3f}, {m['ci_high']:.3f}]" in text, name
    assert f"{metrics['auroc']['value'] * 100:.1f} %" in text
    assert "On 80 test images of 40 patients" in text
    assert text.index("Evaluated on the test set once") < text.index("how each file was used")  # on the first screen


def test_the_files_add_up_on_the_page(finish):
    text = draw(finish())[1].flat()
    assert lacking(text, "163 files found = 160 used, 80 patients", "2 quarantined", "0 duplicates dropped") == []
    assert "1 ignored by rule" in text and "E_CORRUPT 1" in text and "E_EMPTY 1" in text and "ignored hidden 1" in text


def test_a_page_makes_no_request(finish):
    html, page = draw(finish())
    assert set(page.tags) <= ELEMENTS
    assert {name for name, _ in page.attributes} <= ATTRIBUTES
    sources = [value for name, value in page.attributes if name in ("src", "href")]
    assert sources and all(value.startswith(("data:image/png;base64,", "#")) for value in sources)
    assert "@import" not in html and "url(" not in html
    policy = next(value for _, value in page.attributes if value.startswith("default-src"))
    assert policy.startswith("default-src 'none'; img-src data:; style-src 'unsafe-inline'")
    ids = {value for name, value in page.attributes if name == "id"}
    assert {value[1:] for value in sources if value.startswith("#")} <= ids


def test_research_use_is_shown_in_prominent_places(finish):
    run = finish()
    html, page = draw(run)
    head, text = page.text[: page.text.index("Data: how")], page.flat()
    assert shows_research_use_only(head) and shows_research_use_only(text)
    assert shows_research_use_only(json.loads(run.card.read_text(encoding="utf-8"))["notice"])
    assert "Research use only; not a medical device." in head
    assert text.count("Research use only") >= 3
    assert "diagnos" not in html.lower()
    assert "Score for class PNEUMONIA" in text


@pytest.mark.parametrize("names", [False, True])
def test_hostile_names_make_no_element(finish, names):
    tame_classes, hostile_classes = ("alpha", "beta"), (HOSTILE[0] + HOSTILE[2], HOSTILE[1] + "$x^$")
    tame, _ = draw_named(finish, "tame", tame_classes, [f"file-{i}.png" for i in range(len(HOSTILE))], names)
    page, html = draw_named(finish, "hostile", hostile_classes, HOSTILE, names)
    assert page.tags == tame.tags
    assert [name for name, _ in page.attributes] == [name for name, _ in tame.attributes]
    assert not {c for c in html if c in "\u202e\u200f\x00"}
    assert "alert(1)" in page.text  # it is there, as a text


def draw_named(finish, name: str, vocab: tuple[str, str], files: list[str], names: bool) -> tuple[Page, str]:
    positive = vocab[1]
    safe = {f"{vocab[i % 2]}/p{1000 + i:04d}-0.png": f"{vocab[i % 2]}/{file}" for i, file in enumerate(files)}
    run = finish(name, vocab=vocab, positive=positive, files=safe, seed=5, interpreted=False)
    excluded = pd.DataFrame([
        {"path": f"/data/{file}", "relative": file, "state": "quarantined", "code": "E_CORRUPT", "why": "is broken"} for file in files
    ])  # fmt: skip
    excluded.to_csv(run.excluded, index=False)
    counts = json.loads(run.data.read_text(encoding="utf-8"))
    counts |= {"quarantined": len(files), "ignored": 0, "found": counts["used"] + len(files)}
    run.data.write_text(json.dumps(counts), encoding="utf-8")
    html, page = draw(run, names=names)
    return page, html


def test_no_path_and_no_file_name_without_names(finish):
    run = finish("mueller-run", files={"NORMAL/p1000-0.png": "NORMAL/Mueller_Anna.png"})
    rows = pd.read_csv(run.table, dtype=str)
    html, page = draw(run)
    secret = re.sub(r"data:image/png;base64,[A-Za-z0-9+/=]+", "", html)
    for word in (
        "/data",
        "/home",
        "mueller",
        "Mueller",
        str(run.root),
        run.root.name,
        "lost.png",
        ".DS_Store",
        "p1000",
    ):
        assert word not in secret, word
    assert not [name for name in {*rows["relative"], *rows["path"], *rows["patient"]} if name in secret]
    assert "plainfilm train DATA --epochs 2 --out OUT" in page.flat()


def test_names_are_there_when_asked_for_and_the_page_warns(finish):
    worst = finish("plain")
    listed = pd.read_csv(worst.predictions("test"))
    assert len(listed)
    text = draw(worst, names=True)[1].flat()
    assert "This page names files" in text and "lost.png" in text and "/home/mueller/xrays" in text
    shown = re.findall(r"row \d+: truth \w+, [\w ]+, score 0\.\d{3} (?:NORMAL|PNEUMONIA)/p1\d{3}-[01]\.png", text)
    assert len(shown) == 6  # each of the worst images


def test_the_worst_images_are_those_of_the_largest_losses(finish):
    run = finish()
    scores = pd.read_csv(run.predictions("test"))
    of_truth = [row[f"prob_{row['label']}"] for _, row in scores.iterrows()]
    worst = sorted(range(len(of_truth)), key=lambda i: (of_truth[i], i))[:6]
    found = re.findall(r"row (\d+): truth", draw(run)[1].flat())
    assert [int(row) for row in found] == worst


def test_the_same_run_gives_the_same_bytes(finish, tmp_path):
    run = finish()
    first, second = tmp_path / "a.html", tmp_path / "b.html"
    report_run(run.root, out=first)
    report_run(run.root, out=second)
    assert first.read_bytes() == second.read_bytes()


def test_a_run_without_a_test_score_is_marked(finish):
    text = draw(finish(looked=False))[1].flat()
    assert "VALIDATION ONLY On 80 valid images" in text
    assert "Never evaluated on the test set by this run: it is still sealed." in text
    assert "These rates are optimistic" in text


def test_a_test_set_that_other_runs_accessed_is_not_reported_as_sealed(finish):
    run = finish(looked=False)
    append(run.shared_ledger(read_card(run).seal), [], [{"run": "another", "run_look": "0" * 64}])
    text = draw(run)[1].flat()
    assert lacking(text, "never evaluated on its test set", "by this run; 1 time by other runs") == []
    assert text.count("1 time") == 2 and "still sealed" not in text
    assert "other runs accessed it 1 time." in text and "folder accessed" not in text  # accesses are the user's


def test_a_copied_run_keeps_the_access_count_of_its_former_folder(finish):
    run = finish()  # its ledger holds only its own access
    edit_metrics(run, "test", opened_set=5)
    text = draw(run)[1].flat()
    assert lacking(text, "accessed 5 times in total by all runs") == []


def test_more_than_two_classes(finish):
    text = draw(finish(vocab=("A", "B", "C"), positive=None))[1].flat()
    assert "Scores for 3 classes" in text and "mean AUROC of each class against the rest" in text
    assert "Each class against the rest" in text and "when its score is at least" not in text


def test_blocks_that_other_commands_add_appear(finish):
    run = finish()
    m = {"value": 0.81, "ci_low": 0.7, "ci_high": 0.9, "n": 40, "n_patients": 20, "method": "wilson"}
    edit_metrics(run, "test", **{
        "per_patient": {"patients": 38, "disagreeing": 2, "metrics": {"auroc": m}},
        "subgroups": {"column": "sex", "among": None, "draws": 9, "notes": ["n is small."],
                      "groups": [{"name": "F", "images": 40, "patients": 20, "metrics": {"auroc": m}}],
                      "gaps": [{"a": "F", "b": "M", "metric": "auroc", "value": 0.1, "ci_low": 0.0, "ci_high": 0.2, "p": 0.1,
                                "p_holm": 0.2, "method": "permutation"}]},
        "band": {"level": 0.9, "lowest": {"NORMAL": 0.1}, "on": "test", "coverage": {"NORMAL": m}, "kept": m,
                 "error_among_kept": m, "holds": "It holds for images like valid only."},
        "gate": {"on": "test", "marked": m},
        "at_prevalence": [{"prevalence": 0.037, "ppv": m, "npv": m}],
        "a_block_of_tomorrow": {"x": 1},
    })  # fmt: skip
    external = {
        "found": 9,
        "used": 9,
        "patients": 9,
        "drops": {"valid": {"auroc": {"value": -0.2, "ci_low": -0.3, "ci_high": -0.1}}},
    }
    found = json.loads(run.metrics.read_text(encoding="utf-8"))
    run.metrics.write_text(
        json.dumps({**found, "external-12345678": {**found["test"], "external": external}}), encoding="utf-8"
    )
    document = report_run(run.root)
    text = Page(Path(document.out).read_text(encoding="utf-8")).flat()
    assert "subgroups" in document.sections
    for part in ("38 patients", "2 patients with images of several", "Subgroups by sex", "F minus M", "3.7 %", "like valid only",
                 "marks 0.810", "External set 1: 9 images", "-0.200 [-0.300, -0.100]", "0.200"):  # fmt: skip
        assert part in text, part


def test_adjusted_gaps_say_that_their_limits_are_not_and_which_p_are_floors(finish):
    run, facts = finish(), {"value": 0.1, "ci_low": 0.0, "ci_high": 0.2, "p": 0.0005, "method": "permutation"}
    gaps = [{"a": "F", "b": "M", "metric": name, **facts, "p_holm": 0.0015, "p_holm_is_floor": low}
            for name, low in (("auroc", True), ("sensitivity", False))]  # fmt: skip
    block = {"column": "sex", "among": None, "draws": 9, "notes": [], "groups": [], "gaps": gaps}
    edit_metrics(run, "test", subgroups=block)
    text = draw(run)[1].flat()
    assert lacking(text, "<= 0.002", "0.002", "Limits are not adjusted for the 2 comparisons; p is.") == []
    assert lacking(text, "p <=: the fewest these draws can show.") == []
    edit_metrics(run, "test", subgroups={**block, "gaps": gaps[1:]})
    text = draw(run)[1].flat()
    assert "fewest" not in text and "not adjusted" not in text


def test_the_table_of_probes_marks_the_one_that_the_banner_names(finish):
    run = finish()
    known = {"ci_low": 0.61, "ci_high": 0.84, "n": 80, "n_patients": 40, "method": "obuchowski/logit"}
    probes = {"thumbnail 8x8": known | {"value": 0.69}, "image statistics": known | {"value": 0.75}}
    baseline = {"best": "thumbnail 8x8", "auroc": probes["thumbnail 8x8"], "probes": probes}
    edit_metrics(run, "test", shortcut_baseline=baseline)
    text = draw(run)[1].flat()
    assert "Shortcut. AUROC 0.750 [0.610, 0.840] on these images from the image statistics alone" in text
    assert "image statistics (highest on these images) 0.750 [0.610, 0.840]" in text
    assert "thumbnail 8x8 (best on valid) 0.690 [0.610, 0.840]" in text


def test_figures_of_interpret_are_shown_and_others_are_not(finish):
    run = finish()
    before = draw(run)[1].tags.count("img")
    png = b"\x89PNG\r\n\x1a\n" + b"0" * 50
    for name in ("roc_test", "heat_field", "Mueller_Anna"):
        run.figure(name).write_bytes(png)
    run.figure("precision_recall_test").write_bytes(b"<svg onload=alert(1)>")  # no PNG
    html, page = draw(run)
    assert page.tags.count("img") == before + 2
    assert "Mueller" not in html


def test_a_failed_verdict_is_on_the_first_screen_and_at_the_heat_maps(finish):
    run = with_heat(finish(), "failed", FAILED)
    text, title = draw(run)[1].flat(), "Heat maps do not show what the score depends on."
    head, errors = text[: text.index("how each file was used")], text[text.index("Errors: the largest losses") :]
    assert title in head and title in errors and errors.index(title) < errors.index("each beside its heat map")
    assert "Checked on 8 valid images: Random weights give different heat maps." in errors
    assert any(title[:-1] in caveat for caveat in report_run(run.root).caveats)  # as the terminal lists them


def test_what_passed_is_listed_by_its_verdict_whatever_its_words(finish):
    run = with_heat(finish(), None)
    says = ["HEAT MAPS are sound.", "The maps are wrong.", "50% of the heat is in the middle."]
    save_heat(run, {"deletion": "passed", "randomised": "failed"}, says)
    text = draw(run)[1].flat()
    listed = text[text.index("Checked on 8 valid images:") :][:120]
    assert says[0] in listed and says[2] in listed and says[1] not in listed


def test_an_undecided_verdict_is_at_the_heat_maps_alone(finish):
    run = with_heat(finish(), "not_enough_images", UNDECIDED)
    text, title = draw(run)[1].flat(), "Not enough images to tell whether these heat maps can be trusted."
    assert text.count(title) == 1 and text.index(title) > text.index("Errors: the largest losses")
    assert not any("Not enough" in caveat for caveat in report_run(run.root).caveats)


def test_a_sheet_drawn_without_heat_is_not_shown_as_one_with_heat(finish):
    said = "each beside its heat map"
    assert said in draw(with_heat(finish("one"), "passed", "x"))[1].flat()
    assert said not in draw(with_heat(finish("two"), "passed", "x", sheets=("valid",)))[1].flat()


def test_history_and_scores_are_drawn_without_interpret(finish):
    html, page = draw(finish(interpreted=False))
    drawn = [base64.b64decode(source.partition(",")[2]) for name, source in page.attributes if name == "src"]
    sizes = [struct.unpack(">II", png[16:24]) for png in drawn]
    assert len(sizes) == 2 + 6 and sum(width >= 600 for width, _ in sizes) == 2  # two figures, six images
    assert all(png.startswith(b"\x89PNG") for png in drawn)


@pytest.mark.parametrize(
    "name", ["metrics.json", "data.json", "environment.json", "history.csv", "excluded.csv", "table.csv", "card.json"]
)
def test_a_damaged_run_is_one_line_and_the_old_page_stays(finish, refusal, name):
    run = finish()
    run.report.write_text(GENERATOR + "the old page", encoding="utf-8")
    path = run.root / name
    whole = path.read_bytes()
    # a CSV that is cut at the end of a line can be valid; one with other columns is not
    half = b"x,y\n1,2\n" if name.endswith(".csv") else whole[: len(whole) // 2]
    for broken in (None, b"", half, bytes(range(256)) * 4, b"[1, 2]", bytes(100)):
        path.unlink(missing_ok=True)
        if broken is not None:
            path.write_bytes(broken)
        assert name in refusal(lambda: report_run(run.root)), broken
        assert run.report.read_text(encoding="utf-8").endswith("the old page")
        assert not list(run.root.glob(".partial-*"))
    path.write_bytes(whole)
    assert Path(report_run(run.root).out).stat().st_size > 10_000


def test_nan_is_refused(finish, refusal):
    run = finish()
    text = run.metrics.read_text(encoding="utf-8")
    run.metrics.write_text(text.replace('"value": 0.', '"value": NaN, "was": 0.', 1), encoding="utf-8")
    assert "metrics.json" in refusal(lambda: report_run(run.root))


def test_counts_that_do_not_add_up_are_refused(finish, refusal):
    run = finish()
    run.data.write_text(run.data.read_text(encoding="utf-8").replace('"found": 163', '"found": 164'), encoding="utf-8")
    assert "do not add up" in refusal(lambda: report_run(run.root))


def test_parts_of_another_run_are_refused(finish, refusal):
    run = finish()
    edit_card(run, kept_epoch=7)
    assert "history.csv" in refusal(lambda: report_run(run.root))
    edit_card(run, kept_epoch=0, vocab=["A", "B"], positive="B")
    assert "name different classes" in refusal(lambda: report_run(run.root))


@pytest.mark.parametrize("status", ["interrupted", "diverged", "failed", "running"])
def test_an_unfinished_run_has_no_report(save_run, refusal, status):
    run = save_run("part", status=status)
    assert "not 'done'" in refusal(lambda: report_run(run.root))
    assert not run.report.exists()


def test_a_broken_ledger_and_scores_without_an_access_are_refused(finish, refusal):
    run = finish()
    ledger = run.ledger.read_text(encoding="utf-8")
    run.ledger.write_text(ledger.replace("true", "false"), encoding="utf-8")
    refusal(lambda: report_run(run.root), SealError)
    run.ledger.unlink()
    run.write_status("done", ledger_head=None)
    assert "lacks 1 of the run's test-set accesses" in refusal(lambda: report_run(run.root), SealError)
    run.write_status("done", run_id="another")  # no ledger names this run
    assert "no test-set access is recorded" in refusal(lambda: report_run(run.root), SealError)
    assert not run.report.exists()


def test_a_run_in_use_is_left_alone(finish, refusal):
    run = finish()
    with run.lock():
        refusal(lambda: report_run(run.root), OccupiedError)
        assert Path(report_run(run.root, out=run.root.parent / "elsewhere.html").out).is_file()


def test_a_file_that_no_report_wrote_is_not_overwritten(finish, refusal, tmp_path):
    run, out = finish(), tmp_path / "mine.html"
    out.write_text("<html>mine", encoding="utf-8")
    assert str(out) in refusal(lambda: report_run(run.root, out=out), OccupiedError)
    assert out.read_text(encoding="utf-8") == "<html>mine"
    refusal(lambda: report_run(run.root, out=tmp_path), UsageError)
    refusal(lambda: report_run(run.root, out=Path(os.devnull)), OccupiedError)
    for _ in range(2):  # its own page is made again
        assert GENERATOR in Path(report_run(run.root).out).read_text(encoding="utf-8")[:2000]


def test_a_failed_rename_leaves_the_old_page(finish, monkeypatch):
    run = finish()
    report_run(run.root)
    before = run.report.read_bytes()
    edit_metrics(run, "test", notes=["Something new."])

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(OSError, match="No space"):
        report_run(run.root)
    assert run.report.read_bytes() == before and not list(run.root.glob(".partial-*"))


def test_the_command(finish, tmp_path):
    run, out = finish(), tmp_path / "page.html"
    done = CliRunner().invoke(app, ["report", str(run.root), "--out", str(out), "--json"])
    assert done.exit_code == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["out"] == str(out) and document["bytes"] == out.stat().st_size and document["split"] == "test"
    assert document["claim_reported"] + document["claim_not_reported"] == 44
    assert document["sections"][:3] == ["answer", "data", "audit"] and document["sections"][-2:] == ["claim", "limits"]
    done = CliRunner(env={"COLUMNS": "80"}).invoke(app, ["report", str(run.root)])
    assert done.exit_code == 0
    *lines, where, what_next = done.stdout.splitlines()
    assert (where, what_next) == (f"Report: {run.report}", f"Next: plainfilm export {run.root}")
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize(("break_it", "code"), [("status", 2), ("lock", 4), ("nothing", 2)])
def test_the_exit_codes(finish, tmp_path, break_it, code):
    run = finish()
    root = tmp_path / "no-run" if break_it == "nothing" else run.root
    if break_it == "status":
        run.write_status("interrupted")
    if break_it == "lock":
        with run.lock():
            done = CliRunner().invoke(app, ["report", str(root)])
    else:
        done = CliRunner().invoke(app, ["report", str(root)])
    assert done.exit_code == code
    assert len(done.stderr.strip().splitlines()) == 1 and "Traceback" not in done.stderr


def test_a_report_loads_no_torch_and_opens_no_image(finish):
    """The images of this run do not exist, so none can be opened."""
    run = finish()
    code = (
        "import sys\nfrom plainfilm.pipeline.report import report_run\nfrom pathlib import Path\nreport_run(Path(sys.argv[1]))\n"
        "heavy = {'torch', 'fastai', 'torchvision', 'timm'} & set(sys.modules)\nassert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code, str(run.root)], check=True, capture_output=True, timeout=300)


def test_where_patient_keys_were_joined_both_numbers_stand(finish):
    run = finish()
    data = json.loads(run.data.read_text())
    patients = data["splits"]["valid"]["patients"]
    data["splits"]["valid"]["patient_keys"] = patients + 5
    run.data.write_text(json.dumps(data))
    report_run(run.root)
    page = run.report.read_text(encoding="utf-8")
    assert f"{patients} patients ({patients + 5} keys)" in page and page.count(" keys)") == 1


def test_a_run_without_gate_and_band_says_so_and_the_gate_s_kinds_are_shown(finish):
    """The runs of these tests have neither; a card with counts by kind shows them."""
    run = finish()
    text, _ = draw(run)
    assert "Out of distribution: not judged (no gate)" in text
    card = json.loads(run.card.read_text())
    assert ("Abstained: not judged (no band)" in text) is (card["band"] is None)
    card["gate_kinds"] = {"images": 60, "fresh": True, "marked": {"unchanged": 1, "blurred": 3}}
    run.card.write_text(json.dumps(card))
    shown, _ = draw(run)
    assert "3 of 60" in shown and "1 of 60" in shown and "such as colour" in shown
    assert "Counted on 60 valid images that did not set its limit" in shown


def test_more_than_two_classes_have_the_same_three_states(finish):
    """They were left out with the threshold, which such a run has not."""
    text = draw(finish(vocab=("A", "B", "C"), positive=None))[1].flat()
    both = ("Abstained: not judged (no band)", "Out of distribution: not judged (no gate)")
    assert lacking(text, *both, "Operating point", "The class with the highest score is predicted.") == []
