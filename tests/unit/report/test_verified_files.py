"""An edited file of a run is refused by name by every command that takes numbers from it; nothing is written."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from plainfilm.cli import app
from plainfilm.errors import DataError, SealError, UsageError
from plainfilm.evaluate.document import ExtraBlocks
from plainfilm.experiments.table import make_table
from plainfilm.pipeline.compare import compare_runs
from plainfilm.pipeline.evaluate import evaluate_run
from plainfilm.pipeline.interpret import interpret_run
from plainfilm.pipeline.report import report_run
from plainfilm.pipeline.saved_document import SavedDocument
from plainfilm.pipeline.show import adopt_run, show_run
from plainfilm.runs.folder import RunDir
from plainfilm.runs.metrics_file import ITSELF, numbers_hash
from plainfilm.runs.run_manifest import write_file
from plainfilm.runs.verified_files import adopt_files

OTHER = {"train.lr": 0.02}  # another configuration
EVERYWHERE = ("card.json", "config.yaml", "table.csv")
TAKES = {
    "evaluate": ("metrics.json", "predictions/valid.csv"),
    "evaluate test": ("metrics.json", "predictions/test.csv", "predictions/test_top.npy"),
    "show": (
        "metrics.json", "predictions/valid.csv", "predictions/test.csv", "excluded.csv", "data.json", "history.csv",
        "environment.json", "cost.json",
    ),
    "report": (
        "metrics.json", "predictions/test.csv", "predictions/test_top.npy", "excluded.csv", "data.json", "history.csv",
        "environment.json",
    ),
    "compare": ("predictions/valid.csv",),
    "compare test": ("predictions/test.csv",),
    "interpret": ("predictions/valid.csv", "predictions/test.csv", "predictions/test_top.npy", "history.csv"),
    "table": ("metrics.json", "predictions/valid.csv", "cost.json"),
}  # fmt: skip


def commands(run: RunDir, other: RunDir, out: Path) -> dict[str, Callable[[], Any]]:
    return {
        "evaluate": lambda: evaluate_run(run.root),
        "evaluate test": lambda: evaluate_run(run.root, split="test"),
        "show": lambda: show_run(run.root),
        "report": lambda: report_run(run.root, out=out / "report.html"),
        "compare": lambda: compare_runs([other.root, run.root]),
        "compare test": lambda: compare_runs([other.root, run.root], split="test"),
        "interpret": lambda: interpret_run(run.root, heat_images=0),
        "table": lambda: make_table([run.root.parent], out),
    }


def edit(path: Path) -> None:
    """The last digit of a text, or its last letter where it has none; one bit of an array."""
    data = bytearray(path.read_bytes())
    found = [*re.finditer(rb"\d", data)] or [*re.finditer(rb"\w", data)]
    data[-1 if path.suffix == ".npy" else found[-1].start()] ^= 1
    path.write_bytes(data)


def refused(name: str, work: Callable[[], Any]) -> str:
    """'' if the work ends with one line that names the file, else what it did."""
    try:
        work()
    except (DataError, SealError) as error:
        return "" if name in str(error) and "\n" not in str(error) else f"said {error}"
    return "passed"


def test_every_command_refuses_an_edited_file_by_its_name(finish, save_run, tmp_path):
    run, other, out = (
        finish("one", patients=12),
        save_run("two", patients=12, options=OTHER, looked=True),
        tmp_path / "out",
    )
    out.mkdir()
    adopt_files(run)
    work, wrong = commands(run, other, out), {}
    files = {path: path.read_bytes() for path in run.root.rglob("*") if path.is_file() and path.name != ".lock"}
    for command, names in TAKES.items():
        for name in (*EVERYWHERE, *names):
            edit(run.root / name)
            if what := refused(name, work[command]):
                wrong[command, name] = what
            (run.root / name).write_bytes(files[run.root / name])
    assert wrong == {}
    assert {path: path.read_bytes() for path in files} == files
    for each in ("show", "compare test"):
        work[each]()  # as they were, they pass


def test_edited_test_scores_end_the_command_with_2_and_are_no_access(finish, tmp_path):
    """Set right for every row, they gave AUROC 1.0 and exit 0."""
    run = finish("one", patients=12)
    run.metrics.unlink()
    adopt_files(run)
    scores, ledger = run.predictions("test"), run.ledger.read_bytes()
    edit(scores)
    done = CliRunner().invoke(app, ["evaluate", str(run.root), "--split", "test", "--json"])
    assert done.exit_code == 2 and "predictions/test.csv" in done.stderr and "--again" in done.stderr
    assert done.stdout == "" and run.ledger.read_bytes() == ledger


def test_a_file_from_another_run_is_refused(finish, save_run, refusal):
    run, other = finish("one", patients=12), save_run("two", patients=12, seed=1)
    run.predictions("test").unlink()
    adopt_files(run)
    run.predictions("test").write_bytes(other.predictions("valid").read_bytes())
    said = refusal(lambda: compare_runs([run.root, other.root], split="test"))
    assert "predictions/test.csv" in said and "not in run_manifest.json" in said


def test_an_edited_metrics_file_is_made_again_on_request_only(finish, refusal):
    run = finish("one", patients=12)
    adopt_files(run)
    before = evaluate_run(run.root, again=True).metrics["auroc"]
    edit(run.metrics)
    assert "--again" in refusal(lambda: evaluate_run(run.root))
    assert evaluate_run(run.root, again=True).metrics["auroc"] == before
    assert show_run(run.root, split="valid")[0].metrics["auroc"] == before


def test_numbers_edited_together_with_the_manifest_reach_no_page(finish, tmp_path):
    """AUROC 0.999 in metrics.json, in its own hash and in the manifest: only the scores still say what it was."""
    run, other = finish("one", patients=12), finish("two", patients=12, options=OTHER)
    out = tmp_path / "out"
    out.mkdir()
    adopt_files(run)
    evaluate_run(run.root, again=True)
    before = run.metrics.read_text(encoding="utf-8")
    saved = json.loads(before)
    for signed in (False, True):
        for split, again in (("valid", "evaluate"), ("test", "evaluate test")):
            part = json.loads(before)[split]
            part["metrics"]["auroc"]["value"] = 0.999
            if signed:
                part["inputs"] = {**SavedDocument.inputs_of(run, split, ExtraBlocks()), ITSELF: numbers_hash(part)}
            write_file(run, run.metrics, json.dumps({**saved, split: part}))
            work = commands(run, other, out)
            if not signed and not part["inputs"]:
                continue
            asked = {name: work[name] for name in ("report", "table", again)} | {
                "show": lambda s=split: show_run(run.root, split=s)
            }
            assert {name: refused("metrics.json", each) for name, each in asked.items()} == dict.fromkeys(asked, "")
    write_file(run, run.metrics, before)
    show_run(run.root)
    assert list(out.iterdir()) == []


def test_edited_numbers_of_an_older_run_are_neither_shown_nor_reported(finish, tmp_path):
    """It has no manifest; its scores still say what they were."""
    run = finish("one", patients=12)
    saved = json.loads(run.metrics.read_text(encoding="utf-8"))
    saved["test"]["metrics"]["auroc"]["value"] = 0.999
    run.metrics.write_text(json.dumps(saved), encoding="utf-8")
    work = {
        name: each
        for name, each in commands(run, finish("two", patients=12, options=OTHER), tmp_path).items()
        if name in ("show", "report", "evaluate test", "table")
    }
    assert len(work) == 4
    assert {name: refused("metrics.json", each) for name, each in work.items()} == dict.fromkeys(work, "")
    assert not (tmp_path / "report.html").exists()


def test_a_report_needs_the_gate_that_the_card_names(finish, tmp_path):
    run = finish("one", patients=12)
    card = json.loads(run.card.read_text(encoding="utf-8"))
    run.card.write_text(json.dumps({**card, "gate_sha256": "0" * 64}), encoding="utf-8")
    for content in (None, b"", b"other"):
        if content is not None:
            run.gate.write_bytes(content)
        assert refused("gate.safetensors", lambda: report_run(run.root, out=tmp_path / "report.html")) == ""


def test_a_status_of_another_test_set_is_refused_by_all_that_count_accesses(finish, tmp_path):
    """show took the seal of status.json, and the others that of card.json."""
    run, other = finish("one", patients=12), finish("two", patients=12, options=OTHER)
    work = {
        name: each for name, each in commands(run, other, tmp_path).items() if name in ("show", "report", "interpret")
    }
    for seal in (None, "0" * 64):
        run.write_status("done", seal=seal)
        assert {name: refused("status.json", each) for name, each in work.items()} == dict.fromkeys(work, "")


def test_adopting_writes_nothing_where_it_refuses(finish, refusal):
    """A bad split, numbers that are not those of the scores, a lost config, damaged weights, an edited ledger."""
    run = finish("one", patients=12)
    whole = {path: path.read_bytes() for path in run.root.rglob("*") if path.is_file() and path.name != ".lock"}
    saved = json.loads(run.metrics.read_text(encoding="utf-8"))
    saved["valid"]["metrics"]["auroc"]["value"] = 0.999
    for path, content in {
        run.metrics: json.dumps(saved).encode(), run.config: None, run.card: None, run.weights: b"other", run.table: b"x",
        run.predictions("valid"): b"", run.ledger: b"{}\n",
    }.items():  # fmt: skip
        path.unlink() if content is None else path.write_bytes(content)
        before = run.status.read_bytes()
        with pytest.raises((DataError, SealError)) as caught:
            adopt_run(run.root)
        assert "\n" not in str(caught.value) and (path.name in str(caught.value) or path == run.card)
        assert not run.manifest.exists() and run.status.read_bytes() == before
        path.write_bytes(whole[path])
    refusal(lambda: adopt_run(run.root, split="valid-shifted"), UsageError)
    assert not run.manifest.exists()
    assert "was written" in adopt_run(run.root)


def test_a_file_that_is_gone_is_missed_by_show_and_by_adopting(finish, refusal):
    run = finish("one", patients=12)
    adopt_files(run)
    for path in (run.metrics, run.card, run.config, run.predictions("test"), run.history):
        data = path.read_bytes()
        path.unlink()
        for work in (show_run, adopt_run):
            said = refusal(lambda work=work: work(run.root))
            assert path.name in said and "is missing" in said
        path.write_bytes(data)
    assert "nothing was written" in adopt_run(run.root)


def test_show_names_what_an_older_run_lacks(finish):
    run = finish("one", patients=12)
    for path in (run.card, run.config):
        path.unlink()
    notes = [note for note in show_run(run.root)[0].notes if note.startswith("Changed or gone")]
    assert len(notes) == 1 and "card.json" in notes[0] and "config.yaml" in notes[0]


def test_an_older_run_is_shown_with_one_note_and_can_be_adopted(finish):
    run = finish("one", patients=12)
    shown = CliRunner(env={"COLUMNS": "400"}).invoke(app, ["show", str(run.root)])
    assert shown.exit_code == 0 and (shown.stdout + shown.stderr).count("older version") == 1
    compared = [note for note in evaluate_notes(run) if "older version" in note]
    assert len(compared) == 1
    done = CliRunner().invoke(app, ["show", str(run.root), "--adopt", "--json"])
    assert done.exit_code == 0 and run.manifest.is_file() and "as they are now" in done.stderr
    assert not [note for note in show_run(run.root)[0].notes if "older version" in note]
    assert "nothing was written" in adopt_run(run.root)


def evaluate_notes(run: RunDir) -> list[str]:
    notes: list[str] = []
    evaluate_run(run.root, on_event=lambda what, facts: notes.append(str(facts["text"])) if what == "note" else None)
    return notes
