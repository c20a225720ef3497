"""The patient of every image, of a table's column, DICOM and file names: one spelling, joined or noted as a set."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plainfilm.config import DataConfig
from plainfilm.data.split.splits import make_split
from plainfilm.data.table.image_table import build_table
from plainfilm.data.table.patient_keys import PatientKeys, final_keys
from plainfilm.data.table.patients import known_patients

Make = Callable[..., Path]
COMPOSED, DECOMPOSED = "p\u00e9_1", "pe\u0301_1"


def keys(
    cells: list[str] | None = None,
    hashes: list[str] | None = None,
    names: list[str] | list[tuple[str, str]] | None = None,
) -> PatientKeys:
    n = len(cells or hashes or names or [])
    both = [(name, name) if isinstance(name, str) else name for name in names or [""] * n]
    return final_keys(cells or [""] * n, hashes or [""] * n, both)


# --- one spelling -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["cells", "names"])
def test_one_key_in_two_unicode_forms_is_one_patient_and_said(where: str) -> None:
    found = keys(**{where: [COMPOSED, DECOMPOSED, " q", "q"]})
    assert found.patient == found.wide == [COMPOSED, COMPOSED, "q", "q"]
    (note,) = found.notes
    assert note.startswith("Patients spelled in several ways that differ only in spaces") and note.endswith("each: 2.")


def test_cells_that_are_equal_as_numbers_are_one_and_never_named() -> None:
    found = keys(["81", "81.0", " 81", "92", "93.0"])
    assert found.patient == ["81", "81", "81", "92", "93"]
    assert [note.partition(" that ")[0] for note in found.notes] == ["Patients spelled in several ways"] * 2
    assert not any("81" in note for note in found.notes)


def test_a_number_has_one_spelling_also_where_no_other_is_in_the_table() -> None:
    assert keys(["7.0", "8.0", "8.0"]).patient == ["7", "8", "8"] and keys(["7.0", "8.0"]).notes == ()


def test_numbers_in_file_names_stay_as_they_are() -> None:
    assert keys(names=["1.0", "1"]).patient == ["1.0", "1"]


@pytest.mark.parametrize("where", ["cells", "names"])
def test_nearly_equal_keys_stay_apart_and_are_counted(where: str) -> None:
    found = keys(**{where: ["0081", "81", "p5", "P5", "s07", "s7", "9"]})
    assert found.patient == ["0081", "81", "p5", "P5", "s07", "s7", "9"]
    assert len(found.notes) == 1 and "are kept apart: 6." in found.notes[0]


@pytest.mark.parametrize(
    "names",
    [
        ["person12_virus", "person1_virus", "person12_bacteria", "person120_virus"],
        ["IM-0115", "NORMAL2-IM-0115", "IM-1150"],
        ["phantom-00042", "phantom-00420"],
        ["1.05", "1.5", "10.5"],
    ],
)
def test_ordinary_keys_pass_without_a_word(names: list[str]) -> None:
    assert keys(names=[*names, *names]) == PatientKeys([*names, *names], [*names, *names], ())
    assert keys([*names, *names], names=[*names, *names]).notes == ()


def test_hashes_of_dicom_are_left_alone() -> None:
    hashes = ["dicom-0a", "dicom-00a", ""]
    assert keys(hashes=hashes, names=["a", "b", "c"]) == PatientKeys(["dicom-0a", "dicom-00a", "c"],
                                                                     ["dicom-0a", "dicom-00a", "c"], ())  # fmt: skip


def test_the_wide_key_is_that_of_the_name_only_where_the_name_tells_the_patient() -> None:
    both = [("person1_virus", "person1")] * 3
    assert keys(["p", "", ""], ["", "dicom-1", ""], both).wide == ["p", "p", "p"]
    assert keys(["person1_virus"], names=both[:1]).wide == ["person1_virus"]  # the table says it
    assert keys(hashes=["", "dicom-1", ""], names=both).wide == ["person1", "dicom-1", "person1"]


@given(st.lists(st.sampled_from(["7", "7.0", "007", "p", "P", COMPOSED, DECOMPOSED, "", "q "]), max_size=12))
def test_fewer_keys_than_written_are_said(cells: list[str]) -> None:
    found = keys(cells)
    joined = len(set(found.patient) - {""}) < len(set(cells) - {""})
    assert joined == any("as one patient" in note for note in found.notes)
    assert [bool(key) for key in found.patient] == [bool(cell) for cell in cells]


def test_two_forms_of_one_key_are_one_patient_of_a_folder_and_of_a_table(tmp_path: Path, write_image: Make) -> None:
    names = [f"{label}/{key}_{k}.png" for k, key in enumerate((COMPOSED, DECOMPOSED)) for label in "AB"]
    for i, name in enumerate(names):
        write_image(tmp_path / name, np.full((4, 4), i, np.uint8))
    cells = [f"{name},{name[0]},{name[2:-6]}" for name in names]
    (tmp_path / "list.csv").write_text("\n".join(["path,label,patient", *cells]), encoding="utf-8")
    for data, options in ((tmp_path, {"patient_pattern": r"^(.+)_\d\.png"}), (tmp_path / "list.csv", {})):
        table = build_table(data, DataConfig(**options))  # type: ignore[arg-type]
        assert set(table.rows["patient"]) == {COMPOSED}
        assert any("Unicode form" in note for note in table.notes)


# --- known patients ---------------------------------------------------------------------------------------------------


def test_tables_that_spell_a_patient_differently_share_it() -> None:
    assert known_patients(["1.0", COMPOSED, "x", ""], ["1", DECOMPOSED, "y", ""]) == {"1", COMPOSED}
    assert known_patients(["007"], ["7"]) == set()


# --- blank cells ------------------------------------------------------------------------------------------------------


def test_a_blank_cell_takes_the_patient_of_the_same_key() -> None:
    found = keys(["p1", "", "", ""], names=["IM-1", "IM-1", "IM-2", ""])
    assert found.patient == ["p1", "p1", "IM-2", ""]
    assert found.notes == (
        "3 of 4 images have no patient in the table: 1 have that of the images with the same DICOM PatientID or the same "
        "key in the file name, 1 go by that key alone, 1 count as their own patients.",
    )


def test_a_key_of_several_patients_says_nothing() -> None:
    found = keys(["p1", "p2", "", ""], ["dicom-anon"] * 4, ["a", "b", "b", "c"])
    assert found.patient == ["p1", "p2", "p2", "c"]
    found = keys(["p1", "p2", "", ""], ["dicom-anon"] * 4)
    assert (found.patient, found.notes) == (["p1", "p2", "", ""], ())  # the split says so


def test_keys_of_dicom_and_names_are_linked_by_an_image_that_has_both() -> None:
    found = keys(["p1", "", ""], ["dicom-1", "dicom-1", ""], ["", "IM-1", "IM-1"])
    assert found.patient == ["p1", "p1", "p1"]
    assert keys(["p1", "", ""], ["", "dicom-1", "dicom-1"], ["IM-1", "IM-1", ""]).patient == ["p1", "p1", "p1"]
    assert keys(["p1", "", ""], ["", "dicom-2", ""], ["", "IM-1", "IM-1"]).patient == ["p1", "dicom-2", "dicom-2"]


def test_no_cell_is_changed_by_the_name_and_a_table_without_cells_is_not_tied() -> None:
    assert keys(["p1", "p2"], ["dicom-1"] * 2, ["IM-1"] * 2) == PatientKeys(["p1", "p2"], ["p1", "p2"], ())
    assert keys(["", ""], ["dicom-1", ""], ["IM-1", "IM-1"]) == PatientKeys(
        ["dicom-1", "IM-1"], ["dicom-1", "IM-1"], ()
    )


def test_a_blank_cell_never_divides_a_patient(tmp_path: Path, write_image: Make) -> None:
    """Each patient has two images with one key in their names, and one of them has no cell."""
    rows = ["path,label,patient"]
    for p in range(12):
        for k in range(2):
            name = f"IM-{p:04d}-{k}.png"
            write_image(tmp_path / name, np.random.default_rng(2 * p + k).integers(0, 256, (8, 8), dtype=np.uint8))
            rows.append(f"{name},{'AB'[p % 2]},{f'patient {p}' if k else ''}")
    (tmp_path / "list.csv").write_text("\n".join(rows), encoding="utf-8")
    table = build_table(tmp_path / "list.csv", DataConfig())
    assert sorted(set(table.rows["patient"])) == sorted(f"patient {p}" for p in range(12))
    assert table.notes[0].startswith("12 of 24 images have no patient in the table: 12 have that of")
    for seed in range(5):
        split = make_split(table, DataConfig(), seed).rows
        assert (split.groupby(split["relative"].str[:7])["split"].nunique() == 1).all()
