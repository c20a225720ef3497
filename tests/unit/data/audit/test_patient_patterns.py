"""Patterns proposed for patients that nobody declared: what is found, with its counts by hand, and what is left alone."""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterable, Sequence

import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from plainfilm.data.audit.patient_patterns import propose_patterns
from plainfilm.data.table.patients import key_from_name

FOLDERS = [("train", "A"), ("train", "B"), ("test", "A"), ("test", "B")]


def table(names: Iterable[str]) -> pd.DataFrame:
    """Rows of an image table: folders above the name are CLASS, or GIVEN/CLASS, and what follows."""
    rows = []
    for name in names:
        first, *rest = name.split("/")
        given_folder = first if first in ("train", "valid", "test") else ""
        rows.append((name, rest[0] if given_folder and len(rest) > 1 else first, given_folder, ""))
    return pd.DataFrame(rows, columns=["relative", "label", "given", "patient"])


def patterns(names: Iterable[str]) -> list[str]:
    return [found.pattern for found in propose_patterns(table(names))]


def groups(names: Sequence[str], pattern: str) -> set[frozenset[str]]:
    """The images of each key, as --patient-pattern finds them."""
    found: dict[str, set[str]] = {}
    for name in names:
        key = key_from_name(name, pattern)
        if key is not None:
            found.setdefault(key.patient, set()).add(name)
    return {frozenset(group) for group in found.values()}


def two_classes(form: str, patients: Sequence[int] = range(3, 15), images: int = 4, pad: int = 0) -> list[str]:
    """Half of the patients in class A, the others in class B; {p} is the patient, {k} the image."""
    return [
        f"{'AB'[i % 2]}/" + form.format(p=str(p).zfill(pad), k=k)
        for i, p in enumerate(patients)
        for k in range(1, images + 1)
    ]


@pytest.mark.parametrize(
    ("form", "pattern"),
    [
        ("nor_{p}_img_{k}.jpg", r"^(nor_\d+)_"),
        ("0000{p}_00{k}.png", r"^(\d+)_"),
        ("s{p}_img{k}.png", r"^(s\d+)_"),
        ("Patient {p} ({k}).jpg", r"^(Patient \d+) \("),
        ("IMG-00{p}-0000{k}.dcm", r"^(IMG-\d+)-"),
        ("{p}%{k}.jpg", r"^(\d+)%"),
        ("img_{k}_patient{p}.png", r"^img_\d+_(patient\d+)"),  # a word for patient comes before a place
        ("img{k}.pat.{p}.x.png", r"^img\d+\.pat\.(\d+)\."),
        ("a+b[{p}]{k}.png", r"^(a\+b\[\d+)\]"),  # what means something in a pattern is escaped
    ],
)
def test_a_shared_number_is_proposed(form: str, pattern: str) -> None:
    names = two_classes(form)
    found = propose_patterns(table(names))
    assert [one.pattern for one in found] == [pattern]
    assert (found[0].groups, found[0].images, found[0].median_images_per_group, found[0].straddling) == (12, 48, 4.0, 0)
    assert len(groups(names, pattern)) == 12


def test_groups_in_two_given_folders_are_counted() -> None:
    """Patients 1 to 5 in train, 4 to 8 in test: 4 and 5 are in both. Three images each, of 4 and 5 six."""
    names = [f"train/A/nor_{p}_img_{k}.jpg" for p in range(1, 6) for k in range(3)]
    names += [f"test/A/nor_{p}_img_{k}.jpg" for p in range(4, 9) for k in range(3, 6)]
    names += [f"{part}/B/x{k}.jpg" for part in ("train", "test") for k in range(9)]
    (found,) = propose_patterns(table(names))
    assert found.pattern == r"^(nor_\d+)_"
    assert (found.groups, found.images, found.median_images_per_group, found.straddling) == (8, 30, 3.0, 2)
    assert found.sentence() == "8 groups, 30 images, median 3 a group; 2 groups are in two given folders"


def test_one_pattern_takes_the_prefixes_of_both_classes() -> None:
    """Only one --patient-pattern can be given."""
    names = [f"{c}/{c}_{p}_img_{k}.jpg" for c in ("cov", "nor") for p in range(6) for k in range(5)]
    first = propose_patterns(table(names))[0]
    assert (first.pattern, first.groups) == (r"^(cov_\d+|nor_\d+)_", 12)


def test_many_words_become_one_general_pattern() -> None:
    names = [
        f"{'AB'[len(word) % 2]}/{word}_{k}.png"
        for word in ["ada", "bob", "cleo", "dave", "erin", "fred", "gus", "hank"]
        for k in range(3)
    ]
    first = propose_patterns(table(names))[0]
    assert (first.pattern, first.groups, first.images) == (r"^([^\W\d_]+)_", 8, 24)


def test_mixed_identifiers_are_one_token() -> None:
    names = [f"A/{key}_{k}.png" for key in ("a3f9c1", "7bd0e2", "00ff3a", "c4c4d9", "9e81b7") for k in range(3)]
    assert patterns(names)[0] == r"^([^\W_]+)_"


def test_a_folder_for_each_patient_is_proposed() -> None:
    names = [f"{'AB'[p % 2]}/case-{p}/view{k}.png" for p in range(8) for k in range(3)]
    names += ["A/loose1.png", "A/loose2.png"]
    assert patterns(names)[0] == "([^/]+)/[^/]+$"
    assert len(groups(names, "([^/]+)/[^/]+$")) == 8 + 1  # the class folder of the loose ones


@pytest.mark.parametrize(
    ("form", "counter"),
    [("{c}/{c}p{p:02d}/{k:04d}.png", r"^(\d+)"), ("{c}/case{c}{p}/img_{k}.png", r"^(img_\d+)")],
)
def test_a_counter_within_each_folder_comes_after_the_folder(form: str, counter: str) -> None:
    """The counter came first, although each of its keys held an image of every patient."""
    names = [form.format(c=c, p=p, k=k) for c in "AB" for p in range(12) for k in range(1, 5)]
    assert patterns(names) == ["([^/]+)/[^/]+$", counter]


@pytest.mark.parametrize("of_b", [range(21, 41), range(1, 21)])
def test_a_patient_once_in_every_folder_of_a_visit_comes_before_the_folder(of_b: range) -> None:
    """Of the second, both classes count from 1, a counter in each folder; four visits are fewer than 20 patients."""
    names = [f"{c}/visit{v}/{p:04d}.png" for c, of in (("A", range(1, 21)), ("B", of_b)) for v in range(4) for p in of]
    found = propose_patterns(table(names))
    assert [one.pattern for one in found] == [r"^(\d+)", "([^/]+)/[^/]+$"]
    assert [one.groups for one in found] == [len({*range(1, 21), *of_b}), 4]


def test_a_number_shared_by_all_classes_is_proposed_unless_it_is_a_counter() -> None:
    """Fonts of characters: 10 classes, each with the same 12 fonts."""
    fonts = [16, 81, 160, 233, 301, 377, 402, 512, 640, 777, 901, 1011]
    assert patterns(f"{c}/img{c}-{font:05d}.png" for c in range(10) for font in fonts) == [r"^img\d+-(\d+)"]
    assert patterns(f"{c}/img{c}-{font:05d}.png" for c in range(10) for font in range(12)) == []


@pytest.mark.parametrize(
    "names",
    [
        [f"A/img_{k}.png" for k in range(40)] + [f"B/img_{k}.png" for k in range(40)],
        [f"NORMAL/NORMAL-{k}.png" for k in range(40)] + [f"VIRUS/VIRUS-{k}.png" for k in range(40)],
        [f"train/A/{k}.png" for k in range(40)] + [f"test/A/{k}.png" for k in range(40)],  # a counter in each folder
        [f"A/A_2019_{k}.png" for k in range(40)] + [f"B/B_2020_{k}.png" for k in range(40)],  # the class decides
        [f"{c}/{c:03d}_{k}.png" for c in range(12) for k in range(9)],
        [f"s{c}/{k}.pgm" for c in range(40) for k in range(10)],  # faces: a class is a folder, and a counter
        [f"A/batch1_{k}.png" for k in range(200)] + [f"A/batch2_{k}.png" for k in range(200)],  # two big parts
        [f"A/site{s}_{k}.png" for s in range(3, 9) for k in range(101)],  # a site has more images than a patient
        [f"A/{k}_{k % 2}.png" for k in range(40)],  # a side
        [f"{part}/{c}/scan{i}_{k}.png" for i, (part, c) in enumerate(FOLDERS) for k in range(9)],  # the folder decides
        [f"A/nor_{p}_img_{37 * p + k}.png" for p in range(44) for k in range(2 if p < 4 else 1)],  # 8 of 48 share
        ["A/nor_1_1.png", "A/nor_1_2.png"],
        [],
    ],
)  # fmt: skip
def test_counters_classes_and_big_parts_are_no_patients(names: list[str]) -> None:
    assert patterns(names) == []


def test_the_number_of_the_image_is_not_proposed_beside_the_patient() -> None:
    assert patterns(two_classes("{p}_{k}.png", images=6)) == [r"^(\d+)_"]


def test_a_follow_up_number_is_never_proposed_without_the_patient_before_it() -> None:
    """00001373_009: of a subset each patient has one image, and the follow-up number joined different people."""
    names = [f"{'AB'[i % 2]}/{1373 + 37 * i:08d}_{i * i % 13:03d}.png" for i in range(90)]
    found = propose_patterns(table(names))
    assert [(one.pattern, one.almost_unique) for one in found] == [(r"^(\d+)_", True), (r"^\d+_(\d+)", False)]
    assert (
        found[0]
        .sentence()
        .endswith("almost unique in these images, yet more likely the patient than the number after it")
    )
    assert "unique" not in found[1].sentence()


def test_images_with_a_patient_key_are_left_out() -> None:
    rows = table(two_classes("nor_{p}_img_{k}.jpg"))
    assert propose_patterns(rows.assign(patient="known")) == []
    rows.loc[rows.index[:24], "patient"] = "known"
    (found,) = propose_patterns(rows)
    assert (found.groups, found.images) == (6, 24)


def test_at_most_three_are_proposed_and_other_images_come_first() -> None:
    names = [f"A/x_{p}_{q}_{k}.png" for p in range(4) for q in (17, 58, 83, 91) for k in range(3)]
    names += [f"A/y_{p}-{k}.png" for p in range(5) for k in range(3)]
    names += [f"A/{p}%{k}.png" for p in range(4) for k in range(3)]
    names += [f"A/n{p}({k}).png" for p in range(3) for k in range(3)]
    assert patterns(names) == [r"^(x_\d+)_", r"^(y_\d+)-", r"^(\d+)%"]
    assert patterns(names[:48]) == [r"^(x_\d+)_", r"^(x_\d+_\d+)_"]  # patient, and study of the patient


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32), word=st.sampled_from(("", "p", "nor_", "Patient ", "IMG-", "case", "CT.")),
    between=st.sampled_from(("_", "-", "_img", " (", "_slice_", "%", "_v")), pad=st.integers(0, 6), patients=st.integers(4, 30),
)  # fmt: skip
def test_a_generated_scheme_is_among_the_proposals(seed: int, word: str, between: str, pad: int, patients: int) -> None:
    draw = random.Random(seed)
    names, truth = [], set()
    for p in draw.sample(range(1, 10_000), patients):
        label, start = draw.choice("AB"), draw.choice((0, 1))
        group = [f"{label}/{word}{p:0{pad}d}{between}{k}.png" for k in range(start, start + draw.randint(2, 9))]
        names, truth = names + group, truth | {frozenset(group)}
    names += ["A/other.png", "B/other.png", "A/nothing else.png"]
    draw.shuffle(names)
    assert truth in [groups(names, pattern) for pattern in patterns(names)]


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32), kind=st.sampled_from(("hex", "uuid", "number", "letters", "word_number")))
def test_random_unique_names_give_none(seed: int, kind: str) -> None:
    draw = random.Random(seed)
    make = {
        "hex": lambda: f"{draw.getrandbits(64):016x}",
        "uuid": lambda: str(uuid.UUID(int=draw.getrandbits(128), version=4)),
        "number": lambda: str(draw.randrange(10**8)),
        "letters": lambda: "".join(draw.choices("abcdefghijklmnopqrstuvwxyz", k=10)),
        "word_number": lambda: f"scan_{draw.randrange(10**7)}_{draw.randrange(10**7)}",
    }[kind]
    stems = {make() for _ in range(60)}
    assert patterns(f"{draw.choice('AB')}/{stem}.png" for stem in sorted(stems)) == []


@settings(max_examples=80, deadline=None)
@given(st.lists(st.text(min_size=1, max_size=10), max_size=30), st.sampled_from(("", "A/", "train/A/")))
@example(["_", "__", "²_1", "²_2", "٣_1", "(", ")(", "a'b"] * 2, "A/")
@example(["1_1", "1_2", "2_1", "2_2", "3_1", "3_2", "4_1", "4_2"], "")
@example(["0_\n1", "0_\n2", "5_\n1", "5_\n2", "7_\n1", "7_\n2", "9_\n1", "9_\n2"], "A/")
def test_odd_names_never_crash_and_each_proposal_works(stems: list[str], folder: str) -> None:
    names = [f"{folder}{stem}" for stem in stems]
    for found in propose_patterns(table(names)):
        keyed = groups(names, found.pattern)
        assert len(keyed) == found.groups and found.images >= 2 * 3
