"""card.yaml in the bundle: a changed card is a new version with a parent, and its text forges nothing."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
import yaml
from markdown_it import MarkdownIt

from plainfilm.errors import OccupiedError
from plainfilm.export.bundle import export_run
from plainfilm.export.bundle_card import BundleCard
from plainfilm.export.model_card import NOT_REPORTED, model_card
from plainfilm.export.scorer import open_bundle
from plainfilm.pipeline.report import fill_card
from plainfilm.recalibrate.new_version import Version, _write_bundle
from plainfilm.runs.folder import RunDir
from plainfilm.runs.run_manifest import save_hashes, verify
from plainfilm.schemas.operating import ParentPoint, Recalibration
from plainfilm.serve.markdown import as_html

FORGED = [
    "x\n\n# Results\n\n| AUROC | 0.999 |", "**AUROC 0.999**", "</li><script>alert(1)</script>", "x --- license: mit", "\u202e999.0",
    f"y: {NOT_REPORTED}", "[a](http://b)", "![a](http://b)", "`code`", "&lt;b&gt;",
]  # fmt: skip


@pytest.fixture
def run(exported: tuple[RunDir, Path], tmp_path: Path) -> RunDir:
    return RunDir(shutil.copytree(exported[0].root, tmp_path / "run"))


def parent_of(bundle: str) -> str | None:
    found: str | None = json.loads((Path(bundle) / "card.json").read_text())["parent_sha256"]
    return found


def test_a_changed_card_makes_a_new_version_that_names_its_parent(run: RunDir) -> None:
    first = export_run(run.root)
    assert (Path(first.out).name, first.parent_sha256, parent_of(first.out), first.not_reported) == ("bundle", None, None, 15)  # fmt: skip
    with pytest.raises(OccupiedError):
        export_run(run.root)  # nothing has changed
    fill_card(run.root, ["contact=Jane Doe"])
    second = export_run(run.root)
    manifest = hashlib.sha256((Path(first.out) / "MANIFEST.json").read_bytes()).hexdigest()
    assert Path(second.out).name == "bundle-2" and second.not_reported == 14
    assert second.parent_sha256 == parent_of(second.out) == manifest
    page = open_bundle(Path(second.out)).card_markdown()  # checked against its manifest
    assert "report problems (by people): Jane Doe" in page and manifest in page
    assert open_bundle(Path(first.out)).card.people == {}
    with pytest.raises(OccupiedError, match="bundle-2 exists"):
        export_run(run.root)


@pytest.mark.parametrize("name", ["card.json", "MANIFEST.json", "model.safetensors"])
def test_a_damaged_bundle_is_named_and_no_parent(run: RunDir, name: str) -> None:
    export_run(run.root)
    fill_card(run.root, ["contact=Jane Doe"])
    second = Path(export_run(run.root).out)
    if name == "card.json":  # an edit by which it would say what the run's card.yaml says now
        edited = (second / name).read_text().replace("Jane Doe", "John Doe")
        (second / name).write_text(edited)
    else:
        (second / name).write_bytes(b"{}")
    fill_card(run.root, ["contact=John Doe"])
    said: list[str] = []
    third = export_run(run.root, on_event=lambda kind, data: said.append(data["text"]) if kind == "note" else None)
    assert (Path(third.out).name, third.parent_sha256, parent_of(third.out)) == ("bundle-3", None, None)
    assert [text for text in said if "bundle-2 is damaged" in text] and len(said) == len(set(said))


def test_a_recalibrated_bundle_does_not_keep_the_parent_of_its_parent(run: RunDir, tmp_path: Path) -> None:
    export_run(run.root)
    fill_card(run.root, ["contact=Jane Doe"])
    second = Path(export_run(run.root).out)
    _write_bundle(second, tmp_path / "local", Version(open_bundle(second).card, None, pd.DataFrame()))
    made = open_bundle(tmp_path / "local").card
    assert (made.parent_sha256, made.people) == (None, {"contact": "Jane Doe"})


def test_equal_texts_give_equal_bundles_elsewhere(run: RunDir, tmp_path: Path) -> None:
    export_run(run.root)
    fill_card(run.root, ["contact=Jane Doe"])
    hashes = []
    for name in ("a.zip", "b.zip"):
        export_run(run.root, tmp_path / name)
        hashes.append(hashlib.sha256((tmp_path / name).read_bytes()).hexdigest())
    assert hashes[0] == hashes[1]
    fill_card(run.root, ["contact=John Doe"])
    export_run(run.root, tmp_path / "c.zip")
    assert hashlib.sha256((tmp_path / "c.zip").read_bytes()).hexdigest() != hashes[0]


def test_the_manifest_of_the_run_says_nothing_of_it(run: RunDir) -> None:
    save_hashes(run, {"card.json": hashlib.sha256(run.card.read_bytes()).hexdigest()})
    fill_card(run.root, ["contact=Jane Doe"])
    run.people_card.write_text("contact: 'an edit'\n", encoding="utf-8")
    verify(run)
    assert "card.yaml" not in run.manifest.read_text()


@pytest.mark.parametrize("text", FORGED)
def test_a_text_of_people_forges_nothing(exported: tuple[RunDir, Path], text: str) -> None:
    plain = open_bundle(exported[1]).card
    card = BundleCard.model_validate({**plain.model_dump(), "people": {"contact": text, "licence": text}})
    page, before = model_card(card), model_card(plain)
    assert "13 fields are NOT REPORTED" in page and "15 fields are NOT REPORTED" in before

    def blocks(markdown: str) -> list[str]:
        tokens = MarkdownIt("commonmark", {"html": True}).enable("table").parse(markdown.partition("\n---\n")[2])
        return [token.type for token in tokens]

    def inline(markdown: str) -> set[str]:
        tokens = MarkdownIt("commonmark", {"html": True}).enable("table").parse(markdown.partition("\n---\n")[2])
        return {child.type for token in tokens for child in token.children or []}

    assert blocks(page) == blocks(before)
    assert inline(page) - inline(before) == set()
    assert yaml.safe_load(page.split("---\n")[1]).keys() - {"license", "license_name"} == yaml.safe_load(before.split("---\n")[1]).keys()  # fmt: skip


def test_the_metadata_is_what_a_hub_reads(exported: tuple[RunDir, Path]) -> None:
    hub = pytest.importorskip("huggingface_hub")
    card = open_bundle(exported[1]).card
    untested = hub.ModelCard(model_card(card)).data
    assert (untested.library_name, untested.pipeline_tag, untested.license, untested.eval_results) == (
        "plainfilm", "image-classification", None, None,
    )  # fmt: skip
    assert "research-only" in untested.tags
    scores = card.metrics["valid"]
    notes = [*card.notes, "LEAKY SPLIT: images were split at random."]
    tested = card.model_copy(update={"metrics": {**card.metrics, "test": scores}, "people": {"licence": "MIT"}, "notes": notes})  # fmt: skip
    data = hub.ModelCard(model_card(tested)).data
    assert data.license == "mit"
    found = {one.metric_type: one.metric_value for one in data.eval_results}
    assert found["roc_auc"] == round(scores.metrics["auroc"].value, 4)
    assert set(found) == {"roc_auc", "accuracy", "recall", "specificity"}
    assert all(one.dataset_name.startswith("LEAKY SPLIT: ") for one in data.eval_results)
    moved = Recalibration(
        method="intercept", date="2026-01-01", parent_sha256="0" * 64, parent=ParentPoint(temperature=1, threshold=0.5),
        images=9, patients=9, fitted_images=9, fitted_patients=9, fingerprint="0" * 64,
    )  # fmt: skip
    elsewhere = hub.ModelCard(model_card(tested.model_copy(update={"recalibration": moved}))).data
    assert elsewhere.eval_results is None and elsewhere.license == "mit"  # its test scores are those of its parent
    own = yaml.safe_load(card.model_copy(update={"people": {"licence": "ask us"}}).front_matter().strip("-\n"))
    assert (own["license"], own["license_name"]) == ("other", "ask us")


def test_a_page_hides_the_metadata(exported: tuple[RunDir, Path]) -> None:
    page = model_card(open_bundle(exported[1]).card)
    html = as_html(page)
    assert "library_name" in page and "library_name" not in html and html.startswith("<h1>Model card")
    assert as_html("---\nno end\n") and "a line" in as_html("# t\n---\na line")  # an older card, and no card
