"""Sets with planted faults: each fault is really there, nothing else is, and nothing in the folder tells."""

from __future__ import annotations

import hashlib
import platform
import re
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path

import imagehash
import numpy as np
import pytest
from PIL import Image

from plainfilm.data.synthetic import film, planted_faults
from plainfilm.data.synthetic.phantom import CLASSES, _plan, write_phantom
from plainfilm.data.synthetic.planted_faults import Faults, _lay_out, write_planted
from plainfilm.data.table.patients import key_from_name
from plainfilm.errors import UsageError
from plainfilm.schemas.data import Planted
from wording import lacking

ALL = Faults(
    shortcut="marker", duplicates=4, near_duplicates=12, label_conflicts=3, shared_patients=5, given_folders=True
)


def contents(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def quantisation(path: Path) -> list[int]:
    """The JPEG's table for brightness."""
    with Image.open(path) as image:
        table: list[int] = image.quantization[0]
    return table


def label(name: str) -> str:
    return name.split("/")[-2]


def patient(name: str) -> str:
    key = key_from_name(name)
    assert key is not None
    return key.patient


def pairs(truth: Planted) -> list[tuple[str, str]]:
    return truth.duplicates + truth.near_duplicates + truth.label_conflicts


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Planted]:
    """60 films of 32 px with every fault but the JPEG shortcut."""
    out = tmp_path_factory.mktemp("planted") / "set"
    return out, write_planted(out, ALL, images=60, size_px=32, seed=2, jobs=1)


@pytest.fixture(scope="module")
def jpegs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Planted]:
    """60 films of 32 px, JPEG by class, with copies of all kinds."""
    out = tmp_path_factory.mktemp("planted") / "set"
    faults = Faults(shortcut="jpeg", duplicates=4, near_duplicates=6, label_conflicts=4)
    return out, write_planted(out, faults, images=60, size_px=32)


def test_without_faults_the_set_is_the_one_of_before_byte_for_byte(tmp_path: Path) -> None:
    truth = write_planted(tmp_path / "set", Faults(), images=12, size_px=32)
    write_phantom(tmp_path / "plain", images=12, size_px=32)
    assert truth == Planted()
    assert contents(tmp_path / "set") == contents(tmp_path / "plain")
    for number, count, ill in _plan(12, seed=0):  # the whole recipe, as it was before anything could be planted
        for k in range(1, count + 1):
            drawn = film.draw_phantom(32, seed=0, patient=number, k=k, opacity=ill)
            Image.fromarray(drawn).save(tmp_path / "one.png", compress_level=0)
            path = tmp_path / "set" / ("PNEUMONIA" if ill else "NORMAL") / f"phantom-{number:05d}-{k}.png"
            assert path.read_bytes() == (tmp_path / "one.png").read_bytes()


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="another processor may round a pixel apart")
def test_the_default_bytes_are_those_of_the_code_before_planting(tmp_path: Path) -> None:
    # Taken from commit d220f60; the same there with and without AVX2 and AVX-512.
    write_planted(tmp_path / "set", Faults(), images=12, size_px=32)
    digest = hashlib.sha256()
    for name, data in contents(tmp_path / "set").items():
        digest.update(name.encode() + b"\0" + data)
    assert digest.hexdigest() == "d710f512dd303040083f350f4018864c80f4149f67f80d4a302b98de36ea95df"


def test_the_same_arguments_give_the_same_bytes_and_truth_whatever_jobs_is(
    everything: tuple[Path, Planted], tmp_path: Path
) -> None:
    out, truth = everything
    assert write_planted(tmp_path / "again", ALL, images=60, size_px=32, seed=2, jobs=4) == truth
    assert contents(tmp_path / "again") == contents(out)


def test_another_seed_plants_elsewhere() -> None:
    first, second = (_lay_out(ALL, 60, seed)[1] for seed in (2, 3))
    assert first.duplicates != second.duplicates
    assert first.shared_patients != second.shared_patients
    assert first.marked != second.marked


def test_copies_come_on_top_and_each_class_gets_its_count(everything: tuple[Path, Planted]) -> None:
    out, truth = everything
    assert [len(truth.duplicates), len(truth.near_duplicates), len(truth.label_conflicts)] == [4, 12, 3]
    # 30 drawn in each class, 2 duplicates and 6 near-duplicates more; of 3 conflicts 2 are of NORMAL, 1 of PNEUMONIA.
    assert Counter(label(name) for name in contents(out)) == {"NORMAL": 30 + 2 + 6 + 1, "PNEUMONIA": 30 + 2 + 6 + 2}


def test_nothing_in_the_folder_tells_what_was_planted(everything: tuple[Path, Planted]) -> None:
    out, _ = everything
    name = re.compile(r"(train|test)/(NORMAL|PNEUMONIA)/phantom-\d{5}-[1-4]\.(png|jpg)")
    assert all(name.fullmatch(found) for found in contents(out))
    assert [path.name for path in out.parent.iterdir()] == ["set"]


def test_a_duplicate_has_the_bytes_and_the_class_but_another_patient(everything: tuple[Path, Planted]) -> None:
    out, truth = everything
    for first, second in truth.duplicates:
        assert (out / first).read_bytes() == (out / second).read_bytes()
        assert label(first) == label(second)
        assert patient(first) != patient(second)


def test_a_label_conflict_has_the_bytes_but_the_other_class_and_patient(everything: tuple[Path, Planted]) -> None:
    out, truth = everything
    for first, second in truth.label_conflicts:
        assert (out / first).read_bytes() == (out / second).read_bytes()
        assert {label(first), label(second)} == set(CLASSES)
        assert patient(first) != patient(second)


def test_no_other_files_are_identical(everything: tuple[Path, Planted]) -> None:
    out, truth = everything
    same: dict[bytes, set[str]] = defaultdict(set)
    for name, data in contents(out).items():
        same[data].add(name)
    found = {frozenset(names) for names in same.values() if len(names) > 1}
    assert found == {frozenset(pair) for pair in truth.duplicates + truth.label_conflicts}


def test_no_image_is_planted_twice_and_none_is_of_a_shared_patient(everything: tuple[Path, Planted]) -> None:
    _, truth = everything
    names = [name for pair in pairs(truth) for name in pair]
    assert len(names) == len(set(names)) == 2 * (4 + 12 + 3)
    shared = {f"phantom-{number}" for number in truth.shared_patients}
    assert not shared & {patient(name) for name in names}


def test_each_copy_is_the_only_image_of_its_patient(everything: tuple[Path, Planted]) -> None:
    out, truth = everything
    images = Counter(patient(name) for name in contents(out))
    assert [images[patient(copy)] for _, copy in pairs(truth)] == [1] * 19


def test_the_numbers_of_copies_tell_neither_class_nor_kind() -> None:
    _, truth = _lay_out(Faults(duplicates=500, near_duplicates=500), 2000, seed=0)
    copies = [copy for _, copy in pairs(truth)]
    numbers = np.array([int(patient(copy).removeprefix("phantom-")) for copy in copies])
    ill = np.array([label(copy) == "PNEUMONIA" for copy in copies])
    assert sorted(numbers) == list(range(numbers.min(), numbers.min() + 1000))
    for facts in (ill, np.arange(1000) < 500):
        assert abs(np.corrcoef(numbers, facts)[0, 1]) < 0.13  # four standard errors
        assert abs(np.corrcoef(numbers % 2, facts)[0, 1]) < 0.13


def test_a_near_duplicate_is_the_same_class_and_no_identical_image(everything: tuple[Path, Planted]) -> None:
    out, truth = everything
    for first, second in truth.near_duplicates:
        assert label(first) == label(second)
        assert patient(first) != patient(second)
        assert not np.array_equal(pixels(out / first), pixels(out / second))


def test_a_near_duplicate_is_changed_as_the_truth_says(everything: tuple[Path, Planted]) -> None:
    out, truth = everything
    kinds = Counter()
    for (first, second), change in zip(truth.near_duplicates, truth.near_duplicate_changes, strict=True):
        kind, number = change.split()[:2]
        kinds[label(second), kind] += 1
        assert second.endswith(".jpg") == (kind == "jpeg")
        before, after = pixels(out / first).astype(float), pixels(out / second).astype(float)
        if kind == "resized":
            assert 26 <= len(after) <= 30  # 0.8 to 0.95 of 32
            assert abs(len(after) - 32 * float(number)) < 0.7
        elif kind == "exposure":
            assert abs(np.polyfit(before.ravel(), after.ravel(), 1)[0] - float(number)) < 0.02  # the slope
        else:
            assert 60 <= int(number) <= 95
            Image.new("L", (8, 8)).save(out.parent.parent / "one.jpg", quality=int(number))
            assert quantisation(out / second) == quantisation(out.parent.parent / "one.jpg")
    assert set(kinds.values()) == {2}  # 12: two of each kind in each class
    assert len(kinds) == 6


def test_perceptual_hashes_find_the_near_duplicates(tmp_path: Path) -> None:
    truth = write_planted(tmp_path / "set", Faults(near_duplicates=50), images=60, size_px=64)
    distances = []
    for pair in truth.near_duplicates:
        first, second = (
            imagehash.phash(Image.fromarray(pixels(tmp_path / "set" / name)), hash_size=16) for name in pair
        )
        distances.append(first - second)
    assert sum(distance <= 30 for distance in distances) >= 48
    assert max(distances) > 0  # they are not so slight that no hash could miss them


def test_the_shared_patients_and_no_others_are_in_train_and_test(everything: tuple[Path, Planted]) -> None:
    out, truth = everything
    train, test = ({patient(name) for name in contents(out) if name.startswith(side)} for side in ("train/", "test/"))
    assert len(truth.shared_patients) == 5
    assert {key.removeprefix("phantom-") for key in train & test} == set(truth.shared_patients)
    for number in truth.shared_patients:  # the last film is the one in test
        films = sorted(out.rglob(f"phantom-{number}-*"), key=lambda path: path.name)
        assert [path.parts[-3] for path in films] == ["train"] * (len(films) - 1) + ["test"]
    classes = Counter(label(next(out.rglob(f"phantom-{number}-1.*")).as_posix()) for number in truth.shared_patients)
    assert classes == {"NORMAL": 3, "PNEUMONIA": 2}


@pytest.mark.parametrize("shared", [0, 6])
@pytest.mark.parametrize("images", [12, 61, 600])
def test_a_fifth_of_each_class_is_in_test_to_the_next_whole_patient(images: int, shared: int) -> None:
    for seed in range(20):
        faults = Faults(given_folders=True, shared_patients=shared if images > 12 else shared // 6)
        files, truth = _lay_out(faults, images, seed)
        sides = Counter(tuple(image.path.split("/")[:2]) for image in files)
        for name, n in (("NORMAL", images - images // 2), ("PNEUMONIA", images // 2)):
            assert sides["train", name] + sides["test", name] == n
            assert round(0.2 * n) <= sides["test", name] <= round(0.2 * n) + 3  # a patient has four at most
        both = Counter(number for number, _ in {(image.patient, image.folder) for image in files})
        assert sorted(f"{number:05d}" for number, n in both.items() if n == 2) == truth.shared_patients


def test_shared_patients_alone_give_the_layout_too() -> None:
    alone, both = (_lay_out(Faults(shared_patients=2, given_folders=flag), 60, 0) for flag in (False, True))
    assert alone == both
    assert all(image.path.startswith(("train/", "test/")) for image in alone[0])


def test_an_image_and_its_copy_are_in_one_folder_or_in_two() -> None:
    _, truth = _lay_out(Faults(duplicates=100, given_folders=True), 200, seed=0)
    apart = sum(first.split("/")[0] != second.split("/")[0] for first, second in truth.duplicates)
    assert 15 <= apart <= 50  # 32 = 100 * (0.8 * 0.2 + 0.2 * 0.8) are expected


def test_the_marker_is_in_nine_of_ten_ill_and_one_of_ten_healthy_images(tmp_path: Path) -> None:
    truth = write_planted(tmp_path / "marked", Faults(shortcut="marker"), images=60, size_px=64)
    write_phantom(tmp_path / "plain", images=60, size_px=64)
    found = []
    for name in contents(tmp_path / "plain"):
        plain, marked = (pixels(tmp_path / which / name).astype(int) for which in ("plain", "marked"))
        changed = plain != marked
        if changed.any():
            found.append(name)
            assert 0 < changed.sum() <= 18 and (marked[changed] == 245).all()  # an R has 18 of 35 points
            rows, columns = np.nonzero(changed)
            assert rows.min() >= 2 and columns.min() >= 2  # 0.04 * 64
            assert rows.max() < 5 + 7 and columns.max() < 5 + 5  # 0.09 * 64, and the letter
    assert sorted(truth.marked) == found
    assert Counter(label(name) for name in found) == {"NORMAL": 3, "PNEUMONIA": 27}
    assert len({len(data) for data in contents(tmp_path / "marked").values()}) == 1  # lengths tell nothing


def test_copies_of_marked_images_are_marked_and_listed(everything: tuple[Path, Planted]) -> None:
    _, truth = everything
    marked = set(truth.marked)
    assert {first in marked for first, _ in pairs(truth)} == {True, False}
    assert [first in marked for first, _ in pairs(truth)] == [second in marked for _, second in pairs(truth)]


@pytest.mark.parametrize(("size_px", "stroke"), [(32, 1), (128, 2), (256, 3), (1024, 12)])
def test_the_marker_is_a_white_letter_that_fits_every_size(size_px: int, stroke: int) -> None:
    letter = """
        ####.
        #...#
        #...#
        ####.
        #.#..
        #..#.
        #...#
    """
    raster = np.array([[point == "#" for point in row] for row in letter.split()])
    black = np.zeros((size_px, size_px), dtype=np.uint8)
    for seed in range(20):
        marked = planted_faults._burn_in_marker(black, np.random.default_rng(seed))
        rows, columns = np.nonzero(marked)
        box = marked[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
        np.testing.assert_array_equal(box, 245 * np.kron(raster, np.ones((stroke, stroke))).astype(np.uint8))
        assert max(rows.min(), columns.min()) <= 0.09 * size_px
    assert not black.any()  # the film that was given is left alone


def test_every_jpeg_has_the_quality_of_the_class_it_was_drawn_for(jpegs: tuple[Path, Planted]) -> None:
    out, truth = jpegs
    copied_over = {copy for _, copy in truth.label_conflicts}
    for name in contents(out):
        assert name.endswith(".jpg")
        first = quantisation(out / name)[0]
        # The standard's table starts with 16: (16 * 10 + 50) // 100 at quality 95, (16 * 40 + 50) // 100 at 80.
        drawn_as = {"NORMAL": "PNEUMONIA", "PNEUMONIA": "NORMAL"}[label(name)] if name in copied_over else label(name)
        assert first == {"NORMAL": 2, "PNEUMONIA": 6}[drawn_as]
    assert len(copied_over) == 4
    assert {change.split()[0] for change in truth.near_duplicate_changes} == {"resized", "exposure"}


@pytest.mark.parametrize("size_px", [32, 200])
def test_the_length_of_a_jpeg_alone_tells_the_class(size_px: int, tmp_path: Path) -> None:
    write_planted(tmp_path / "set", Faults(shortcut="jpeg", near_duplicates=6), images=60, size_px=size_px)
    lengths = [(len(data), label(name)) for name, data in contents(tmp_path / "set").items()]
    healthy, ill = (np.array([n for n, name in lengths if name == wanted]) for wanted in CLASSES)
    assert (healthy[:, None] > ill).mean() >= 0.99  # the AUROC


REFUSED: dict[str, tuple[Faults, list[str]]] = {
    "unknown": (Faults(shortcut="tilt"), ["shortcut", "'tilt'", "none, jpeg, marker", "Choose one"]),
    "below 0": (Faults(duplicates=-1), ["duplicates", "-1", "0 or more", "Choose how many"]),
    "below 0 too": (Faults(duplicates=3, label_conflicts=-2), ["label_conflicts", "-2", "0 or more"]),
    "too many": (Faults(duplicates=5, near_duplicates=4, label_conflicts=4), ["13", "0 to 12"]),
    "too many patients": (Faults(shared_patients=50), ["shared_patients", "50", "0 to"]),
}


@pytest.mark.parametrize(("faults", "words"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_planted_is_refused_before_anything_is_drawn(
    faults: Faults, words: list[str], tmp_path: Path, refusal: Callable[..., str]
) -> None:
    message = refusal(lambda: write_planted(tmp_path / "set", faults, images=12, size_px=32), UsageError)
    assert lacking(message, *words) == []
    assert not list(tmp_path.iterdir())


def test_as_many_as_there_are_can_be_planted(refusal: Callable[..., str]) -> None:
    _, truth = _lay_out(Faults(duplicates=5, near_duplicates=4, label_conflicts=3), 12, seed=0)
    assert len(pairs(truth)) == 12
    able = Counter(ill for _, count, ill in _plan(60, seed=0) if count > 1)
    most = 2 * min(able.values())
    assert len(_lay_out(Faults(shared_patients=most), 60, seed=0)[1].shared_patients) == most
    assert f"0 to {most}:" in refusal(lambda: _lay_out(Faults(shared_patients=most + 1), 60, seed=0), UsageError)


def test_patient_numbers_never_get_a_sixth_digit(monkeypatch: pytest.MonkeyPatch, refusal: Callable[..., str]) -> None:
    monkeypatch.setattr(planted_faults, "_HIGHEST_PATIENT", len(_plan(60, seed=0)) + 3)
    assert len(_lay_out(Faults(duplicates=3), 60, seed=0)[1].duplicates) == 3
    assert "is 4; it must be 0 to 3:" in refusal(lambda: _lay_out(Faults(duplicates=4), 60, seed=0), UsageError)


def test_progress_counts_the_copies_too(tmp_path: Path) -> None:
    counts: list[int] = []
    write_planted(tmp_path / "set", Faults(duplicates=2), images=12, size_px=32, progress=counts.append)
    assert counts == list(range(1, 15))
