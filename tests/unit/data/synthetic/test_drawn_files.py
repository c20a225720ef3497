"""Drawn images are known by name and storage, wherever their folder was copied; others are not taken for them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from PIL import Image

from plainfilm.config import DataConfig
from plainfilm.data.synthetic.drawn_files import _quantisation, all_drawn, drawn_note
from plainfilm.data.synthetic.phantom import write_phantom
from plainfilm.data.synthetic.planted_faults import Faults, write_planted
from plainfilm.data.table.image_table import build_table

ALL = "DRAWN IMAGES: all images are phantoms drawn by plainfilm"


def note(folder: Path) -> str:
    return " ".join(drawn_note(build_table(folder, DataConfig()).rows))


@pytest.mark.parametrize("size_px", [32, 64, 300])
def test_every_drawn_image_is_recognised_at_any_size(tmp_path, size_px):
    write_phantom(tmp_path / "set", images=12, size_px=size_px)
    assert note(tmp_path / "set").startswith(ALL)


def test_sets_with_planted_faults_are_recognised(tmp_path):
    write_planted(
        tmp_path / "copies", Faults(shortcut="marker", near_duplicates=6, given_folders=True), images=24, size_px=64
    )
    write_planted(tmp_path / "jpeg", Faults(shortcut="jpeg"), images=24, size_px=64)
    assert note(tmp_path / "copies").startswith(ALL) and note(tmp_path / "jpeg").startswith(ALL)


def test_a_copied_class_folder_among_other_images_is_counted(tmp_path):
    write_phantom(tmp_path / "set", images=12, size_px=64)
    shutil.copytree(tmp_path / "set" / "NORMAL", tmp_path / "mine" / "healthy")
    (tmp_path / "mine" / "ill").mkdir()
    for i in range(4):
        Image.radial_gradient("L").rotate(i).save(tmp_path / "mine" / "ill" / f"{i}.png")
    assert note(tmp_path / "mine") == "DRAWN IMAGES: 6 of 10 images are phantoms drawn by plainfilm."


def test_a_set_is_drawn_only_if_every_image_is(tmp_path):
    write_phantom(tmp_path / "set", images=12, size_px=64)
    rows = build_table(tmp_path / "set", DataConfig()).rows
    assert all_drawn(rows) and not all_drawn(rows[:0])
    assert not all_drawn(rows.assign(relative=["radiograph.png", *rows["relative"][1:]]))


def test_real_images_are_not_taken_for_drawn_ones(tmp_path):
    """A radiograph of a phantom of plastic, named as ours are, as PNGs are usually saved; and other names."""
    for label, names in {
        "a": ("phantom-00001-1.png", "phantom-1.png"),
        "b": ("phantom-00002-1.png", "my-phantom-00003-1.png"),
    }.items():
        (tmp_path / label).mkdir()
        for i, name in enumerate(names):
            Image.radial_gradient("L").rotate(7 * i + ord(label)).save(tmp_path / label / name)
    Image.radial_gradient("L").rotate(3).save(tmp_path / "a" / "my-phantom-00004-1.png", compress_level=0)
    assert note(tmp_path) == ""


def real_jpegs(folder: Path, names: list[str], quality: int, size_px: int = 224) -> None:
    """Grey, square films of a phantom of plastic, all different."""
    folder.mkdir(parents=True, exist_ok=True)
    for i, name in enumerate(names):
        film = Image.radial_gradient("L").rotate(3 * i + quality).resize((size_px, size_px))
        film.save(folder / name, quality=quality)


@pytest.mark.parametrize("quality", [50, 75, 90])
def test_a_real_jpeg_is_not_taken_for_a_drawn_one_by_its_name(tmp_path, quality):
    real_jpegs(tmp_path / "a", ["phantom-00012-1.jpg", "phantom-00013-1.jpg"], quality)
    real_jpegs(tmp_path / "b", ["phantom-00014-1.jpg"], quality + 1)
    assert note(tmp_path) == ""


def test_one_jpeg_among_others_is_no_drawn_one_even_with_the_quality_of_drawn_ones(tmp_path):
    real_jpegs(tmp_path / "a", ["phantom-00012-1.jpg", "1.jpg", "2.jpg"], 95)
    real_jpegs(tmp_path / "b", ["3.jpg"], 80)
    assert note(tmp_path) == ""


def test_jpeg_copies_in_a_drawn_set_are_recognised_with_it(tmp_path):
    write_planted(tmp_path / "set", Faults(near_duplicates=9), images=40, size_px=64)
    assert list((tmp_path / "set").rglob("*.jpg")) and note(tmp_path / "set").startswith(ALL)


@pytest.mark.parametrize("quality", [60, 73, 80, 95])
def test_the_quantisation_of_a_drawn_jpeg_is_the_one_in_the_table(tmp_path, quality):
    for label in "ab":
        real_jpegs(tmp_path / label, [f"{label}.jpg"], quality, 64 + ord(label))
    assert set(build_table(tmp_path, DataConfig()).rows["quantisation"]) == {_quantisation(quality)}
