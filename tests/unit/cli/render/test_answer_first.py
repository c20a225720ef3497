"""`evaluate` and `show` answer first: a screen by default, everything with -v, one line with -q."""

from __future__ import annotations

import io

import pytest

from plainfilm.cli.render.next_steps import print_next
from plainfilm.cli.render.registry import PRINTERS
from plainfilm.cli.screen import Screen
from plainfilm.evaluate.document import ExtraBlocks, evaluate_document
from plainfilm.evaluate.finished import FinishedRun
from plainfilm.schemas.documents import EvaluateDocument

ROWS = ("AUROC", "accuracy", "sensitivity", "specificity")


@pytest.fixture
def document(save_run) -> EvaluateDocument:
    finished = FinishedRun.open(save_run("one", patients=60).root)
    return evaluate_document(finished, "valid", finished.predictions("valid"), (0, 0), ExtraBlocks())


def shown(document: EvaluateDocument, **how: bool) -> list[str]:
    file = io.StringIO()
    PRINTERS[EvaluateDocument](Screen(set(), file=file, width=80, **how), document)
    return file.getvalue().splitlines()


def test_the_first_five_lines_are_the_answer(document):
    lines = shown(document)
    assert lines[0].startswith("valid at threshold ")
    assert [line.split()[0] for line in lines[2:6]] == [*ROWS]
    for line, name in zip(lines[2:6], ("auroc", "accuracy", "sensitivity", "specificity"), strict=True):
        metric = document.metrics[name]
        assert f"{metric.value:.3f}  [{metric.ci_low:.3f}, {metric.ci_high:.3f}]" in line
    assert len(lines) <= 24  # the screen of a small terminal
    said = "\n".join(lines)
    assert "Brier" not in said and "Confusion" not in said and "-v" in said
    assert all(f"NOTE: {note.split()[0]}" in said for note in document.notes)


def test_everything_is_there_with_v_and_one_line_with_q(document):
    whole, short = shown(document, verbose=True), shown(document)
    for said in ("Brier (0 is best)", "At threshold 0.5", "Likelihood ratios", "Confusion", "Out of distribution"):
        assert any(said in line for line in whole), said
    assert {line.split()[0] for line in short[2:6]} <= {line.split()[0] for line in whole if line.strip()}
    (line,) = ["".join(shown(document, brief=True))]
    assert line.startswith("valid: AUROC 0.") and line.endswith(f"n {document.metrics['accuracy'].n}")
    marked = document.model_copy(update={"notes": ["LEAKY SPLIT: images were split at random."]})
    assert "".join(shown(marked, brief=True)).startswith("LEAKY SPLIT: valid: AUROC")


def test_the_file_that_has_all_of_it_is_named_only_where_it_has(document):
    saved = document.model_copy(update={"inputs": {"card.json": "0" * 64}})
    assert f"-v, or metrics.json in {document.run}" in "\n".join(shown(saved))
    assert "-v, or --json" in "\n".join(shown(document))


@pytest.mark.parametrize(("images", "there"), [(1, False), (2, True)])
def test_a_table_by_patient_is_left_out_where_each_has_one_image(document, images, there):
    per = document.per_patient
    assert per is not None
    metrics = {**per.metrics, "accuracy": per.metrics["accuracy"].model_copy(update={"n": document.metrics["accuracy"].n // images})}  # fmt: skip
    changed = document.model_copy(update={"per_patient": per.model_copy(update={"metrics": metrics})})
    assert any(line.startswith("Per patient") for line in shown(changed, verbose=True)) == there


def test_next_is_hidden_from_a_script_that_goes_on_itself(monkeypatch):
    def said() -> str:
        file = io.StringIO()
        print_next(Screen(set(), file=file), ("report", "run"), test_of="run")
        return file.getvalue()

    assert said().startswith("Next: plainfilm report run")
    monkeypatch.setenv("PLAINFILM_NO_NEXT", "1")
    assert said() == ""
