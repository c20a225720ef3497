"""The same image saved again is found, another image is not, and copies are not near duplicates."""

import io
import tracemalloc

import imagehash
import numpy as np
import pytest
from PIL import Image

from plainfilm.data.audit import near_duplicates
from plainfilm.data.audit.near_duplicates import near_groups, near_pairs, perceptual_hashes


def blob_images(n: int, size_px: int = 96, seed: int = 0) -> np.ndarray:
    """Dissimilar images of smooth blobs, uint8 (n, size, size)."""
    rng = np.random.default_rng(seed)
    small = rng.integers(30, 226, (n, 12, 12), np.uint8)
    return np.stack([np.asarray(Image.fromarray(x).resize((size_px,) * 2, Image.Resampling.BICUBIC)) for x in small])


def resized(image: np.ndarray, side: int) -> np.ndarray:
    small = Image.fromarray(image).resize((side, side), Image.Resampling.LANCZOS)
    return np.asarray(small.resize(image.shape, Image.Resampling.BILINEAR))


def saved(image: np.ndarray, quality: int) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))


def exposed(image: np.ndarray) -> np.ndarray:
    return np.clip(image * 1.08 - 9, 0, 255).astype(np.uint8)


def pairs_of(pixels: np.ndarray) -> list[tuple[int, int]]:
    return near_pairs(perceptual_hashes(pixels), pixels)


class Unread:
    """Pixels that nobody may ask for."""

    shape = (20_000, 64, 64)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, which: object, /) -> np.ndarray:
        raise AssertionError("no pair was proposed")


def test_the_hash_is_imagehashs_own_at_64_px() -> None:
    for image, packed in zip(blob_images(5, 64), perceptual_hashes(blob_images(5, 64)), strict=True):
        own = imagehash.phash(Image.fromarray(image), hash_size=16).hash
        np.testing.assert_array_equal(np.unpackbits(packed).reshape(16, 16), own)


def test_a_larger_image_has_nearly_the_hash_that_imagehash_gives_it() -> None:
    for image, packed in zip(blob_images(5, 200), perceptual_hashes(blob_images(5, 200)), strict=True):
        own = imagehash.phash(Image.fromarray(image), hash_size=16).hash.ravel()
        assert np.count_nonzero(np.unpackbits(packed) != own) <= 6  # another resampling


@pytest.mark.parametrize(
    "change",
    [lambda image: resized(image, 77), lambda image: saved(image, 60), exposed, lambda image: image.copy()],
    ids=["resized", "jpeg", "exposure", "copied"],
)
def test_the_same_image_saved_again_is_found(change) -> None:
    images = blob_images(6)
    assert pairs_of(np.concatenate([images, change(images[4])[None]])) == [(4, 6)]


@pytest.mark.parametrize("change", [np.fliplr, np.flipud, np.transpose, lambda image: 255 - image])
def test_a_turned_or_inverted_image_is_another_one(change) -> None:
    images = blob_images(1)
    assert pairs_of(np.concatenate([images, change(images[0])[None]])) == []


def test_flat_images_match_no_other() -> None:
    flat = np.stack([np.full((40, 40), value, np.uint8) for value in range(256)])
    assert np.bitwise_count(perceptual_hashes(flat)).sum(axis=1).max() == 1
    assert pairs_of(flat) == []
    # proposed, they would be as many pairs as 10,000 empty files make: 50 million
    assert near_pairs(np.tile(perceptual_hashes(flat[7:8]), (100, 1)), Unread()) == []
    # were a flat image's hash ever that of another, its pixels would not confirm it
    hashes = np.tile(perceptual_hashes(blob_images(1)), (2, 1))
    assert near_pairs(hashes, flat[:2]) == near_pairs(hashes, np.stack([flat[3, :40], blob_images(1, 40)[0]])) == []


def test_the_hash_proposes_and_the_pixels_confirm() -> None:
    images = blob_images(3)
    hashes = perceptual_hashes(images)
    same_hash = np.stack([hashes[0]] * 3)
    assert near_pairs(same_hash, images) == []  # other pixels
    assert near_pairs(same_hash, np.stack([images[0], images[1], exposed(images[0])])) == [(0, 2)]


@pytest.mark.parametrize(("bits", "found"), [(30, [(0, 1)]), (31, [])])
def test_thirty_bits_may_differ_and_no_more(bits: int, found: list[tuple[int, int]]) -> None:
    images = blob_images(1)
    hashes = np.tile(perceptual_hashes(images), (2, 1))
    flip = np.zeros(256, np.uint8)
    flip[np.random.default_rng(0).permutation(256)[:bits]] = 1
    hashes[1] ^= np.packbits(flip)
    assert near_pairs(hashes, np.repeat(images, 2, axis=0)) == found


def test_blocks_find_what_comparing_each_with_each_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    images = blob_images(8)
    pixels = np.concatenate([images, *([saved(images[i], 80)[None] for i in (0, 3, 3, 7)])])[rng.permutation(12)]
    hashes = perceptual_hashes(pixels)
    bits = np.unpackbits(hashes, axis=1).astype(int)
    brute = [(i, j) for i in range(12) for j in range(i + 1, 12) if np.abs(bits[i] - bits[j]).sum() <= 30]
    assert len(brute) == 5  # two pairs, and an image that is there three times
    for cells, at_once in ((1_000_000, 1000), (1, 1), (25, 2)):
        monkeypatch.setattr(near_duplicates, "_BLOCK_CELLS", cells)
        monkeypatch.setattr(near_duplicates, "_CONFIRM_AT_ONCE", at_once)
        assert near_pairs(hashes, pixels) == brute


def test_the_order_of_the_rows_does_not_count() -> None:
    images = blob_images(5)
    pixels = np.concatenate([images, saved(images[1], 70)[None], exposed(images[3])[None]])
    order = np.random.default_rng(2).permutation(7)
    back = {frozenset((int(order[i]), int(order[j]))) for i, j in pairs_of(pixels[order])}
    assert back == {frozenset((1, 5)), frozenset((3, 6))}


def test_colour_counts_by_its_mean() -> None:
    grey = blob_images(3)
    rgb = np.repeat(grey[..., None], 3, axis=3)
    np.testing.assert_array_equal(perceptual_hashes(rgb), perceptual_hashes(grey))
    tinted = rgb[:1].astype(int) + np.array([8, 0, -8])
    assert pairs_of(np.concatenate([rgb, tinted.clip(0, 255).astype(np.uint8)])) == [(0, 3)]


@pytest.mark.parametrize("n", [0, 1])
def test_no_image_and_a_single_one_have_no_pair(n: int) -> None:
    assert perceptual_hashes(blob_images(1)[:n]).shape == (n, 32)
    assert pairs_of(blob_images(1)[:n]) == []


def test_many_images_take_little_memory_and_only_proposed_ones_are_read() -> None:
    hashes = np.random.default_rng(0).integers(0, 256, (20_000, 32), np.uint8)
    tracemalloc.start()
    try:
        assert near_pairs(hashes, Unread()) == []
        assert tracemalloc.get_traced_memory()[1] < 40e6  # all distances at once would be 400 MB
    finally:
        tracemalloc.stop()


def test_groups_are_joined_through_chains_and_sorted() -> None:
    content = np.array(list("abcdefg"))
    assert near_groups([(2, 5), (0, 1), (1, 4)], content) == [[0, 1, 4], [2, 5]]
    assert near_groups([], content) == []


def test_copies_are_no_near_duplicates() -> None:
    content = np.array(["a", "a", "b", "c", "c"])
    assert near_groups([(0, 1), (3, 4)], content) == []
    # a and its copy are both near b: one group
    assert near_groups([(0, 1), (0, 2), (1, 2), (3, 4)], content) == [[0, 1, 2]]


def test_rows_are_plain_numbers() -> None:
    images = blob_images(2)
    pixels = np.concatenate([images, saved(images[0], 80)[None]])
    pairs = pairs_of(pixels)
    assert [type(i) for pair in pairs for i in pair] == [int, int]
    assert [type(i) for group in near_groups(pairs, np.array(["x", "y", "z"])) for i in group] == [int, int]
