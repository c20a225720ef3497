"""Sets of drawn films: names, counts, determinism, and an opacity that stays inside the lungs."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from plainfilm.data.synthetic import film, phantom
from plainfilm.data.synthetic.film import draw_phantom
from plainfilm.data.synthetic.phantom import _plan, write_phantom
from plainfilm.errors import DataError, OccupiedError, PlainfilmError, UsageError


def contents(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in sorted(root.rglob("*.png"))}


def key(name: str) -> tuple[str, int, int]:
    """Class, patient and image of NORMAL/phantom-00042-1.png."""
    label, file = name.split("/")
    start, patient, k = file.removesuffix(".png").split("-")
    assert start == "phantom"
    assert len(patient) == 5
    return label, int(patient), int(k)


def border(pixels: np.ndarray) -> np.ndarray:
    """bool, the outer 8 % of the pixels on each side."""
    width = int(np.ceil(0.08 * len(pixels)))
    ring = np.ones(pixels.shape, dtype=bool)
    ring[width:-width, width:-width] = False
    return ring


@pytest.fixture(scope="module")
def drawn_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("phantom") / "set"
    assert write_phantom(out, images=61, size_px=32, jobs=1) == {"NORMAL": 31, "PNEUMONIA": 30}
    return out


def test_of_several_who_draw_the_same_set_one_wins_and_the_others_say_so(tmp_path: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    def draw(_: int) -> str:
        try:
            write_phantom(tmp_path / "set", images=12, size_px=32, jobs=1)
        except OccupiedError:
            return "occupied"
        return "drew"

    with ThreadPoolExecutor(1) as pool:
        assert sorted(pool.map(draw, range(3))) == ["drew", "occupied", "occupied"]


def test_a_set_that_another_process_finished_meanwhile_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = phantom.draw_phantom

    def draw(*args: int, **kwargs: int) -> np.ndarray:
        (tmp_path / "set").mkdir(exist_ok=True)
        (tmp_path / "set" / "theirs.png").write_bytes(b"theirs")
        return real(*args, **kwargs)

    monkeypatch.setattr(phantom, "draw_phantom", draw)
    with pytest.raises(OccupiedError, match="meanwhile"):
        write_phantom(tmp_path / "set", images=12, size_px=32, jobs=1)
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["theirs.png"]


def test_the_folder_holds_the_two_classes_and_nothing_else(drawn_set: Path) -> None:
    assert sorted(path.name for path in drawn_set.iterdir()) == ["NORMAL", "PNEUMONIA"]
    files = [path for path in drawn_set.rglob("*") if path.is_file()]
    assert len(files) == 61
    assert {path.suffix for path in files} == {".png"}
    assert list(drawn_set.parent.iterdir()) == [drawn_set]  # no partial folder is left


def test_a_patient_has_one_class_and_one_to_four_images(drawn_set: Path) -> None:
    keys = [key(name) for name in contents(drawn_set)]
    labels = {patient: label for label, patient, _ in keys}
    assert {(label, patient) for label, patient, _ in keys} == {(label, patient) for patient, label in labels.items()}
    images = Counter(patient for _, patient, _ in keys)
    assert sorted(images) == list(range(1, len(images) + 1))
    assert set(images.values()) == {1, 2, 3, 4}
    assert all(k <= images[patient] for _, patient, k in keys)


def test_patient_numbers_tell_nothing_about_the_class() -> None:
    disease = np.array([opacity for _, _, opacity in _plan(100_000, seed=0)])
    assert 0.49 < disease.mean() < 0.51  # about 40,000 patients: one standard error is 0.0025
    numbers = np.arange(len(disease))
    assert abs(np.corrcoef(numbers, disease)[0, 1]) < 0.02  # four standard errors
    assert abs(np.corrcoef(disease[:-1], disease[1:])[0, 1]) < 0.02  # nor do neighbours
    assert abs(np.corrcoef(numbers % 2, disease)[0, 1]) < 0.02


def test_the_same_arguments_give_the_same_bytes_whatever_jobs_is(drawn_set: Path, tmp_path: Path) -> None:
    write_phantom(tmp_path / "again", images=61, size_px=32, jobs=4)
    assert contents(tmp_path / "again") == contents(drawn_set)


def test_another_seed_gives_other_films(drawn_set: Path, tmp_path: Path) -> None:
    write_phantom(tmp_path / "other", images=61, size_px=32, seed=1)
    assert not set(contents(tmp_path / "other").values()) & set(contents(drawn_set).values())


def test_a_film_does_not_depend_on_how_many_are_drawn(drawn_set: Path) -> None:
    for name in list(contents(drawn_set))[::10]:
        label, patient, k = key(name)
        alone = draw_phantom(32, seed=0, patient=patient, k=k, opacity=label == "PNEUMONIA")
        np.testing.assert_array_equal(np.asarray(Image.open(drawn_set / name)), alone)


def test_films_of_a_patient_differ_and_are_alike() -> None:
    first, second, stranger = (
        draw_phantom(96, seed=0, patient=patient, k=k, opacity=False).astype(float).ravel()
        for patient, k in ((5, 1), (5, 2), (6, 1))
    )
    assert not np.array_equal(first, second)
    assert np.corrcoef(first, second)[0, 1] > np.corrcoef(first, stranger)[0, 1]


def test_every_file_of_a_set_is_equally_long(drawn_set: Path) -> None:
    assert len({len(data) for data in contents(drawn_set).values()}) == 1


@pytest.mark.parametrize("size_px", [32, 33, 96, 128, 129, 200])
def test_an_opacity_leaves_the_border_ring_untouched(size_px: int) -> None:
    for patient in range(1, 41):
        healthy, ill = (draw_phantom(size_px, seed=3, patient=patient, k=1, opacity=flag) for flag in (False, True))
        changed = healthy != ill
        assert changed.any()
        assert not changed[border(changed)].any()


def test_an_opacity_changes_the_body_only() -> None:
    for patient in range(1, 41):
        healthy, ill = (draw_phantom(64, seed=3, patient=patient, k=1, opacity=flag) for flag in (False, True))
        view = film._drawn(film._DrawnView, np.random.default_rng([3, patient, 1]))
        anatomy = film._drawn(film._DrawnAnatomy, np.random.default_rng([3, patient, film.ANATOMY]))
        inside = film._body(*film._posed(*film._grid(64), view), anatomy) > 0.99
        assert not (healthy != ill)[~inside].any()


@pytest.mark.parametrize("size_px", [32, 127, 512, 1024])
def test_films_of_every_size_are_grey_and_use_the_range(size_px: int) -> None:
    film = draw_phantom(size_px, seed=0, patient=1, k=1, opacity=True)
    assert film.shape == (size_px, size_px)
    assert film.dtype == np.uint8
    assert film.max() - film.min() > 120
    assert (film == 255).mean() < 0.01  # not burnt out


def test_a_patient_is_the_same_at_every_size() -> None:
    small, large = (draw_phantom(size_px, seed=0, patient=1, k=1, opacity=True) for size_px in (64, 512))
    shrunk = np.asarray(Image.fromarray(large).resize((64, 64), Image.Resampling.BOX))
    assert np.corrcoef(small.ravel(), shrunk.ravel())[0, 1] > 0.97


def test_progress_counts_to_the_last_film(tmp_path: Path) -> None:
    counts: list[int] = []
    write_phantom(tmp_path / "set", images=12, size_px=32, progress=counts.append)
    assert counts == list(range(1, 13))


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    write_phantom(tmp_path / "set", images=12, size_px=32)
    assert len(contents(tmp_path / "set")) == 12


@pytest.mark.parametrize(
    ("error", "arguments"),
    [
        (DataError, {"images": 11}),
        (DataError, {"images": 100_001}),
        (UsageError, {"size_px": 31}),
        (UsageError, {"size_px": 1025}),
        (UsageError, {"seed": -1}),
        (UsageError, {"jobs": 0}),
    ],
    ids=str,
)
def test_a_number_out_of_range_is_refused(
    error: type[PlainfilmError], arguments: dict[str, int], tmp_path: Path
) -> None:
    with pytest.raises(error, match=f"^{next(iter(arguments))} is {next(iter(arguments.values()))}; it must be "):
        write_phantom(tmp_path / "set", **arguments)
    assert not list(tmp_path.iterdir())


def test_an_occupied_folder_is_refused_and_kept(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(OccupiedError, match="not an empty folder"):
        write_phantom(tmp_path, images=12, size_px=32)
    with pytest.raises(OccupiedError, match="not an empty folder"):
        write_phantom(tmp_path / "notes.txt", images=12, size_px=32)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_an_interrupted_draw_leaves_nothing_behind(tmp_path: Path) -> None:
    def interrupt(done: int) -> None:
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_phantom(tmp_path / "set", images=50, size_px=32, progress=interrupt)
    assert not list(tmp_path.iterdir())


def test_a_full_disk_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(OSError, match="No space left"):
        write_phantom(tmp_path / "set", images=12, size_px=32)
    assert not list(tmp_path.iterdir())
