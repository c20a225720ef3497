"""Findings of a table and the verdict on them, worked out by hand."""

from __future__ import annotations

import multiprocessing
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from plainfilm.config import DataConfig, load_config
from plainfilm.data.audit.findings import Findings, by_class, find
from plainfilm.data.cache.rows import decode_rows
from plainfilm.data.image.decode import DecodeSpec
from plainfilm.data.synthetic.phantom import write_phantom
from plainfilm.data.table.image_table import scan_table
from plainfilm.pipeline.audit import audit_data
from plainfilm.schemas.data import AuditDocument

NOTHING = dict(identical=[], near=[], conflicts=[], across_patients=[], across_identical=[], quarantined=0)


@pytest.mark.parametrize(
    ("found", "shortcut", "verdict"),
    [
        ({}, False, "ok"),
        ({"across_patients": None}, False, "ok"),
        ({}, True, "warn"),
        ({"identical": [["a", "b"]]}, False, "warn"),
        ({"near": [["a", "b"]]}, False, "warn"),
        ({"quarantined": 1}, False, "warn"),
        ({"conflicts": [["a", "b"]]}, False, "fail"),
        ({"across_patients": ["p1"]}, False, "fail"),
        ({"across_identical": [["a", "b"]], "identical": [["a", "b"]]}, True, "fail"),
    ],
)
def test_the_verdict_is_that_of_the_gravest_finding(found: dict, shortcut: bool, verdict: str) -> None:
    assert Findings(**{**NOTHING, **found}).verdict(shortcut) == verdict


@pytest.mark.parametrize(
    ("found", "shortcut", "verdict"),
    [
        ({}, False, "unknown"),
        ({}, True, "warn"),
        ({"quarantined": 1}, False, "warn"),
        ({"conflicts": [["a", "b"]]}, False, "fail"),
    ],
)
def test_unknown_is_graver_than_ok_and_nothing_else(found: dict, shortcut: bool, verdict: str) -> None:
    assert Findings(**{**NOTHING, **found}).verdict(shortcut, unknown=True) == verdict


def slices(root: Path, write_image: Callable[..., Path], name: str) -> Path:
    """Eight patients, four a class, each with four slices of noise, two in train and two in test."""
    for p in range(8):
        for k in range(4):
            image = np.random.default_rng(10 * p + k).integers(0, 256, (24, 24), dtype=np.uint8)
            part = "train" if k < 2 else "test"
            write_image(root / part / "AB"[p % 2] / name.format(p=p, k=k, i=4 * p + k), image)
    return root


def audit_of(root: Path, out: Path, **options: object) -> AuditDocument:
    return audit_data(load_config(options={"data.path": str(root), "train.size_px": 24, **options}), out)


def test_without_a_key_a_straddling_pattern_makes_the_audit_unknown(
    tmp_path: Path, write_image: Callable[..., Path]
) -> None:
    root = slices(tmp_path / "data", write_image, "nor_{p}_img_{k}.png")
    document = audit_of(root, tmp_path / "audit")
    assert document.patients_across_splits is None
    (found,) = document.patient_patterns
    assert (found.pattern, found.groups, found.images, found.median_images_per_group, found.straddling) == (
        r"^(nor_\d+)_", 8, 32, 4.0, 8
    )  # fmt: skip
    assert document.verdict == "unknown"
    assert {facts["patients"] for facts in document.classes.values()} == {None}
    page = (tmp_path / "audit" / "audit.html").read_text(encoding="utf-8")
    assert "unknown whether a patient is in two given folders" in page and "whole patients" not in page
    assert r"<code>--patient-pattern &#39;^(nor_\d+)_&#39;</code>" in page


def test_the_pattern_once_given_is_judged(tmp_path: Path, write_image: Callable[..., Path]) -> None:
    root = slices(tmp_path / "data", write_image, "nor_{p}_img_{k}.png")
    document = audit_of(root, tmp_path / "audit", **{"data.patient_pattern": r"^(nor_\d+)_"})
    assert document.patients_across_splits == [f"nor_{p}" for p in range(8)]
    assert (document.patient_patterns, document.verdict) == ([], "fail")


def test_patients_without_a_pattern_or_a_key_make_the_audit_of_given_folders_unknown(
    tmp_path: Path, write_image: Callable[..., Path]
) -> None:
    root = slices(tmp_path / "data", write_image, "img_{i}.png")
    document = audit_of(root, tmp_path / "audit")
    assert (document.patients_across_splits, document.patient_patterns, document.verdict) == (None, [], "unknown")
    assert document.notes[-2] == (
        "No patient key: images of one patient on both sides of a fold may inflate the probes' scores, and it is unknown "
        "whether a patient is in two given folders."
    )
    assert sum("patient key" in note for note in document.notes) == 1


@pytest.mark.parametrize("parts", [(), ("train",)])
def test_without_two_given_folders_there_is_nothing_to_cross(
    tmp_path: Path, write_image: Callable[..., Path], parts: tuple[str, ...]
) -> None:
    root = slices(tmp_path / "all", write_image, "img_{i}.png")
    for image in sorted(root.rglob("*.png")):
        new = tmp_path.joinpath("data", *parts, image.parent.name, image.name)
        new.parent.mkdir(parents=True, exist_ok=True)
        image.rename(new)
    document = audit_of(tmp_path / "data", tmp_path / "audit")
    assert (document.patients_across_splits, document.verdict) == (None, "ok")
    assert document.notes[-2].startswith("No patient key: images of one patient on both sides of a fold")
    assert not any("two given folders" in note for note in document.notes)


def test_one_known_patient_hides_no_unknown_one(tmp_path: Path, write_image: Callable[..., Path]) -> None:
    """Of 32 images one names its patient, which crosses nothing."""
    root = slices(tmp_path / "data", write_image, "img_{i}.png")
    (root / "train/A/img_0.png").rename(root / "train/A/IM-0115-0001.png")
    document = audit_of(root, tmp_path / "audit")
    assert (document.patients_across_splits, document.verdict) == ([], "unknown")
    assert any(note.startswith("31 of 32 images have no patient key: ") for note in document.notes)
    assert any("scores, and it is unknown whether a patient is in two given" in note for note in document.notes)
    (root / "test/A/img_2.png").rename(root / "test/A/IM-0115-0002.png")
    document = audit_of(root, tmp_path / "again")
    assert (document.patients_across_splits, document.verdict) == (["IM-0115"], "fail")


def test_with_keys_it_is_known_that_none_crosses(tmp_path: Path, draw_cxr: Callable[..., Path]) -> None:
    root = given_tree(tmp_path / "data", draw_cxr)
    document = audit_of(root, tmp_path / "audit")
    assert (document.patients_across_splits, document.patient_patterns) == ([], [])


def test_given_folders_in_which_every_image_names_its_patient_are_not_unknown(
    tmp_path: Path, write_image: Callable[..., Path]
) -> None:
    document = audit_of(slices(tmp_path / "data", write_image, "IM-{i:04d}-{k}.png"), tmp_path / "audit")
    assert (document.patients_across_splits, document.patient_keys, document.verdict) == ([], 32, "ok")
    assert not any("patient key" in note for note in document.notes)


def test_one_patient_in_each_class_leaves_nothing_to_judge(tmp_path: Path, write_image: Callable[..., Path]) -> None:
    rows = ["path,label,patient"]
    for i in range(12):
        label = "AB"[i % 2]
        write_image(tmp_path / f"{i}.png", np.random.default_rng(i).integers(0, 256, (24, 24), dtype=np.uint8))
        rows.append(f"{i}.png,{label},person {label}")
    (tmp_path / "list.csv").write_text("\n".join(rows), encoding="utf-8")
    document = audit_of(tmp_path / "list.csv", tmp_path / "audit")
    assert all(shortcut.auroc.value is None for shortcut in document.shortcuts)
    assert document.verdict == "unknown"
    assert any("Class 'A' has 1 patient; a probe needs" in note for note in document.notes)
    assert any(note.startswith("IDENTITY RECOGNITION: every class is one patient") for note in document.notes)
    assert any("positive class by alphabet; --positive changes it" in note for note in document.notes)


def test_how_a_table_was_read_is_in_its_audit(tmp_path: Path, write_image: Callable[..., Path]) -> None:
    rows = ["file;class;who"]
    for i in range(8):
        write_image(tmp_path / f"{i}.png", np.random.default_rng(i).integers(0, 256, (24, 24), dtype=np.uint8))
        rows.append(f"{i}.png;{'AB'[i % 2]};{'7' if i else '7.0'}")
    (tmp_path / "list.csv").write_text("\n".join(rows), encoding="utf-8")
    document = audit_of(tmp_path / "list.csv", tmp_path / "audit", **{"data.patient_column": "who"})
    page = (tmp_path / "audit" / "audit.html").read_text(encoding="utf-8")
    for said in ("Columns of the table: path from", "Patients spelled in several ways"):
        assert any(note.startswith(said) for note in document.notes) and said in page


def given_tree(root: Path, draw_cxr: Callable[..., Path]) -> Path:
    draw_cxr(root / "train", patients=4)
    draw_cxr(root / "val", patients=2, first_patient=40)
    draw_cxr(root / "test", patients=2, first_patient=60)
    return root


def test_what_crosses_given_folders_is_found_and_nothing_else(tmp_path: Path, draw_cxr: Callable[..., Path]) -> None:
    root = given_tree(tmp_path / "data", draw_cxr)
    shutil.copy(root / "train/NORMAL/phantom-00001-1.png", root / "test/NORMAL/phantom-00091-1.png")  # a copy
    shutil.copy(root / "train/NORMAL/phantom-00002-1.png", root / "train/NORMAL/phantom-00092-1.png")  # inside train
    (root / "val/NORMAL/phantom-00040-1.png").rename(root / "train/NORMAL/phantom-00040-1.png")  # a patient in two
    table, _ = scan_table(root, DataConfig())
    found = find(table, decode_rows(table.rows, DecodeSpec(24)))
    assert found.across_patients == ["phantom-00040"]
    assert found.across_identical == [["test/NORMAL/phantom-00091-1.png", "train/NORMAL/phantom-00001-1.png"]]
    assert len(found.identical) == 2
    assert (found.conflicts, found.quarantined, found.verdict(False)) == ([], 0, "fail")


def test_classes_are_described_by_their_own_files(tmp_path: Path, write_image: Callable[..., Path]) -> None:
    for i, (label, size) in enumerate((("A", (10, 20)), ("A", (10, 40)), ("A", (10, 30)), ("B", (8, 8)))):
        image = np.random.default_rng(i).integers(0, 256, size, dtype=np.uint8)
        write_image(tmp_path / label / f"{i}.png", image)
    table, _ = scan_table(tmp_path, DataConfig())
    summary = by_class(table.rows)
    assert summary["A"]["images"] == 3
    assert summary["A"]["width"] == {"min": 20.0, "median": 30.0, "max": 40.0}
    assert summary["A"]["height"] == {"min": 10.0, "median": 10.0, "max": 10.0}
    assert summary["B"]["depth"] == {"8": 1}
    assert summary["B"]["channels"] == {"1": 1}


def test_the_audit_leaves_no_image_of_a_given_test_folder_in_the_cache(
    tmp_path: Path, draw_cxr: Callable[..., Path], fresh_cache: Path
) -> None:
    root = given_tree(tmp_path / "data", draw_cxr)
    cfg = load_config(options={"data.path": str(root), "train.size_px": 24})
    document = audit_data(cfg, tmp_path / "audit")
    assert document.used == 32
    kept = [np.load(path) for path in (fresh_cache / "decoded").rglob("*.npy")]
    assert sum(len(block) for block in kept) == 24  # train and val


def test_a_patient_in_train_and_val_is_distinguished_from_one_in_test(
    tmp_path: Path, draw_cxr: Callable[..., Path]
) -> None:
    root = given_tree(tmp_path / "data", draw_cxr)
    (root / "val/NORMAL/phantom-00040-1.png").rename(root / "train/NORMAL/phantom-00040-1.png")
    cfg = load_config(options={"data.path": str(root), "train.size_px": 24})
    document = audit_data(cfg, tmp_path / "audit")
    assert document.verdict == "fail"
    assert any("train and val only; --split official pools" in note for note in document.notes)


def test_drawn_images_are_named_as_drawn_in_the_document_and_on_the_page(tmp_path: Path) -> None:
    write_phantom(tmp_path / "drawn", images=24, size_px=32)
    document = audit_data(
        load_config(options={"data.path": str(tmp_path / "drawn"), "train.size_px": 24}), tmp_path / "audit"
    )
    assert document.notes[0].startswith("DRAWN IMAGES: all images are phantoms drawn by plainfilm")
    assert document.notes[0] in (tmp_path / "audit" / "audit.html").read_text(encoding="utf-8")


def _decode_in_a_process(folder: str, barrier: object, results: object) -> None:
    table, _ = scan_table(Path(folder), DataConfig())
    barrier.wait()  # type: ignore[attr-defined]
    results.put(decode_rows(table.rows, DecodeSpec(20))[:].tobytes())  # type: ignore[attr-defined]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="starting two processes at one moment needs fork here")
def test_two_processes_decode_each_file_once(tiny_cxr: Path, fresh_cache: Path) -> None:
    fork = multiprocessing.get_context("fork")
    barrier, results = fork.Barrier(2), fork.Queue()
    workers = [fork.Process(target=_decode_in_a_process, args=(str(tiny_cxr), barrier, results)) for _ in range(2)]
    for worker in workers:
        worker.start()
    found = [results.get(timeout=60) for _ in workers]
    for worker in workers:
        worker.join(timeout=60)
    table, _ = scan_table(tiny_cxr, DataConfig())
    assert found == [decode_rows(table.rows, DecodeSpec(20), keep=False)[:].tobytes()] * 2
    assert sum(len(np.load(path)) for path in (fresh_cache / "decoded").rglob("*.npy")) == 32
