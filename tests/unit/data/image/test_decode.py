"""decode(): one image gives the same pixels however it is stored, and what is not an image is refused by code."""

import io
import os
import struct
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from plainfilm.data import errors
from plainfilm.data.errors import DecodeError, how_to_admit, most_bytes
from plainfilm.data.image import modes as pixels
from plainfilm.data.image import png_check as png_module
from plainfilm.data.image.decode import DecodeSpec, decode, decode_bytes, digest, inspect, load, read_bytes
from plainfilm.data.image.modes import content_of, is_grey, smallest_depth, to_uint8
from plainfilm.data.image.resize import harmonised, resize
from wording import lacking

SIDE = 16
AS_STORED = DecodeSpec(SIDE)
NOISE = np.random.default_rng(7).integers(0, 256, (SIDE, SIDE), dtype=np.uint8)
# No symmetry, so that a wrong turn is seen; smooth, so that JPEG keeps it within a few grey levels.
RAMP = (8 * np.arange(SIDE)[:, None] + 5 * np.arange(SIDE)[None, :]).astype(np.uint8)


def stored(image: Image.Image | np.ndarray, kind: str = "PNG", **save: object) -> bytes:
    file = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(file, kind, **save)
    return file.getvalue()


def png(width: int, height: int, depth: int, colour: int, lines: list[bytes], *, end: bool = True) -> bytes:
    """A PNG by hand, for depths that Pillow does not write; `colour` 0 grey, 2 RGB, 4 grey and alpha."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    body = chunk(b"IDAT", zlib.compress(b"".join(b"\0" + line for line in lines)))
    return b"\x89PNG\r\n\x1a\n" + head + body + (chunk(b"IEND", b"") if end else b"")


def png16(values: np.ndarray, colour: int) -> bytes:
    """16-bit PNG of (h, w) or (h, w, channels)."""
    height, width = values.shape[:2]
    return png(width, height, 16, colour, [line.astype(">u2").tobytes() for line in values])


def scrambled_palette(pixels: np.ndarray) -> Image.Image:
    """`pixels` as a palette image whose indices say nothing about the grey level."""
    index_of = np.random.default_rng(1).permutation(256).astype(np.uint8)
    image = Image.fromarray(index_of[pixels], "L")
    palette = np.zeros((256, 3), np.uint8)
    palette[index_of] = np.arange(256)[:, None]
    image.putpalette(palette.tobytes())
    return image


def grey_and(*others: int) -> np.ndarray:
    """NOISE three times, and constant channels after it."""
    return np.dstack([NOISE, NOISE, NOISE, *(np.full_like(NOISE, other) for other in others)])


SAME_IMAGE: dict[str, Callable[[], bytes]] = {
    "8-bit grey PNG": lambda: stored(NOISE),
    "16-bit grey PNG": lambda: stored(NOISE.astype(np.uint16) * 257),
    "RGB PNG": lambda: stored(grey_and()),
    "opaque RGBA PNG": lambda: stored(grey_and(255)),
    "opaque grey and alpha PNG": lambda: stored(Image.fromarray(grey_and(255), "RGBA").convert("LA")),
    "palette PNG": lambda: stored(scrambled_palette(NOISE)),
    "16-bit RGB PNG": lambda: png16(grey_and().astype(np.uint16) * 257, colour=2),
    "16-bit grey and alpha PNG": lambda: png16(np.dstack([NOISE, np.full_like(NOISE, 255)]).astype(np.uint16) * 257, 4),
    "8-bit grey BMP": lambda: stored(NOISE, "BMP"),
    "RGB BMP": lambda: stored(grey_and(), "BMP"),
    "palette BMP": lambda: stored(scrambled_palette(NOISE), "BMP"),
}


@pytest.mark.parametrize("form", SAME_IMAGE)
@pytest.mark.parametrize("size_px", [SIDE, 9, 31])
def test_one_image_gives_the_same_pixels_in_every_lossless_form(form: str, size_px: int) -> None:
    expected = resize(NOISE, size_px)
    pixels = decode_bytes(SAME_IMAGE[form](), DecodeSpec(size_px, bits=16))
    assert pixels.dtype == np.uint8
    np.testing.assert_array_equal(pixels, expected)
    colour = decode_bytes(SAME_IMAGE[form](), DecodeSpec(size_px, channels=3, bits=16))
    np.testing.assert_array_equal(colour, np.dstack([expected] * 3))


@pytest.mark.parametrize("form", SAME_IMAGE)
def test_one_image_is_grey_in_every_lossless_form(form: str) -> None:
    assert is_grey(load(SAME_IMAGE[form]()))


@pytest.mark.parametrize("kind", ["PNG", "BMP"])
def test_a_black_and_white_image_is_0_and_255(kind: str) -> None:
    white = NOISE > 127
    np.testing.assert_array_equal(decode_bytes(stored(Image.fromarray(white), kind), AS_STORED), 255 * white)


def test_four_bits_of_grey_are_spread_over_the_range() -> None:
    nibbles = np.arange(SIDE, dtype=np.uint8)  # 0..15 in each line
    line = (nibbles[0::2] << 4 | nibbles[1::2]).tobytes()
    pixels = decode_bytes(png(SIDE, SIDE, 4, 0, [line] * SIDE), AS_STORED)
    np.testing.assert_array_equal(pixels, np.tile(17 * nibbles, (SIDE, 1)))


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_a_jpeg_gives_the_image_within_its_loss(mode: str) -> None:
    image = Image.fromarray(RAMP).convert("RGB").convert(mode)
    pixels = decode_bytes(stored(image, "JPEG", quality=100), AS_STORED)
    assert np.abs(pixels.astype(int) - RAMP).max() <= 3


TURNS: dict[int, Callable[[np.ndarray], np.ndarray]] = {  # EXIF orientation -> how the upright image is stored
    1: lambda upright: upright,
    2: np.fliplr,
    3: lambda upright: upright[::-1, ::-1],
    4: np.flipud,
    5: lambda upright: upright.T,
    6: lambda upright: np.rot90(upright, 1),  # shown after a quarter turn clockwise
    7: lambda upright: upright[::-1, ::-1].T,
    8: lambda upright: np.rot90(upright, -1),
}


@pytest.mark.parametrize("orientation", TURNS)
def test_an_image_is_turned_upright_as_its_exif_says(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    turned = np.ascontiguousarray(TURNS[orientation](NOISE))
    np.testing.assert_array_equal(decode_bytes(stored(turned, exif=exif), AS_STORED), NOISE)
    smooth = np.ascontiguousarray(TURNS[orientation](RAMP))
    jpeg = decode_bytes(stored(smooth, "JPEG", quality=100, exif=exif), AS_STORED)
    assert np.abs(jpeg.astype(int) - RAMP).max() <= 3


def test_transparency_lies_on_black() -> None:
    greys = np.array([[255, 255, 255], [103, 103, 103]], np.uint8)
    alpha = np.array([[0, 128, 255], [0, 51, 255]], np.uint8)
    expected = [[0, 128, 255], [0, 21, 103]]  # grey * alpha / 255, rounded: 103 * 51 / 255 = 20.6
    rgba = Image.fromarray(np.dstack([greys, greys, greys, alpha]), "RGBA")
    for image in (rgba, rgba.convert("LA")):
        assert to_uint8(load(stored(image)), 1, None).tolist() == expected


def test_a_transparent_palette_colour_lies_on_black() -> None:
    image = Image.fromarray(np.array([[0, 1]], np.uint8), "P")
    image.putpalette([200, 200, 200, 90, 90, 90])
    assert to_uint8(load(stored(image, transparency=0)), 1, None).tolist() == [[0, 90]]


def test_a_transparent_colour_lies_on_black() -> None:
    image = np.array([[[200, 200, 200], [90, 90, 90]]], np.uint8)
    assert to_uint8(load(stored(image, transparency=(200, 200, 200))), 1, None).tolist() == [[0, 90]]


def test_a_transparent_grey_level_lies_on_black() -> None:
    assert to_uint8(load(stored(np.array([[200, 90]], np.uint8), transparency=200)), 1, None).tolist() == [[0, 90]]


def test_colour_stays_where_three_channels_are_asked_and_becomes_luma_where_one_is() -> None:
    red = np.zeros((SIDE, SIDE, 3), np.uint8)
    red[..., 0] = 200
    np.testing.assert_array_equal(decode_bytes(stored(red), DecodeSpec(SIDE, channels=3)), red)
    assert set(decode_bytes(stored(red), AS_STORED).ravel()) == {60}  # 0.299 * 200 = 59.8


@pytest.mark.parametrize(
    ("bits", "values", "expected"),
    [
        (10, [0, 512, 1023], [0, 128, 255]),
        (12, [0, 2048, 4095], [0, 128, 255]),  # 2048 * 255 / 4095 = 127.53
        (14, [0, 8192, 16383], [0, 128, 255]),
        (16, [0, 32768, 65535], [0, 128, 255]),
        (16, [1, 4095, 300], [0, 16, 1]),
    ],
)
def test_deep_integers_are_divided_by_the_top_of_their_bits(bits: int, values: list[int], expected: list[int]) -> None:
    image = load(stored(np.array([values], np.uint16)))
    assert to_uint8(image, 1, bits).tolist() == [expected]


def test_a_deep_image_is_never_washed_white() -> None:
    values = np.linspace(0, 65535, 64 * 64).astype(np.uint16).reshape(64, 64)
    pixels = decode_bytes(stored(values), DecodeSpec(64, bits=16))
    assert np.mean(pixels == 255) < 0.01
    assert 127 <= pixels.mean() <= 128
    assert len(np.unique(pixels)) == 256


def test_a_value_above_the_top_of_the_bits_is_refused() -> None:
    with pytest.raises(DecodeError) as error:
        to_uint8(load(stored(np.array([[0, 4096]], np.uint16))), 1, 12)
    assert lacking(str(error.value), "E_BITS:", "0 to 4096", "12 bits", "0 to 4095") == []


def test_a_deep_image_without_a_bit_depth_is_refused() -> None:
    with pytest.raises(DecodeError) as error:
        decode_bytes(stored(NOISE.astype(np.uint16)), AS_STORED)
    assert lacking(str(error.value), "E_BITS:", "more than 8 bits", "no bit depth is set") == []


def test_a_deep_colour_image_is_not_silently_darkened() -> None:
    # A 12-bit image saved as 16-bit RGB: Pillow keeps the high byte only, and the brightest pixel becomes 15 of 255.
    twelve = np.dstack([np.linspace(0, 4095, SIDE * SIDE).astype(np.uint16).reshape(SIDE, SIDE)] * 3)
    try:
        pixels = decode_bytes(png16(twelve, colour=2), DecodeSpec(SIDE, bits=12))
    except DecodeError as error:
        assert error.code == "E_BITS"  # noqa: PT017 - to refuse it is as good as to read it
    else:
        assert pixels.max() == 255


@pytest.mark.parametrize(
    ("value", "bits"),
    [(0, 8), (255, 8), (256, 10), (1023, 10), (1024, 12), (4095, 12), (4096, 14), (16384, 16), (65535, 16)],
)
def test_the_smallest_usual_depth_holds_the_value(value: int, bits: int) -> None:
    assert smallest_depth(value) == bits


def test_no_depth_holds_more_than_16_bits() -> None:
    with pytest.raises(DecodeError, match="at most 16 bits"):
        smallest_depth(65536)


def test_float_pixels_must_lie_in_0_to_1() -> None:
    assert to_uint8(Image.fromarray(np.array([[0, 0.5, 1]], np.float32)), 1, None).tolist() == [[0, 128, 255]]
    for wrong in (1.001, -0.001, np.nan, np.inf):
        with pytest.raises(DecodeError, match="E_VALUES"):
            to_uint8(Image.fromarray(np.array([[0.5, wrong]], np.float32)), 1, None)


def test_a_wide_image_is_squished_to_a_square() -> None:
    wide = np.repeat(np.arange(0, 256, 8, dtype=np.uint8)[None], 8, axis=0)  # 8 high, 32 wide, brighter to the right
    pixels = decode_bytes(stored(wide), DecodeSpec(8))
    assert pixels.shape == (8, 8)
    assert np.ptp(pixels, axis=0).max() == 0  # nothing moved up or down
    # antialiased: each pixel is a mean over its four and their neighbours, 8 * (4 i + 1.5) on a ramp away from the ends
    np.testing.assert_allclose(pixels[0, 1:-1], 8 * (4 * np.arange(1, 7) + 1.5), atol=0.51)


def test_three_channels_have_the_shape_that_was_asked_for() -> None:
    assert decode_bytes(stored(NOISE), DecodeSpec(5, channels=3)).shape == (5, 5, 3)


@pytest.mark.parametrize("share", [0.05, 0.2, 0.5, 0.8, 0.95])
@pytest.mark.parametrize("form", ["PNG", "JPEG", "progressive JPEG", "BMP"])
def test_an_image_that_is_cut_off_is_refused(form: str, share: float) -> None:
    noise = np.random.default_rng(3).integers(0, 256, (48, 48), dtype=np.uint8)
    data = stored(noise, form.split()[-1], **({"progressive": True} if form.startswith("prog") else {}))
    decode_bytes(data, DecodeSpec(8))  # whole, it is read
    with pytest.raises(DecodeError) as caught:
        decode_bytes(data[: int(share * len(data))], DecodeSpec(8))
    assert caught.value.code in ("E_CORRUPT", "E_FORMAT")
    with pytest.raises(DecodeError):
        load(data[: int(share * len(data))])


@pytest.mark.parametrize("form", ["PNG", "JPEG"])
def test_a_file_cut_anywhere_is_refused(form: str) -> None:
    data = stored(NOISE, form)
    for length in range(1, len(data)):
        with pytest.raises(DecodeError):
            load(data[:length])


def test_a_png_with_a_flipped_bit_is_refused_or_has_lost_no_pixel() -> None:
    data = stored(NOISE)
    whole = np.asarray(load(data))
    for i in range(len(data)):
        damaged = bytearray(data)
        damaged[i] ^= 4
        try:
            pixels = np.asarray(load(bytes(damaged)))
        except DecodeError:
            continue
        np.testing.assert_array_equal(pixels, whole)


@pytest.mark.parametrize(
    ("name", "data", "code"),
    [
        ("text.jpg", b"not a picture at all\n" * 20, "E_FORMAT"),
        ("empty.png", b"", "E_EMPTY"),
        ("animation.png", stored(NOISE, "GIF"), "E_FORMAT"),
        ("film.png", stored(NOISE, "TIFF"), "E_FORMAT"),
        ("zeros.bmp", bytes(4096), "E_FORMAT"),
        ("only-a-signature.png", b"\x89PNG\r\n\x1a\n", "E_FORMAT"),
    ],
)
def test_what_is_not_an_image_is_refused_by_code_and_without_its_name(
    tmp_path: Path, name: str, data: bytes, code: str
) -> None:
    (tmp_path / name).write_bytes(data)
    for work in (lambda: inspect(read_bytes(tmp_path / name)), lambda: decode(tmp_path / name, AS_STORED)):
        with pytest.raises(DecodeError) as caught:
            work()
        assert caught.value.code == code
        assert name not in str(caught.value)  # file names often are patient names


def test_the_content_counts_and_not_the_suffix(tmp_path: Path) -> None:
    (tmp_path / "really-a.jpg").write_bytes(stored(NOISE, "PNG"))
    np.testing.assert_array_equal(decode(tmp_path / "really-a.jpg", AS_STORED), NOISE)


@pytest.mark.parametrize("side", [8001, 20_000, 2**31 - 1])
def test_too_many_pixels_are_refused_from_the_header_alone(side: int) -> None:
    with pytest.raises(DecodeError, match="E_LARGE"):
        load(png(side, side, 8, 0, []))  # 64 million and a little, 400 million, 4.6e18


@pytest.mark.parametrize("form", ["PNG", "BMP", "PPM", "WEBP", "TIFF"])
def test_the_pixel_cap_itself_is_allowed(form: str) -> None:
    assert load(stored(np.zeros((1000, 2000), np.uint8), form), tiff=True, megapixels=2).size == (2000, 1000)
    data = stored(np.zeros((1000, 2001), np.uint8), form)
    why = "E_LARGE: 2001 x 1000 pixels; at most 2000000 are read; --max-megapixels 3 admits it"
    for read in (partial(load, tiff=True), partial(inspect, tiff=True)):
        with pytest.raises(DecodeError, match=why):
            read(data, megapixels=2)
    with pytest.raises(DecodeError, match=why):
        decode_bytes(data, DecodeSpec(8, tiff=True, megapixels=2))
    assert decode_bytes(data, DecodeSpec(8, tiff=True, megapixels=3)).shape == (8, 8)


def test_an_image_above_the_usual_cap_and_pillows_own_is_read_where_it_is_admitted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """90 megapixels of one bit, so that the test needs little memory."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)  # what it is raised to must not stay
    data = png(10_000, 9000, 1, 0, [bytes(1250)] * 9000)
    with pytest.raises(DecodeError, match="E_LARGE: more than 64000000 pixels; --max-megapixels N admits larger ones"):
        load(data)
    assert load(data, megapixels=90).size == (10_000, 9000)
    with pytest.raises(
        DecodeError, match="E_LARGE: 10000 x 9000 pixels; at most 64000000 are read; --max-megapixels 90"
    ):
        load(data)  # Pillow's limit is for the process, ours for a call


def test_no_option_is_named_that_would_not_admit_it() -> None:
    assert how_to_admit(64, 1000).endswith("--max-megapixels 1000 admits it")
    assert how_to_admit(64, 1001) == how_to_admit(1000) == ""
    assert most_bytes(1) == most_bytes(64) == 256 * 1024**2 and most_bytes(128) == 512 * 1024**2


def test_too_many_bytes_are_refused_before_they_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = stored(NOISE)
    (tmp_path / "film.png").write_bytes(data)
    monkeypatch.setattr(errors, "MAX_BYTES", len(data))
    decode(tmp_path / "film.png", AS_STORED)
    monkeypatch.setattr(errors, "MAX_BYTES", len(data) - 1)
    with pytest.raises(DecodeError, match="E_LARGE.*--max-megapixels N"):
        decode(tmp_path / "film.png", AS_STORED)
    decode(tmp_path / "film.png", DecodeSpec(SIDE, megapixels=128))  # twice the pixels, twice the bytes


def test_an_animated_png_is_refused() -> None:
    frames = [Image.fromarray(NOISE), Image.fromarray(RAMP), Image.fromarray(NOISE)]
    with pytest.raises(DecodeError, match="E_FRAMES: 3 frames"):
        load(stored(frames[0], save_all=True, append_images=frames[1:]))


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DecodeError, match="E_READ"):
        decode(tmp_path / "gone.png", AS_STORED)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_read_permission_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_bytes(stored(NOISE))
    (tmp_path / "secret.png").chmod(0)
    with pytest.raises(DecodeError, match="E_READ"):
        decode(tmp_path / "secret.png", AS_STORED)


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DecodeError, match=r"E_TYPE|E_READ"):
        decode(tmp_path, AS_STORED)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no FIFOs")
def test_a_fifo_is_refused_without_waiting_for_a_writer(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(DecodeError, match="E_TYPE"):
        decode(tmp_path / "pipe.png", AS_STORED)


def test_inspect_gives_the_facts_of_the_upright_image(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = stored(np.zeros((3, 5), np.uint8), exif=exif)  # stored 5 wide and 3 high, shown 3 wide and 5 high
    (tmp_path / "film.png").write_bytes(data)
    facts = inspect(read_bytes(tmp_path / "film.png"))
    assert (facts.width, facts.height, facts.mode, facts.grey, facts.deep_max) == (3, 5, "L", True, None)
    assert (facts.bytes, facts.sha256) == (len(data), digest(data))


def test_inspect_tells_the_largest_value_of_deep_integers(tmp_path: Path) -> None:
    (tmp_path / "film.png").write_bytes(stored(np.array([[3, 3000], [17, 0]], np.uint16)))
    assert inspect(read_bytes(tmp_path / "film.png")).deep_max == 3000


@pytest.mark.parametrize(("gap", "grey"), [(0, True), (8, True), (9, False), (255, False)])
@pytest.mark.parametrize("channel", [0, 1, 2])
def test_channels_within_the_colour_rounding_of_jpeg_are_one_grey_image(gap: int, grey: bool, channel: int) -> None:
    pixels = np.zeros((4, 4, 3), np.uint8)
    pixels[2, 1, channel] = gap
    assert is_grey(Image.fromarray(pixels)) is grey


def test_the_digest_is_sha256() -> None:
    assert digest(b"abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2, B.1


# What options admit ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 660\n", "a Git LFS pointer.*git lfs pull"),
        (b"\n <!DOCTYPE html><html>Sign in</html>", "an HTML page"),
        (b"<HTML>404", "an HTML page"),
    ],
)
def test_what_is_often_saved_in_place_of_an_image_is_named(content: bytes, said: str) -> None:
    with pytest.raises(DecodeError, match=f"E_FORMAT: not a PNG.* image but {said}"):
        load(content)
    with pytest.raises(DecodeError, match="DICOM image$"):
        load(b"version 1 of a text, <html> later")


def test_tiff_is_read_by_option_only() -> None:
    data = stored(RAMP, "TIFF")
    with pytest.raises(DecodeError, match=r"E_FORMAT: .*--tiff admits TIFF"):
        decode_bytes(data, AS_STORED)
    np.testing.assert_array_equal(decode_bytes(data, DecodeSpec(SIDE, tiff=True)), RAMP)
    deep = stored((RAMP.astype(np.uint16) * 257), "TIFF")
    np.testing.assert_array_equal(decode_bytes(deep, DecodeSpec(SIDE, tiff=True, bits=16)), RAMP)


def two_frames() -> bytes:
    file = io.BytesIO()
    first, second = Image.fromarray(RAMP), Image.fromarray(255 - RAMP)
    first.save(file, "PNG", save_all=True, append_images=[second])
    return file.getvalue()


def test_one_frame_of_several_is_picked_by_number() -> None:
    with pytest.raises(DecodeError, match=r"E_FRAMES: 2 frames.*--frame picks one"):
        decode_bytes(two_frames(), AS_STORED)
    np.testing.assert_array_equal(decode_bytes(two_frames(), DecodeSpec(SIDE, frame=0)), RAMP)
    np.testing.assert_array_equal(decode_bytes(two_frames(), DecodeSpec(SIDE, frame=1)), 255 - RAMP)
    with pytest.raises(DecodeError, match="E_FRAMES: 2 frames; there is no frame 2"):
        decode_bytes(two_frames(), DecodeSpec(SIDE, frame=2))


def test_a_single_image_is_frame_0() -> None:
    np.testing.assert_array_equal(decode_bytes(stored(RAMP), DecodeSpec(SIDE, frame=0)), RAMP)
    with pytest.raises(DecodeError, match="E_FRAMES: 1 frame; there is no frame 1"):
        decode_bytes(stored(RAMP), DecodeSpec(SIDE, frame=1))


def test_resize_modes_reach_decode() -> None:
    wide = stored(np.hstack([RAMP, RAMP]))
    for mode in ("squish", "pad", "crop"):
        expected = resize(np.hstack([RAMP, RAMP]), SIDE, mode)
        np.testing.assert_array_equal(decode_bytes(wide, DecodeSpec(SIDE, resize=mode)), expected)


def test_harmonised_colour_is_one_grey_path() -> None:
    colour = np.random.default_rng(3).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    grey = np.asarray(Image.fromarray(colour).convert("L"))
    expected = harmonised(grey, SIDE, "squish", 16)
    one = decode_bytes(stored(colour), DecodeSpec(SIDE, harmonise=True, requantise=16))
    three = decode_bytes(stored(colour), DecodeSpec(SIDE, channels=3, harmonise=True, requantise=16))
    np.testing.assert_array_equal(one, expected)
    for channel in range(3):
        np.testing.assert_array_equal(three[..., channel], expected)


# Strips and content ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "P", "CMYK", "1", "I;16"])
def test_strips_change_nothing(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    noise = np.random.default_rng(5).integers(0, 256, (50, 40, 4), dtype=np.uint8)
    if mode == "I;16":
        image = Image.fromarray(noise[..., 0].astype(np.uint16) * 200)
    else:
        image = Image.fromarray(noise, "RGBA") if mode == "RGBA" else Image.fromarray(noise[..., :3]).convert(mode)
    bits = 16 if mode == "I;16" else None
    whole = [to_uint8(image, channels, bits) for channels in (1, 3)], content_of(image, is_grey(image)), is_grey(image)
    monkeypatch.setattr(pixels, "_STRIP_PIXELS", 7 * 40)
    parts = [to_uint8(image, channels, bits) for channels in (1, 3)], content_of(image, is_grey(image)), is_grey(image)
    np.testing.assert_array_equal(whole[0][0], parts[0][0])
    np.testing.assert_array_equal(whole[0][1], parts[0][1])
    assert whole[1:] == parts[1:]


def test_the_same_pixels_in_another_file_have_the_same_content() -> None:
    files = [
        stored(RAMP),
        stored(RAMP, compress_level=0),
        stored(RAMP, "BMP"),
        stored(Image.fromarray(RAMP).convert("RGB")),
    ]
    assert len({digest(data) for data in files}) == 4
    assert len({inspect(data).content for data in files}) == 1
    changed = RAMP.copy()
    changed[3, 4] += 1
    assert inspect(stored(changed)).content != inspect(files[0]).content
    assert inspect(stored(RAMP.reshape(8, 32))).content != inspect(files[0]).content


def test_deep_images_are_compared_in_full_depth() -> None:
    deep = RAMP.astype(np.uint16) * 16
    finer = deep.copy()
    finer[0, 0] += 1  # the same 8-bit image
    assert inspect(stored(deep)).content != inspect(stored(finer)).content
    assert inspect(stored(deep)).content == inspect(stored(deep, compress_level=0)).content


@pytest.mark.parametrize(
    ("image", "kind", "depth", "channels"),
    [
        (Image.fromarray(RAMP), "PNG", 8, 1),
        (Image.fromarray(RAMP).convert("RGB"), "JPEG", 8, 3),
        (Image.fromarray(RAMP).convert("RGBA"), "PNG", 8, 4),
        (Image.fromarray(RAMP).convert("1"), "PNG", 1, 1),
        (Image.fromarray(RAMP).convert("P"), "PNG", 8, 1),
        (Image.fromarray(RAMP).convert("CMYK"), "JPEG", 8, 4),
        (Image.fromarray(RAMP.astype(np.uint16)), "PNG", 16, 1),
    ],
)
def test_depth_and_channels_are_those_of_the_file(image: Image.Image, kind: str, depth: int, channels: int) -> None:
    facts = inspect(stored(image, kind))
    assert (facts.depth, facts.channels) == (depth, channels)


def test_the_quantisation_sum_is_that_of_the_files_tables() -> None:
    data = stored(RAMP, "JPEG", quality=75)
    tables = Image.open(io.BytesIO(data)).quantization
    assert inspect(data).quantisation == sum(tables[0])
    assert inspect(stored(RAMP, "JPEG", quality=30)).quantisation > inspect(data).quantisation
    turned = stored(
        RAMP, "JPEG", quality=75, exif=b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"
    )
    assert inspect(turned).quantisation == sum(tables[0])  # also after turning it upright
    assert inspect(stored(RAMP)).quantisation == 0


def test_sixteen_bit_grey_with_alpha_of_few_bits_is_refused() -> None:
    """Pillow keeps the high byte of it, as of 16-bit colour: 12 bits stored in 16 would come out almost black."""
    line = struct.pack(">" + "HH" * SIDE, *([0x0FFF, 0xFFFF] * SIDE))
    with pytest.raises(DecodeError, match="E_BITS"):
        decode_bytes(png(SIDE, SIDE, 16, 4, [line] * SIDE), AS_STORED)


@pytest.mark.parametrize(("colour", "depth", "line"), [(0, 8, 16), (2, 8, 48), (6, 16, 128), (0, 1, 2), (4, 8, 32)])
def test_a_png_whose_stream_ends_before_its_last_row_is_refused(colour: int, depth: int, line: int) -> None:
    """Pillow takes it: every checksum fits and the missing rows are black."""
    whole = png(SIDE, SIDE, depth, colour, [bytes(range(100, 100 + line % 150)).ljust(line, b"\xff")] * SIDE)
    decode_bytes(whole, AS_STORED)
    short = png(SIDE, SIDE, depth, colour, [b"\xff" * line] * (SIDE - 1))
    Image.open(io.BytesIO(short)).load()
    with pytest.raises(DecodeError, match="^E_CORRUPT: cut off.*too early"):
        decode_bytes(short, AS_STORED)


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (8, 8), (13, 7), (50, 2)])
def test_interlaced_pngs_are_read_whole(size: tuple[int, int]) -> None:
    width, height = size
    values = np.random.default_rng(0).integers(0, 256, (height, width), dtype=np.uint8)
    body = b""
    for x, y, step_x, step_y in png_module._ADAM7:
        part = values[y::step_y, x::step_x]
        body += b"".join(b"\0" + line.tobytes() for line in part) if part.size else b""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    def interlaced(data: bytes) -> bytes:
        head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 1))
        return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")

    np.testing.assert_array_equal(to_uint8(load(interlaced(body)), 1, None), values)
    with pytest.raises(DecodeError, match="E_CORRUPT"):
        load(interlaced(body[:-1]))


def test_the_size_of_the_chosen_frame_counts() -> None:
    """The header speaks of the first frame only."""
    file = io.BytesIO()
    small, large = Image.new("1", (16, 16)), Image.new("1", (8001, 8000))
    small.save(file, "TIFF", save_all=True, append_images=[large], compression="group4")
    decode_bytes(file.getvalue(), DecodeSpec(SIDE, tiff=True, frame=0))
    with pytest.raises(DecodeError, match="E_LARGE: 8001 x 8000 pixels"):
        decode_bytes(file.getvalue(), DecodeSpec(SIDE, tiff=True, frame=1))
