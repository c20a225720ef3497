"""Masks among images: found by their few values and their names, and nothing else is taken for one."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from plainfilm.config import DataConfig
from plainfilm.data.folders import mask_pixels
from plainfilm.data.folders.mask_pixels import MANY, PixelValues
from plainfilm.data.folders.masks import refuse_masks
from plainfilm.data.folders.walk import FoundFiles
from plainfilm.data.table.image_table import build_table
from wording import lacking

Write = Callable[..., Path]
Refusal = Callable[..., str]

IMAGE = np.arange(64, dtype=np.uint8).reshape(8, 8)
MASK = np.where(IMAGE > 20, 255, 0).astype(np.uint8)
EMPTY = np.zeros((8, 8), np.uint8)
DEEP = (IMAGE * 100).astype(np.uint16)


def write(root: Path, write_image: Write, forms: dict[str, np.ndarray]) -> Path:
    """Four files of each form 'folder/{i}.png', each with pixels of its own."""
    for form, pixels in forms.items():
        for i in range(4):
            shifted = np.roll(pixels, i, axis=1) if pixels is not EMPTY else pixels
            write_image(root / form.format(i=i), shifted)
    return root


@pytest.mark.parametrize(
    ("masks", "images", "todo"),
    [
        ("A_masks/{i}.png", "A/{i}.png", "Move the masks out of DATA"),
        ("A/seg/{i}.png", "A/scan/{i}.png", "--under scan reads the images alone"),
        ("A/{i}_mask.png", "A/{i}.png", "Move the masks out of DATA"),
        ("A/{i}.bmp", "A/{i}.png", "Move the masks out of DATA"),
        ("A/part/{i}.png", "A/{i}.png", "Move the masks out of DATA"),
    ],
)
def test_masks_are_refused_with_where_they_lie(
    tmp_path: Path, write_image: Write, refusal: Refusal, masks: str, images: str, todo: str
) -> None:
    root = write(tmp_path, write_image, {images: IMAGE, masks: MASK, "B/b{i}.png": 255 - IMAGE})
    message = refusal(lambda: build_table(root, DataConfig()))
    folder = masks.rpartition("/")[0]
    assert lacking(message, f"4 images in {folder!r}", "two values", "they are masks", todo, "in a CSV") == []


@pytest.mark.parametrize(
    "forms",
    [
        {"A/{i}.png": MASK, "B/{i}.png": 255 - MASK},  # all images have two values
        {"A/{i}.png": IMAGE, "B/{i}.png": 255 - IMAGE},  # names shared, no mask
        {"A/a{i}.png": IMAGE, "B/b{i}.png": MASK},  # two values, names of their own
        {"A/{i}.png": DEEP, "B/{i}.png": DEEP[::-1]},
    ],
)
def test_what_is_no_mask_is_read(tmp_path: Path, write_image: Write, forms: dict[str, np.ndarray]) -> None:
    assert len(build_table(write(tmp_path, write_image, forms), DataConfig()).rows) == 8


def test_images_of_one_value_are_no_masks(tmp_path: Path, write_image: Write) -> None:
    for i in range(4):
        write_image(tmp_path / "A" / f"{i}.png", np.full((8, 8), 10 * i, np.uint8))
        write_image(tmp_path / "B" / f"{i}.png", np.roll(IMAGE, i, axis=1))
    assert len(build_table(tmp_path, DataConfig()).rows) == 8


def test_a_damaged_file_among_shared_names_is_quarantined_as_ever(tmp_path: Path, write_image: Write) -> None:
    root = write(tmp_path, write_image, {"A/{i}.png": IMAGE, "B/{i}.png": 255 - IMAGE})
    (root / "A" / "0.png").write_bytes(b"x")
    assert list(build_table(root, DataConfig()).excluded["code"]) == ["E_FORMAT"]


# --- by name, whatever the ending ---------------------------------------------------------------------------------

ROUND = np.hypot(*np.mgrid[-32:32, -32:32])
DISC = np.where(ROUND < 18, 255, 0).astype(np.uint8)
RINGS = np.select([ROUND < 10, ROUND < 22], [255, 127], 0).astype(np.uint8)
PHOTO = (40 + 2 * ROUND + 90 * (np.mgrid[:64, :64][0] % 7 == 0)).astype(np.uint8)
SOFT = np.clip(255 * (19 - ROUND), 0, 255).astype(np.uint8) // 2  # an edge of grey around a disc


def save(root: Path, forms: dict[str, np.ndarray]) -> Path:
    """Three files of each form in the classes N and S, each with pixels of its own."""
    for form, pixels in forms.items():
        for k in range(6):
            path = root / form.format(c="NS"[k % 2], i=k)
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.roll(pixels, k, axis=1)).save(path)
    return root


@pytest.mark.parametrize("marked", [
    "{i}_mask", "{i}_masks_1", "{i}_segmentation", "{i}_gt", "{i}_seg", "{i}_lesion", "{i}_label", "{i}_groundtruth",
    "{i}_roi", "{i}.mask", "{i}_m", "{i}_annotation", "{i}_contour", "{i}_superpixels", "{i}m", "{i}-xyz", "{i} (seg)",
    "mask_{i}", "seg-{i}", "gt{i}", "mask{i}",
])  # fmt: skip
@pytest.mark.parametrize("pixels", [DISC, RINGS], ids=["two", "three"])
def test_files_named_as_another_and_more_are_masks(
    tmp_path: Path, refusal: Refusal, marked: str, pixels: np.ndarray
) -> None:
    root = save(tmp_path, {"{c}/benign ({i}).png": PHOTO, f"{{c}}/{marked.replace('{i}', 'benign ({i})')}.png": pixels})
    message = refusal(lambda: build_table(root, DataConfig()))
    first = "N/" + marked.format(i="benign (0)") + ".png"
    assert lacking(message, "3 images in 'N'", "they are masks", first, "Move the masks out of DATA") == []


def test_a_single_file_that_is_named_as_a_mask_is_one(tmp_path: Path, refusal: Refusal) -> None:
    Image.fromarray(DISC).save(save(tmp_path, {"{c}/{i}.png": PHOTO}) / "N" / "2_seg.png")
    assert "N/2_seg.png" in refusal(lambda: build_table(tmp_path, DataConfig()))


def test_masks_beside_images_of_names_of_their_own_are_found(tmp_path: Path, refusal: Refusal) -> None:
    root = save(tmp_path, {"{c}/image_{i}.png": PHOTO, "{c}/mask_{i}.png": DISC})
    assert "N/mask_0.png" in refusal(lambda: build_table(root, DataConfig()))


def test_a_palette_may_have_more_values(tmp_path: Path, refusal: Refusal) -> None:
    root = save(tmp_path, {"{c}/{i}.png": PHOTO})
    for path in sorted(root.rglob("*.png")):
        organs = Image.fromarray((np.asarray(ROUND) // 2).astype(np.uint8))  # 23 values
        organs.putpalette([i for i in range(256) for _ in range(3)])
        organs.save(path.with_name(f"{path.stem}_organs.png"))
    assert lacking(refusal(lambda: build_table(root, DataConfig())), "few values", "'N/0_organs.png'") == []


@pytest.mark.parametrize("suffix", ["png", "jpg"])
@pytest.mark.parametrize("pixels", [DISC, RINGS], ids=["two", "three"])
@pytest.mark.parametrize(("masks", "todo"), [
    ("{c}/lung masks/x{i}", "--under images"), ("{c}/segs/x{i}", "--under images"), ("{c}/infection masks/m{i}", "--under images"),
    ("masks/{c}{i}", "Move the masks"), ("lung_segmentation/x{i}", "Move the masks"), ("Ground Truth/x{i}", "Move the masks"),
])  # fmt: skip
def test_folders_named_as_masks_are_refused_whatever_their_files_are(
    tmp_path: Path, refusal: Refusal, suffix: str, pixels: np.ndarray, masks: str, todo: str
) -> None:
    images = "{c}/images/x{i}" if "images" in todo else "{c}/x{i}"
    root = save(tmp_path, {f"{images}.{suffix}": PHOTO, f"{masks}.{suffix}": pixels})
    message = refusal(lambda: build_table(root, DataConfig()))
    assert lacking(message, "masks", f"first: {masks.format(c='N', i=0) + '.' + suffix!r}", todo) == []
    if "images" in todo:
        assert len(build_table(root, DataConfig(under="images")).rows) == 6


def test_masks_are_found_where_every_other_folder_holds_them(tmp_path: Path, refusal: Refusal) -> None:
    forms = {f"{c}/p{k}/{kind}/{i}.png" for c in "NS" for k in range(200) for kind in "ab" for i in "12"}
    for name in forms:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(PHOTO[:16, :16] if "/a/" in name else DISC[20:50:3, 20:50:3]).save(tmp_path / name)
    message = refusal(lambda: build_table(tmp_path, DataConfig()))
    assert lacking(message, "b/1.png'", "they are masks", "--under a") == []


def test_a_mask_may_lie_in_another_class_than_its_image(tmp_path: Path, refusal: Refusal) -> None:
    root = save(tmp_path, {"{c}/{c}{i}.png": PHOTO, "other/{c}{i}_roi.png": DISC})
    assert "other/N0_roi.png" in refusal(lambda: build_table(root, DataConfig()))


def test_deep_files_may_be_masks_too(tmp_path: Path, refusal: Refusal) -> None:
    deep = PHOTO.astype(np.uint16) * 100
    root = save(tmp_path, {"{c}/{i}.png": deep, "{c}/{i}_organs.png": RINGS.astype(np.uint16) * 9})
    assert "N/0_organs.png" in refusal(lambda: build_table(root, DataConfig()))


def test_one_odd_file_of_six_hides_no_masks_that_are_named_so(tmp_path: Path, refusal: Refusal) -> None:
    root = save(tmp_path, {"N/{i}.png": PHOTO, "N/{i}_mask.png": DISC, "S/s{i}.png": 255 - PHOTO})
    Image.fromarray(PHOTO[::-1]).save(root / "N" / "2_mask.png")
    assert "N/0_mask.png" in refusal(lambda: build_table(root, DataConfig()))


def test_a_folder_of_images_inside_one_named_as_masks_holds_images(tmp_path: Path, refusal: Refusal) -> None:
    root = save(tmp_path, {"{c}/roi/images/x{i}.png": PHOTO, "{c}/roi/segs/q{i}.png": DISC})
    assert "--under images" in refusal(lambda: build_table(root, DataConfig()))


def test_a_folder_of_one_patient_is_no_way_out(tmp_path: Path, refusal: Refusal) -> None:
    root = save(tmp_path, {"{c}/p{i}/{i}.png": PHOTO, "{c}/outlines/{i}.png": DISC})
    assert "Move the masks out of DATA" in refusal(lambda: build_table(root, DataConfig()))


def test_two_folders_of_masks_hide_no_other(tmp_path: Path, refusal: Refusal) -> None:
    root = save(tmp_path, {"{c}/a/{i}.png": DISC, "{c}/b/{i}.png": RINGS, "{c}/scan/{i}.png": PHOTO})
    assert "--under scan" in refusal(lambda: build_table(root, DataConfig()))


def test_empty_masks_are_masks_by_their_names(tmp_path: Path, refusal: Refusal) -> None:
    root = save(tmp_path, {"{c}/{i}.png": PHOTO})
    for path in sorted(root.rglob("*.png")):
        Image.new("L", (8, 8)).save(path.with_name(f"{path.stem}_mask.png"))
    assert "they are masks" in refusal(lambda: build_table(root, DataConfig()))


def shapes(root: Path) -> None:
    save(root, {"{c}/{i}.png": DISC, "{c}/{i}_mask.png": RINGS})


def photos(root: Path) -> None:
    save(root, {"{c}/{i}.png": PHOTO, "{c}/{i}_mask.png": 255 - PHOTO, "{c}/{i}_2.png": PHOTO[::-1]})


def one_odd(root: Path) -> None:
    Image.fromarray(DISC).save(save(root, {"{c}/{i}.png": PHOTO}) / "N" / "2_left.png")


def some_odd(root: Path) -> None:
    save(root, {"{c}/{i}.png": PHOTO, "{c}/{i}_left.png": 255 - PHOTO})
    Image.fromarray(DISC).save(root / "N" / "2_left.png")


def one_photo(root: Path) -> None:
    save(root, {"{c}/{i}.png": DISC, "{c}/{i}_2.png": RINGS})
    Image.fromarray(PHOTO).save(root / "N" / "2.png")


def one_photo_among_drawings(root: Path) -> None:
    save(root, {"N/{i}.png": PHOTO, "N/{i}_left.png": DISC, "S/s{i}.png": 255 - PHOTO})
    Image.fromarray(PHOTO[::-1]).save(root / "N" / "2_left.png")


def numbers(root: Path) -> None:
    save(root, {"N/{i}.png": PHOTO, "N/{i}1.png": DISC, "S/s{i}.png": 255 - PHOTO})


def other_class(root: Path) -> None:
    save(root, {"photo/{i}.png": PHOTO, "drawing/drawing_{i}.png": DISC, "three/{i}.png": RINGS})


def faces(root: Path) -> None:
    save(root, {"with_mask/{i}.png": PHOTO, "without_mask/w{i}.png": DISC, "mask/m{i}.png": 255 - PHOTO})


def soft(root: Path) -> None:
    save(root, {"{c}/{i}.png": SOFT, "{c}/{i}_2.png": DISC})


def dark(root: Path) -> None:
    save(root, {f"{{c}}/p{k}/{{i}}.png": DISC // 2 + SOFT // 9 if k == 1 else PHOTO for k in range(3)})


def dark_slices(root: Path) -> None:
    save(root, {"{c}/{i}.png": PHOTO, "{c}/nor_1_img_{i}.png": SOFT})


def labels(root: Path) -> None:
    save(root, {"label_0/{i}.png": DISC, "label_1/x{i}.png": RINGS})


@pytest.mark.parametrize(
    "draw",
    [
        shapes,
        photos,
        one_odd,
        some_odd,
        one_photo,
        one_photo_among_drawings,
        numbers,
        other_class,
        faces,
        soft,
        dark,
        dark_slices,
        labels,
    ],
)
def test_an_ordinary_set_is_read(tmp_path: Path, draw: Callable[[Path], None]) -> None:
    draw(tmp_path)
    assert len(build_table(tmp_path, DataConfig()).rows) == len([*tmp_path.rglob("*.png")])


@pytest.mark.parametrize(("drawn", "each"), [(PHOTO, 3), (DISC, 16)], ids=["images", "drawings"])
def test_only_a_few_files_are_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, drawn: np.ndarray, each: int
) -> None:
    Image.fromarray(drawn[::4, ::4]).save(tmp_path / "x.png")
    data, opened = (tmp_path / "x.png").read_bytes(), []
    monkeypatch.setattr(mask_pixels, "read_bytes", lambda path, _: opened.append(path) or data)
    names = [f"A/p{k}/{i}{end}.png" for k in range(300) for i in range(20) for end in ("", "_seg")]
    refuse_masks(FoundFiles(tmp_path / name, name, "A") for name in names)
    assert len(opened) == 200 * each  # of 12,000, each mask with the image in its own folder


@pytest.mark.parametrize("size", [64, 256])
@pytest.mark.parametrize("quality", [50, 90])
def test_values_near_levels_count_as_these(tmp_path: Path, size: int, quality: int) -> None:
    counts = []
    for i, pixels in enumerate([DISC, RINGS, PHOTO, PHOTO // 16 + 100]):  # the last: one flat tone
        path = tmp_path / f"{i}.jpg"
        Image.fromarray(pixels).resize((size, size), 0).save(path, quality=quality)
        counts.append(PixelValues(tiff=False, megapixels=64).of(path, near=True))
    assert counts == [2, 3, MANY, MANY]
