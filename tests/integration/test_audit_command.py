"""`plainfilm audit` against drawn sets whose faults are known, as a user runs it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from plainfilm.cli import app

pytestmark = [pytest.mark.slow, pytest.mark.campaign]  # .ci/run asks for this file


def plainfilm(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def drawn(out: Path, *options: object, images: int = 400) -> dict[str, Any]:
    done = plainfilm("phantom", out, "--images", images, "--size", 128, "--json", *options)
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)["planted"]


def audited(data: Path, out: Path, *options: object, code: int = 0) -> dict[str, Any]:
    done = plainfilm("audit", data, "--out", out, "--size", 128, "--json", *options)
    assert done.exit_code == code, done.output
    return json.loads(done.stdout)


def patient_of(name: str) -> str:
    """Drawn images of one patient may be nearly identical by themselves."""
    return name.rpartition("/")[2].split("-")[1]


def pairs(groups: list[list[str]]) -> set[frozenset[str]]:
    return {frozenset(group) for group in groups}


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], dict[str, Any]]:
    """What was planted, and what the audit says."""
    folder = tmp_path_factory.mktemp("faulty")
    planted = drawn(
        folder / "data", "--duplicates", 50, "--near-duplicates", 50, "--label-conflicts", 20, "--shared-patients", 30
    )
    return planted, audited(folder / "data", folder / "audit", code=1)


def test_every_planted_duplicate_is_found_and_nothing_else(faulty: tuple) -> None:
    planted, document = faulty
    assert len(planted["duplicates"]) == 50
    assert pairs(document["duplicates"]) == pairs(planted["duplicates"])


def test_near_duplicates_are_found_and_nothing_else(faulty: tuple) -> None:
    planted, document = faulty
    assert len(planted["near_duplicates"]) == 50
    found, wanted = pairs(document["near_duplicates"]), pairs(planted["near_duplicates"])
    assert sum(any(pair <= group for group in found) for pair in wanted) >= 48
    copies = {copy for _, copy in planted["near_duplicates"]}
    assert all(len({patient_of(name) for name in group - copies}) <= 1 for group in found)


def test_every_label_conflict_is_found_and_quarantined(faulty: tuple) -> None:
    planted, document = faulty
    assert pairs(document["label_conflicts"]) == pairs(planted["label_conflicts"])
    assert len(document["label_conflicts"]) == 20
    conflicts = {row["path"] for row in document["quarantined"] if row["code"] == "E_LABEL_CONFLICT"}
    assert conflicts == {name for pair in planted["label_conflicts"] for name in pair}


def test_every_shared_patient_is_found_and_nobody_else(faulty: tuple) -> None:
    planted, document = faulty
    assert document["patients_across_splits"] == sorted(f"phantom-{number}" for number in planted["shared_patients"])
    assert len(planted["shared_patients"]) == 30
    assert "patient keys in two given folders" in Path(document["page"]).read_text(encoding="utf-8")


def test_the_verdict_is_fail_and_the_page_shows_the_copies(faulty: tuple) -> None:
    _, document = faulty
    assert document["verdict"] == "fail"
    page = Path(document["page"]).read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") > 20
    assert "http://" not in page
    assert "https://" not in page
    for name in document["duplicates"][-1]:  # also those whose images are not drawn are named
        assert name in page
    saved = json.loads((Path(document["page"]).parent / "audit.json").read_text(encoding="utf-8"))
    assert saved == document


def test_a_clean_set_has_no_fault_and_says_what_a_thumbnail_sees(tmp_path: Path) -> None:
    drawn(tmp_path / "data", images=600)
    document = audited(tmp_path / "data", tmp_path / "audit")
    assert all(len({patient_of(name) for name in group}) == 1 for group in document["near_duplicates"])
    for key in ("duplicates", "label_conflicts", "quarantined", "patients_across_splits"):
        assert document[key] == [], key
    auroc = {row["probe"]: row["auroc"] for row in document["shortcuts"]}
    for probe in ("file facts", "border ring"):
        assert auroc[probe]["ci_low"] <= 0.55, auroc[probe]
        assert auroc[probe]["ci_high"] >= 0.45, auroc[probe]
    assert auroc["thumbnail 8x8"]["value"] <= 0.85


@pytest.mark.parametrize(("shortcut", "probe", "least"), [("jpeg", "file facts", 0.99), ("marker", None, 0.8)])
def test_a_planted_shortcut_raises_the_banner(tmp_path: Path, shortcut: str, probe: str | None, least: float) -> None:
    drawn(tmp_path / "data", "--shortcut", shortcut)
    document = audited(tmp_path / "data", tmp_path / "audit")
    assert document["verdict"] == "warn"
    rows = [row for row in document["shortcuts"] if probe in (None, row["probe"])]
    assert max(row["auroc"]["value"] for row in rows) >= least
    assert any(row["banner"] for row in rows)
    assert any(note.startswith("SHORTCUT") for note in document["notes"])


@pytest.mark.parametrize(
    ("options", "fail_on", "code"),
    [
        (["--duplicates", "3"], "fail", 0),
        (["--duplicates", "3"], "warn", 1),
        (["--label-conflicts", "1"], "fail", 1),
        (["--label-conflicts", "1"], "never", 0),
        (["--shared-patients", "1"], "fail", 1),
        (["--given-folders"], "fail", 0),
    ],
)
def test_the_exit_code_follows_the_verdict(tmp_path: Path, options: list[str], fail_on: str, code: int) -> None:
    drawn(tmp_path / "data", *options, images=80)
    audited(tmp_path / "data", tmp_path / "audit", "--fail-on", fail_on, code=code)


def test_the_harmonised_pixels_are_probed_beside_the_plain_ones(tmp_path: Path) -> None:
    drawn(tmp_path / "data", "--shortcut", "jpeg", images=200)
    document = audited(tmp_path / "data", tmp_path / "audit", "--harmonise", "--requantise", "32")
    found = [(row["probe"], row["pixels"]) for row in document["shortcuts"]]
    pictures = ["picture statistics", "border ring", "thumbnail 8x8"]
    assert found == [("file facts", "file"), *((p, "plain") for p in pictures), *((p, "harmonised") for p in pictures)]


def test_a_run_has_the_shortcut_baseline(tmp_path: Path) -> None:
    """Class-dependent JPEG quality: the file facts beat the network, and every output of the run says so."""
    drawn(tmp_path / "data", "--shortcut", "jpeg", images=300)
    run = tmp_path / "run"
    small = ("--size", 40, "--epochs", 1, "--batch-size", 16)
    trained = plainfilm("train", tmp_path / "data", *small, "--out", run, "--json")
    assert trained.exit_code == 0, trained.output
    row = json.loads(trained.stdout)["no_lungs_needed"]
    assert row["best"] == "file facts"
    assert row["auroc"]["value"] >= 0.99
    tested = json.loads(plainfilm("evaluate", run, "--split", "test", "--json").stdout)
    assert tested["no_lungs_needed"]["best"] == "file facts"
    assert tested["no_lungs_needed"]["auroc"]["value"] >= 0.99
    assert tested["no_lungs_needed"]["auroc"]["n"] == tested["metrics"]["auroc"]["n"]
    assert any("SHORTCUT" in note and "file facts" in note for note in tested["notes"])
    shown = plainfilm("evaluate", run).stdout
    assert "Shortcut baseline: AUROC" in shown
    difference = tested["shortcut_baseline"]["difference"]
    assert difference["value"] == pytest.approx(
        tested["metrics"]["auroc"]["value"] - tested["no_lungs_needed"]["auroc"]["value"]
    )
    assert (
        difference["p"] <= 0.05
        and "AUROC above the best shortcut probe (file facts): -" in shown
        and ": worse than it" in shown
    )
    # fitted on the train rows alone: the second look finds the same numbers from what was saved
    again = json.loads(plainfilm("evaluate", run, "--split", "test", "--json").stdout)
    assert again["no_lungs_needed"] == tested["no_lungs_needed"]


def test_training_without_the_audit_has_no_such_row(tmp_path: Path, tiny_cxr: Path) -> None:
    run = tmp_path / "run"
    done = plainfilm("train", tiny_cxr, "--size", 40, "--epochs", 1, "--no-audit", "--out", run, "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["no_lungs_needed"] is None
    assert not (run / "probes").exists()


def test_odd_data_are_reported_in_one_line_or_as_not_estimable(
    tmp_path: Path, write_image: Callable[..., Path]
) -> None:
    film = np.random.default_rng(0).integers(0, 256, (20, 20), dtype=np.uint8)
    write_image(tmp_path / "one" / "A" / "1.png", film)
    document = audited(tmp_path / "one", tmp_path / "audit-one")
    assert {row["auroc"]["value"] for row in document["shortcuts"]} == {None}
    assert all("not estimable" in row["auroc"]["method"] for row in document["shortcuts"])
    (tmp_path / "bad" / "A").mkdir(parents=True)
    (tmp_path / "bad" / "A" / "1.png").write_bytes(b"no picture")
    done = plainfilm("audit", tmp_path / "bad", "--out", tmp_path / "audit-bad")
    assert done.exit_code == 2
    assert "None of the 1 files" in done.stderr
    assert not (tmp_path / "audit-bad").exists()
    for wrong in (["--fail-on", "sometimes"], ["--requantise", "16"], ["--out", tmp_path / "one" / "audit"]):
        done = plainfilm("audit", tmp_path / "one", *wrong)
        assert done.exit_code == 2, wrong
        assert len(done.stderr.strip().splitlines()) == 1, done.stderr


def test_a_class_without_a_usable_image_is_still_audited(tmp_path: Path, write_image: Callable[..., Path]) -> None:
    for i in range(6):
        film = np.random.default_rng(i).integers(0, 256, (20, 20), dtype=np.uint8)
        write_image(tmp_path / "data" / "A" / f"{i}.png", film)
    (tmp_path / "data" / "B").mkdir()
    (tmp_path / "data" / "B" / "1.png").write_bytes(b"no picture")
    document = audited(tmp_path / "data", tmp_path / "audit")
    assert document["verdict"] == "warn"
    assert list(document["classes"]) == ["A"]


def test_the_cache_is_listed_and_cleared(tmp_path: Path, tiny_cxr: Path, fresh_cache: Path) -> None:
    audited(tiny_cxr, tmp_path / "audit")
    listed = json.loads(plainfilm("cache", "ls", "--json").stdout)
    assert (listed["folder"], listed["removed"]) == (str(fresh_cache), False)
    assert sum(entry["bytes"] for entry in listed["entries"]) == listed["bytes"] > 32 * 96 * 96
    shown = plainfilm("cache", "ls").stdout
    assert "32 images, 128 px, grey, squish" in shown
    cleared = json.loads(plainfilm("cache", "clear", "--json").stdout)
    assert (cleared["removed"], cleared["bytes"]) == (True, listed["bytes"])
    assert json.loads(plainfilm("cache", "ls", "--json").stdout)["entries"] == []


def test_an_epoch_after_the_first_opens_no_file(
    tmp_path: Path, tiny_cxr: Path, fresh_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counted at the only place where images are opened; the second run opens none at all."""
    opened: list[str] = []
    real = Image.open

    def count(*args: Any, **kwargs: Any) -> Any:
        if "formats" in kwargs:  # by decode(); the gate also opens JPEGs that it made in memory
            opened.append("image")
        return real(*args, **kwargs)

    monkeypatch.setattr(Image, "open", count)
    options = ("--size", 40, "--epochs", 3, "--no-audit", "--batch-size", 8)
    assert plainfilm("train", tiny_cxr, *options, "--out", tmp_path / "a").exit_code == 0
    used = len((tmp_path / "a" / "table.csv").read_text().splitlines()) - 1
    in_training = sum(",test" not in line for line in (tmp_path / "a" / "table.csv").read_text().splitlines()[1:])
    assert len(opened) == used + in_training  # the scan, and one decoding of each train and valid image
    opened.clear()
    assert plainfilm("train", tiny_cxr, *options, "--out", tmp_path / "b").exit_code == 0
    assert opened == []
    for name in ("model.safetensors", "history.csv"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert plainfilm("train", tiny_cxr, *options, "--no-cache", "--out", tmp_path / "c").exit_code == 0
    assert (tmp_path / "a" / "model.safetensors").read_bytes() == (tmp_path / "c" / "model.safetensors").read_bytes()
