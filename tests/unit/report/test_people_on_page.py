"""What people filled in card.yaml is on the page, marked as theirs, and what is open is counted."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from plainfilm.cli import app
from plainfilm.pipeline.report import fill_card, report_run
from plainfilm.report.claim import claim_items
from plainfilm.report.run_data import read_reported_run
from plainfilm.runs.people_card import FIELDS


def test_items_filled_by_people_are_reported_as_theirs(finish):
    run = finish()
    before = report_run(run.root)
    assert before.card_open == len(FIELDS)
    fill_card(run.root, ["limits=<b>few</b> children", "contact=Jane Doe", "intended_use=teaching"])
    after = report_run(run.root)
    assert (after.claim_reported, after.claim_not_reported) == (before.claim_reported + 2, before.claim_not_reported - 2)  # fmt: skip
    assert (before.claim_by_people, after.claim_by_people) == (0, 2)
    said = CliRunner().invoke(app, ["report", str(run.root)])
    assert said.exit_code == 0, said.stderr
    found = re.search(r"CLAIM 2024: (\d+) items from the run, (\d+) by people alone, (\d+) NOT REPORTED", said.stdout)
    assert found and tuple(map(int, found.groups())) == (before.claim_reported, 2, after.claim_not_reported)
    assert after.card_open == len(FIELDS) - 3
    html = run.report.read_text(encoding="utf-8")
    assert "<b>By people, not checked:</b> <bdi>&lt;b&gt;few&lt;/b&gt; children</bdi>" in html
    assert "Also said by people, not checked" in html and "Jane Doe" in html
    assert f"{len(FIELDS) - 3} of {len(FIELDS)} fields of card.yaml are open" in html


def test_a_card_that_is_none_is_refused_and_the_old_page_stays(finish):
    run = finish()
    report_run(run.root)
    old = run.report.read_bytes()
    run.people_card.write_text("contct: x\n", encoding="utf-8")
    with pytest.raises(Exception, match="did you mean 'contact'"):
        report_run(run.root)
    assert run.report.read_bytes() == old


@pytest.mark.parametrize(
    ("name", "kind"),
    [("paper", "Convolutional network"), ("vit_tiny", "Vision transformer"), ("convnext_atto", "Convolutional network"), ("timm/mixer_b16_224", "Network")],
)  # fmt: skip
def test_item_22_names_the_true_kind_of_network(finish, name, kind):
    found = read_reported_run(finish())
    card = found.card.model_copy(update={"model": found.card.model.model_copy(update={"name": name})})
    (item,) = (item for item in claim_items(replace(found, card=card))[0] if item.number == 22)
    assert item.text.startswith(f"{kind} '{name}' on ")
