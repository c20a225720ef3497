"""Patient keys from file names, and the groups that they and other keys form."""

from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plainfilm.config import DataConfig, load_config
from plainfilm.data.table.groups import join_groups
from plainfilm.data.table.patients import _PatientKey, are_restarted, key_from_name, require_matches
from plainfilm.errors import ConfigError, DataError
from wording import lacking


@pytest.mark.parametrize(
    ("name", "patient", "wide"),
    [
        ("person12_bacteria_34.jpeg", "person12_bacteria", "person12"),
        ("person12_virus_1_2.jpeg", "person12_virus", "person12"),
        ("person1_virus_6.jpeg", "person1_virus", "person1"),
        ("IM-0115-0001.jpeg", "IM-0115", "IM-0115"),
        ("IM-0115-0001-0002.jpeg", "IM-0115", "IM-0115"),
        ("NORMAL2-IM-1427-0001.jpeg", "NORMAL2-IM-1427", "NORMAL2-IM-1427"),
        ("phantom-00042-3.png", "phantom-00042", "phantom-00042"),
    ],
)
def test_the_names_of_known_sets_tell_the_patient(name: str, patient: str, wide: str) -> None:
    assert key_from_name(f"train/X/{name}") == _PatientKey(patient, wide)
    assert key_from_name(name) == _PatientKey(patient, wide)


def test_the_two_counters_of_normal_images_are_different_patients() -> None:
    first, second = key_from_name("IM-0115-0001.jpeg"), key_from_name("NORMAL2-IM-0115-0001.jpeg")
    assert first is not None
    assert second is not None
    assert {first.patient, first.wide}.isdisjoint({second.patient, second.wide})


def test_person_1_and_person_12_share_no_key() -> None:
    assert key_from_name("person1_virus_2.jpeg") != key_from_name("person12_virus_2.jpeg")


@pytest.mark.parametrize(
    "name",
    ["film.png", "person12.jpeg", "person_bacteria_3.jpeg", "xperson1_virus_2.png", "IM-.png", "my-IM-0115-1.png"],
)
def test_other_names_tell_no_patient(name: str) -> None:
    assert key_from_name(name) is None


def test_folder_names_never_tell_the_patient_unless_a_pattern_asks() -> None:
    assert key_from_name("phantom-00042-3/film.png") is None
    assert key_from_name("p7/film.png", r"^(p\d+)") is None


def test_a_pattern_is_searched_in_the_file_name() -> None:
    assert key_from_name("A/2020_pat07_b.png", r"_(pat\d+)_") == _PatientKey("pat07", "pat07")
    assert key_from_name("A/phantom-00042-3.png", r"_(pat\d+)_") is None  # it replaces the presets


def test_a_pattern_with_a_slash_is_searched_in_the_whole_relative_path() -> None:
    assert key_from_name("NORMAL/p7/film.png", r"/(p\d+)/") == _PatientKey("p7", "p7")


def test_the_first_group_is_the_patient() -> None:
    assert key_from_name("c3-p12.png", r"c(?:\d)-(p\d+)()") == _PatientKey("p12", "p12")


@pytest.mark.parametrize("pattern", [r"(p\d+)?film", r"(x*)film"])
def test_a_group_that_catches_nothing_is_no_patient(pattern: str) -> None:
    assert key_from_name("film.png", pattern) is None


def test_a_pattern_without_a_group_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"has no group; put parentheses around the patient"):
        load_config(options={"data.patient_pattern": r"p\d+"})


def test_a_pattern_that_is_no_regular_expression_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"is not a regular expression"):
        load_config(options={"data.patient_pattern": "(p"})


def test_a_pattern_that_fits_no_name_is_refused_with_the_first_name() -> None:
    with pytest.raises(DataError) as error:
        require_matches([None, None], r"(p\d+)", "A/x.png")
    assert lacking(str(error.value), "fits none of 2 file names", "'A/x.png'") == []


def test_a_pattern_that_fits_some_names_is_taken() -> None:
    require_matches([None, _PatientKey("p1", "p1")], r"(p\d+)", "A/x.png")
    require_matches([None, None], None, "A/x.png")
    assert DataConfig(patient_pattern=r"(p\d+)").patient_pattern == r"(p\d+)"


def test_rows_that_share_a_key_form_one_group() -> None:
    assert list(join_groups(["a", "b", "a", "c"])) == [0, 1, 0, 3]


def test_a_chain_over_two_kinds_of_key_is_one_group() -> None:
    # 0 and 1 share the patient, 1 and 2 the file, 2 and 3 the patient again; 4 stands alone
    assert list(join_groups(["p", "p", "q", "q", "r"], [1, 2, 2, 3, 4])) == [0, 0, 0, 0, 4]


def test_no_key_joins_nothing() -> None:
    assert list(join_groups([None, None, "a"], [None, "x", None])) == [0, 1, 2]


def test_equal_values_of_different_kinds_of_key_do_not_join() -> None:
    assert list(join_groups(["a", "b"], ["b", "c"])) == [0, 1]


def by_breadth_first_search(columns: list[list[int | None]]) -> list[int]:
    """The smallest row that each row is connected with."""
    rows_with = defaultdict(list)
    for kind, column in enumerate(columns):
        for i, key in enumerate(column):
            rows_with[kind, key if key is not None else ("none", i)].append(i)
    group = [-1] * len(columns[0])
    for start in range(len(group)):
        front = [start] if group[start] < 0 else []
        while front:
            i = front.pop()
            group[i] = start
            near = (
                j for kind, column in enumerate(columns) if column[i] is not None for j in rows_with[kind, column[i]]
            )
            front.extend(j for j in near if group[j] < 0)
    return group


keys = st.none() | st.integers(0, 12)


@given(st.lists(st.tuples(keys, keys, keys), max_size=40))
def test_groups_are_the_connected_rows(rows: list[tuple[int | None, int | None, int | None]]) -> None:
    columns = [[row[kind] for row in rows] for kind in range(3)]
    groups = join_groups(*columns)
    assert groups.dtype == np.int64
    assert list(groups) == by_breadth_first_search(columns)


@pytest.mark.parametrize(
    ("folders", "restarted"),
    [
        (["Ann/1", "Bob/1", "Ann/2", "Bob/2"], True),  # OsiriX: the series number, from 1 for each patient
        (["/1", "/1", "/2", "/2"], False),  # Kermany: flat class folders
        (["a/1", "b/1", "a/2", "a/2", "b/3", "b/3"], False),  # one child in two folders
        ([], False),
    ],
)
def test_numbers_that_restart_in_each_folder_are_no_patients(folders: list[str], restarted: bool) -> None:
    places = [name.partition("/") for name in folders]
    keys = [key_from_name(f"NORMAL/IM-{number:0>4}-0001.jpeg") for _, _, number in places]
    assert all(keys) and are_restarted([place for place, _, _ in places], keys) is restarted
