"""What is proposed, and left alone, on the names of public sets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from plainfilm.config import DataConfig, load_config
from plainfilm.data.audit.patient_patterns import propose_patterns
from plainfilm.data.table.image_table import scan_table
from plainfilm.pipeline.audit import audit_data
from plainfilm.schemas.data import AuditDocument


@pytest.fixture(scope="session")
def ct_audit(real_set: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> AuditDocument:
    cfg = load_config(options={"data.path": str(real_set("ct_slices"))})
    return audit_data(cfg, tmp_path_factory.mktemp("audit") / "ct")


def test_the_patients_of_ct_slices_are_found_in_train_and_test(ct_audit: AuditDocument) -> None:
    """nor_<n>_img_<k>: 98 images of 9 patients, every one in two or three given folders."""
    first = ct_audit.patient_patterns[0]
    assert (first.pattern, first.groups, first.images, first.straddling) == (r"^(nor_\d+)_", 9, 98, 9)
    assert ct_audit.patients_across_splits is None
    assert ct_audit.verdict != "ok"


def test_the_positive_class_of_ct_slices_is_covid(ct_audit: AuditDocument) -> None:
    assert ct_audit.positive == "COVID"
    assert not [note for note in ct_audit.notes if "by alphabet" in note]


@pytest.mark.parametrize(
    ("name", "first"), [("adult_cxr", r"^(\d+)_"), ("plates", r"^img\d+-(\d+)"), ("satellite", None)]
)
def test_the_proposals_for_other_sets(name: str, first: str | None, real_set: Callable[[str], Path]) -> None:
    rows = scan_table(real_set(name), DataConfig())[0].rows
    found = propose_patterns(rows)
    assert (found[0].pattern if found else None) == first
