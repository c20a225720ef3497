"""Drawn images are known by name and storage, wherever their folder was copied; others are not taken for them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from PIL import Image

from plainfilm.config import DataConfig
from plainfilm.data.synthetic.drawn_files import drawn_note
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
