"""card.yaml: what only people can say, by strict names, bounded and on one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from plainfilm.base.sanitize import visible
from plainfilm.cli import app
from plainfilm.config.strict_yaml import parsed_yaml
from plainfilm.errors import ConfigError, DataError, OccupiedError
from plainfilm.pipeline.report import fill_card
from plainfilm.report.claim import _TOPICS
from plainfilm.runs.folder import RunDir
from plainfilm.runs.people_card import FIELDS, _as_yaml, _clean, of_bundle, open_fields, read_people_card


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    """A finished run, as far as the card looks."""
    found = RunDir(tmp_path / "run")
    found.root.mkdir()
    found.write_status("done")
    return found


def card(run: RunDir, *words: str, code: int = 0) -> Result:
    done = CliRunner(env={"NO_COLOR": "1", "COLUMNS": "80"}).invoke(app, ["card", str(run.root), *words])
    assert done.exit_code == code, f"{done.stdout}\n{done.stderr}"
    return done


def test_the_first_call_writes_the_open_fields_with_their_questions(run: RunDir) -> None:
    said = card(run).stdout
    assert f"{len(FIELDS)} of {len(FIELDS)} fields are open: 15 of MODEL_CARD.md, 24 items of CLAIM 2024" in said
    text = run.people_card.read_text(encoding="utf-8")
    assert all(f"# {field.question} (" in text and f"\n{name}: ''\n" in text for name, field in FIELDS.items())
    assert read_people_card(run) == {}
    before = run.people_card.stat().st_mtime_ns
    document = json.loads(card(run, "--json").stdout)
    assert (document["written"], document["open"]) == (False, len(FIELDS))
    assert run.people_card.stat().st_mtime_ns == before


def test_what_is_set_is_kept_and_an_empty_text_opens_it_again(run: RunDir) -> None:
    document = json.loads(card(run, "--set", "contact=Jane Doe", "--set", "limits=one = two", "--json").stdout)
    assert {f["name"]: f["text"] for f in document["fields"] if f["text"]} == {"contact": "Jane Doe", "limits": "one = two"}  # fmt: skip
    assert document["open"] == len(FIELDS) - 2 and document["written"]
    card(run, "--set", "contact=", "--set", "ethics=board 7")
    assert read_people_card(run) == {"ethics": "board 7", "limits": "one = two"}
    assert open_fields(read_people_card(run), model_card=True)[:2] == ["intended_use", "out_of_scope"]


def test_an_edit_by_hand_is_read(run: RunDir) -> None:
    card(run)
    text = run.people_card.read_text(encoding="utf-8")
    edited = text.replace("funding: ''", "funding: >\n  none,\n  none at all").replace("title: ''", "title:")
    run.people_card.write_text(edited, encoding="utf-8")
    assert read_people_card(run) == {"funding": "none, none at all"}


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("contct=x", "there is no field 'contct'; did you mean 'contact'?"),
        ("zzzzzzzz=x", "there is no field 'zzzzzzzz'; plainfilm card RUN lists them."),
        ("contact", "expected FIELD=TEXT"),
        ("contact=" + "x" * 1001, "1,001 characters; at most 1,000 are taken"),
        ("contact=a --set contact=b", "given twice"),
    ],
)
def test_a_setting_that_is_none_is_refused_and_nothing_is_written(run: RunDir, setting: str, said: str) -> None:
    words = [word for one in setting.split(" --set ") for word in ("--set", one)]
    refused = card(run, *words, code=2).stderr
    assert said in refused and len(refused.splitlines()) == 1 and not run.people_card.exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("contct: x\n", "did you mean 'contact'"),
        ("sample_size: 300\n", "sample_size holds 300; expected text, in quotes"),
        ("contact: [a]\n", "contact holds"),
        ("contact: {a: b}\n", "contact holds"),
        ("- contact\n", "holds list; expected fields, NAME: 'TEXT'. Correct or delete it."),
        ("contact: &a x\n", "anchor or alias 'a'; write the value out. Correct or delete it."),
        ("contact: a: b\n", "is not valid YAML at line 1. Put each text between quotes. Correct or delete it."),
        ("#" * 1_100_000, "bytes. Correct or delete it."),
        (f"contact: {'x' * 1001}\n", "1,001 characters"),
    ],
)
def test_what_is_no_card_is_refused_in_one_line(run: RunDir, text: str, said: str) -> None:
    run.people_card.write_text(text, encoding="utf-8")
    with pytest.raises((DataError, ConfigError)) as refused:
        read_people_card(run)
    assert said in str(refused.value) and "\n" not in str(refused.value) and "config" not in str(refused.value)


@pytest.mark.parametrize("text", ["", "\n", "# contact: Jane Doe\n", "---\n"])
def test_an_empty_card_has_open_fields_and_is_filled(run: RunDir, text: str) -> None:
    run.people_card.write_text(text, encoding="utf-8")
    assert read_people_card(run) == {}
    card(run, "--set", "contact=Jane Doe")
    assert read_people_card(run) == {"contact": "Jane Doe"}


@settings(deadline=None)  # a busy machine is not an error
@given(st.text(max_size=80))
def test_any_text_is_kept_on_one_line(text: str) -> None:
    kept = _clean(text)
    assert visible(kept) == kept == _clean(kept)
    raw = parsed_yaml(_as_yaml({"contact": kept}).encode("utf-8"), Path("card.yaml"))
    assert of_bundle(raw) == ({"contact": kept} if kept else {})


def test_a_run_that_is_being_written_is_left_alone(run: RunDir) -> None:
    with run.lock(), pytest.raises(OccupiedError):
        fill_card(run.root, ["contact=x"])


def test_a_bundle_from_anywhere_holds_only_what_card_yaml_can() -> None:
    assert of_bundle({"contact": "a\nb"}) == {"contact": "a b"}
    for raw in ({"contct": "x"}, {"contact": "x" * 1001}):
        with pytest.raises(ValueError, match=r"card\.json"):
            of_bundle(raw)


def test_the_fields_answer_items_of_the_checklist_once() -> None:
    items = [n for field in FIELDS.values() for n in field.claim]
    assert len(items) == len(set(items)) == 24 and set(items) <= set(_TOPICS)
    assert all(field.section or field.claim for field in FIELDS.values())
