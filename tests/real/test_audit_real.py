"""The audit of the real sets finds what is known of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from plainfilm.config import load_config
from plainfilm.pipeline.audit import audit_data
from plainfilm.schemas.data import AuditDocument


@pytest.fixture(scope="session")
def mirror_audit(kermany: Path, tmp_path_factory: pytest.TempPathFactory) -> AuditDocument:
    cfg = load_config(options={"data.path": str(kermany)})
    return audit_data(cfg, tmp_path_factory.mktemp("audit") / "mirror")


@pytest.fixture(scope="session")
def original_audit(originals: Path, tmp_path_factory: pytest.TempPathFactory) -> AuditDocument:
    cfg = load_config(options={"data.path": str(originals), "data.harmonise": True})
    return audit_data(cfg, tmp_path_factory.mktemp("audit") / "originals")


def test_the_mirror_has_thirty_groups_of_copies_and_no_leak(mirror_audit: AuditDocument) -> None:
    assert (mirror_audit.found, mirror_audit.used) == (5840, 5840)
    assert len(mirror_audit.duplicates) == 30
    assert sum(len(group) - 1 for group in mirror_audit.duplicates) == 32
    assert mirror_audit.near_duplicates == []
    assert mirror_audit.label_conflicts == []
    assert mirror_audit.patients_across_splits == []
    assert mirror_audit.duplicates_across_splits == []
    assert mirror_audit.verdict == "warn"


def test_the_mirror_can_be_told_apart_without_a_lung(mirror_audit: AuditDocument) -> None:
    values = {row.probe: row.auroc.value for row in mirror_audit.shortcuts}
    assert values["picture statistics"] > 0.9  # sharpness alone gives 0.876 on train
    assert all(row.banner for row in mirror_audit.shortcuts)


def test_the_original_files_give_their_class_away_by_their_size(original_audit: AuditDocument) -> None:
    facts = next(row for row in original_audit.shortcuts if row.probe == "file facts")
    assert facts.auroc.value is not None
    assert facts.auroc.value >= 0.99
    assert facts.banner
    assert original_audit.classes["PNEUMONIA"]["channels"] == {"1": 221, "3": 19}  # every colour file is PNEUMONIA
    assert original_audit.classes["NORMAL"]["channels"] == {"1": 100}


def test_harmonising_buys_nothing_on_the_originals_as_the_docs_say(original_audit: AuditDocument) -> None:
    found = {(row.probe, row.pixels): row.auroc.value for row in original_audit.shortcuts}
    for probe in ("picture statistics", "border ring", "thumbnail 8x8"):
        plain, harmonised = found[probe, "plain"], found[probe, "harmonised"]
        assert plain is not None
        assert harmonised is not None
        assert abs(harmonised - plain) < 0.03, probe
