"""What counts as external: classes by name, and no image of the run's own; every refusal is one line."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from plainfilm.base.events import silent
from plainfilm.config import DataConfig, ModelConfig, load_config
from plainfilm.data.split.splits import make_split
from plainfilm.data.synthetic.phantom import write_phantom
from plainfilm.data.table.image_table import build_table
from plainfilm.errors import ConfigError, DataError, SealError, UsageError
from plainfilm.evaluate.finished import FinishedRun
from plainfilm.evaluate.shift.external_classes import renamed, without_classes
from plainfilm.evaluate.shift.external_set import ExternalRequest, ExternalSet, parse_map, read_external
from plainfilm.evaluate.test_ledger import seal_of
from plainfilm.runs.card import KEPT_BEST, Card
from plainfilm.runs.folder import RunDir
from plainfilm.schemas.evaluate import LeftOut
from wording import lacking

Draw = Callable[..., Path]
Refusal = Callable[..., str]
CLASSES = ("NORMAL", "PNEUMONIA")


def card_of(vocab: tuple[str, ...] = CLASSES, *, channels: int = 1, bits: int | None = None) -> Card:
    return Card(
        model=ModelConfig(), vocab=list(vocab), positive="PNEUMONIA", mean=(0.5,), std=(0.25,), threshold=0.5,
        decode={"size_px": 24, "channels": channels, "bits": bits}, threshold_rule="accuracy", threshold_chosen_on="valid",
        kept_phase=0, kept_epoch=0, kept_by=KEPT_BEST, split="patient", leaky=False, has_patients=True, seal="s", notes=[],
        weights_sha256="w",
    )  # fmt: skip


@pytest.fixture
def own(tiny_cxr: Path) -> pd.DataFrame:
    """The table of a run on tiny_cxr: patients 1 to 16."""
    return make_split(build_table(tiny_cxr, DataConfig()), DataConfig(), 0).rows


@pytest.fixture
def read(own: pd.DataFrame) -> Callable[..., ExternalSet]:
    def read_it(path: Path, card: Card | None = None, asked: dict | None = None, **names: str) -> ExternalSet:
        finished = FinishedRun(RunDir(path), card or card_of(), load_config(), own)
        return read_external(finished, ExternalRequest(path, names, **(asked or {})), silent)

    return read_it


@pytest.fixture
def outside(tmp_path: Path, draw_cxr: Draw) -> Path:
    """Other patients: 101 to 108."""
    return draw_cxr(tmp_path / "outside", patients=4, first_patient=101)


def test_images_of_other_patients_are_read_with_their_labels_by_name(read, outside: Path):
    found = read(outside)
    assert len(found.rows) == found.table.found == 16 and found.notes == ()
    assert [Path(path).parent.name for path in found.rows["path"]] == found.rows["label"].tolist()
    assert found.rows["group"].nunique() == 8  # whole patients
    assert found.name == f"external-{found.seal[:8]}" and len(found.seal) == 64


def test_external_images_have_as_many_pixels_as_the_run_admitted(read, outside: Path):
    Image.fromarray(np.zeros((1000, 1001), np.uint8)).save(outside / "NORMAL" / "large.png")
    admitted = card_of()
    admitted.decode["megapixels"] = 1
    assert read(outside, admitted).table.excluded["code"].tolist() == ["E_LARGE"]
    admitted.decode["megapixels"] = 2
    assert len(read(outside, admitted).rows) == 17


def test_a_table_is_read_by_the_columns_of_the_run_where_it_has_them(own: pd.DataFrame, outside: Path):
    images = sorted(outside.rglob("*.png"))
    lines = [
        f"{image.relative_to(outside).with_suffix('')};{image.parent.name};{i // 4}" for i, image in enumerate(images)
    ]
    table = outside / "list.csv"
    table.write_text("\n".join(["where;class;who", *lines]) + "\n")
    columns = DataConfig(path_column="where", patient_column="who", label_column="dx", suffix=".png")
    cfg = load_config().model_copy(update={"data": columns})
    found = read_external(FinishedRun(RunDir(table), card_of(), cfg, own), ExternalRequest(table), silent)
    assert len(found.rows) == 16 and found.rows["group"].nunique() == 4
    assert [note[:30] for note in found.notes[:2]] == [
        "External images: The table was",
        "External images: Columns of th",
    ]


def test_drawn_images_are_named_as_drawn(read, outside: Path, tmp_path: Path):
    write_phantom(tmp_path / "drawn", images=12, size_px=64)
    assert read(tmp_path / "drawn").notes[0].startswith("DRAWN IMAGES: all external images are phantoms drawn")
    (film,) = list((tmp_path / "drawn" / "NORMAL").glob("*"))[:1]
    shutil.copy(film, outside / "NORMAL")
    assert "DRAWN IMAGES: 1 of 17 external images are phantoms drawn by plainfilm." in read(outside).notes


def test_the_order_of_the_classes_is_the_runs_and_changes_no_label(read, outside: Path):
    turned = read(outside, card_of(("PNEUMONIA", "NORMAL")))
    assert turned.rows["label"].tolist() == read(outside).rows["label"].tolist()
    assert turned.seal == read(outside).seal


def test_other_names_are_refused_with_the_option_that_maps_them(read, outside: Path, refusal: Refusal):
    (outside / "NORMAL").rename(outside / "normal")
    message = refusal(lambda: read(outside))
    assert lacking(message, "class 'normal'", "NORMAL, PNEUMONIA", "--map normal=NORMAL", "--leave-out normal") == []
    assert sorted(set(read(outside, normal="NORMAL").rows["label"])) == ["NORMAL", "PNEUMONIA"]


def test_several_of_their_classes_may_be_one_of_ours(read, tmp_path: Path, draw_cxr: Draw):
    path = draw_cxr(tmp_path / "three", classes=("healthy", "bacterial", "viral"), patients=2, first_patient=101)
    found = read(path, healthy="NORMAL", bacterial="PNEUMONIA", viral="PNEUMONIA")
    assert found.rows["label"].value_counts().to_dict() == {"PNEUMONIA": 8, "NORMAL": 4}


def test_a_third_class_and_wrong_maps_are_refused(read, outside: Path, draw_cxr: Draw, refusal: Refusal):
    message = refusal(lambda: read(outside, x="NORMAL"), UsageError)
    assert lacking(message, "'x'", "external classes NORMAL, PNEUMONIA") == []
    message = refusal(lambda: read(outside, NORMAL="SICK"), UsageError)
    assert lacking(message, "'SICK'", "the run's classes") == []
    draw_cxr(outside, classes=("OTHER",), patients=1, first_patient=150)
    assert "has the class 'OTHER'" in refusal(lambda: read(outside))


def test_maps_are_parsed_or_refused(refusal: Refusal):
    assert parse_map(["healthy=NORMAL", "a=b=c"]) == {"healthy": "NORMAL", "a": "b=c"}
    for wrong in (["healthy"], ["=NORMAL"], ["healthy="], ["a=b", "a=c"]):
        assert "expected THEIRS=OURS" in refusal(lambda wrong=wrong: parse_map(wrong), UsageError)


def test_a_missing_class_is_noted(read, outside: Path):
    shutil.rmtree(outside / "NORMAL")
    (note,) = read(outside).notes
    assert lacking(note, "No external image", "class NORMAL", "not estimable") == []


def test_an_empty_folder_an_empty_class_and_no_folder_are_refused(
    read, outside: Path, tmp_path: Path, refusal: Refusal
):
    (tmp_path / "empty").mkdir()
    assert "No images under" in refusal(lambda: read(tmp_path / "empty"))
    assert "does not exist" in refusal(lambda: read(tmp_path / "nowhere"))
    for path in (outside / "NORMAL").iterdir():
        path.unlink()
    assert "The class folder 'NORMAL' holds no image" in refusal(lambda: read(outside))


def test_one_image_per_class_is_read(read, outside: Path):
    for name in CLASSES:
        for path in sorted((outside / name).iterdir())[1:]:
            path.unlink()
    assert len(read(outside).rows) == 2


@pytest.mark.parametrize(("split", "kind"), [("train", DataError), ("valid", DataError), ("test", SealError)])
@pytest.mark.parametrize("suffix", [".png", ".bmp"])
def test_an_image_of_the_runs_own_is_refused_also_in_another_file(
    read, own, outside: Path, refusal: Refusal, split, kind, suffix
):
    mine = Path(own.loc[own["split"] == split, "path"].iloc[0])
    copy = outside / "NORMAL" / f"renamed{suffix}"
    if suffix == ".png":
        shutil.copy(mine, copy)
    else:
        Image.open(mine).save(copy)
    message = refusal(lambda: read(outside), kind)
    own_set = "sealed test set" if split == "test" else "train or valid set"
    assert lacking(message, "1 of 17 external images", own_set, f"NORMAL/renamed{suffix}", "--drop-known") == []


def test_a_folder_with_the_sealed_test_files_is_refused_before_any_is_read(
    read, own, tiny_cxr: Path, tmp_path: Path, monkeypatch, refusal: Refusal
):
    def scanned(*_args, **_kwargs):
        raise AssertionError("a file was read")

    monkeypatch.setattr("plainfilm.evaluate.shift.external_set.scan_table", scanned)
    message = refusal(lambda: read(tiny_cxr), SealError)
    assert lacking(message, "sealed test set", "not external", "none was read", "--split test", "--drop-known") == []
    link = tmp_path / "link"
    link.symlink_to(tiny_cxr, target_is_directory=True)
    assert "none was read" in refusal(lambda: read(link), SealError)
    tiny_cxr.rename(tmp_path / "moved")
    own["file"] = [str(tmp_path / "moved" / name) for name in own["relative"]]  # as evaluate --data finds them
    assert "none was read" in refusal(lambda: read(tmp_path / "moved"), SealError)


def test_known_patients_are_noted_loudly_and_not_refused(read, tmp_path: Path, draw_cxr: Draw, own):
    path = draw_cxr(tmp_path / "again", patients=8, size_px=26)  # the same keys, other images
    known = own.loc[own["split"] != "test", "patient"].nunique()
    note = read(path).notes[0]
    assert note.startswith(f"KNOWN PATIENTS: {known} of 16 external patient keys")


def test_a_known_patient_is_known_in_another_spelling(own: pd.DataFrame, outside: Path):
    """The run's table is of a version that kept '1.0'."""
    images = sorted(outside.rglob("*.png"))
    rows = [f"{image.relative_to(outside)},{image.parent.name},{i // 2}" for i, image in enumerate(images)]
    (outside / "list.csv").write_text("\n".join(["path,label,patient", *rows]) + "\n")
    older = own.assign(patient=[f"{i % 3}.0" for i in range(len(own))], split="train")
    finished = FinishedRun(RunDir(outside), card_of(), load_config(), older)
    notes = read_external(finished, ExternalRequest(outside / "list.csv"), silent).notes
    assert [note[:46] for note in notes] == ["KNOWN PATIENTS: 3 of 8 external patient keys a"]
    found = read_external(finished, ExternalRequest(outside / "list.csv", drop_known=True), silent)
    assert found.left_out is not None and found.left_out.patients == 3
    assert {*found.rows["patient"]} == {"3", "4", "5", "6", "7"}


def test_images_without_a_key_count_as_their_own_patients_and_a_pattern_finds_one(read, tmp_path: Path, write_image):
    for i in range(4):
        write_image(tmp_path / "x" / CLASSES[i % 2] / f"child{i // 2}_{i}.png", np.full((9, 9), 40 * i + 5, np.uint8))
    found = read(tmp_path / "x")
    assert "No patient key" in found.notes[0] and found.rows["group"].nunique() == 4
    keyed = read(tmp_path / "x", asked={"patient_pattern": r"^(child\d)_"})
    assert keyed.notes == () and keyed.rows["group"].nunique() == 2


def test_colour_is_noted_where_the_network_sees_grey(read, outside: Path, write_image):
    rng = np.random.default_rng(0)
    write_image(outside / "NORMAL" / "colour.png", rng.integers(0, 255, (24, 24, 3), dtype=np.uint8))
    notes = read(outside).notes
    assert any(lacking(note, "1 of 17 external images", "colour", "grey", "training") == [] for note in notes)
    assert not any("colour" in note for note in read(outside, card_of(channels=3)).notes)


def test_deeper_images_than_the_run_knows_are_refused_or_quarantined(read, outside: Path, refusal: Refusal):
    deep = np.linspace(0, 4000, 24 * 24).reshape(24, 24).astype(np.uint16)
    Image.fromarray(deep).save(outside / "NORMAL" / "deep.png")
    assert lacking(refusal(lambda: read(outside)), "12-bit", "trained", "8-bit") == []
    assert len(read(outside, card_of(bits=12)).rows) == 17
    assert read(outside, card_of(bits=10)).table.count("quarantined") == 1


def test_too_many_damaged_files_are_refused(read, outside: Path, refusal: Refusal):
    for i in range(8):
        (outside / "NORMAL" / f"broken{i}.png").write_bytes(b"no image")
    assert "8 of 24 images cannot be used" in refusal(lambda: read(outside))


def test_given_folders_are_pooled_and_that_is_noted(read, outside: Path, tmp_path: Path):
    shutil.copytree(outside, tmp_path / "given" / "train")
    found = read(tmp_path / "given")
    assert found.seal == read(outside).seal
    (note,) = found.notes
    assert lacking(note, "external train/val/test parts", "pooled", "trained on none") == []


def test_a_csv_may_list_them(read, outside: Path):
    names = sorted(path.relative_to(outside).as_posix() for path in outside.rglob("*.png"))
    table = pd.DataFrame({"path": names, "label": [name.split("/")[0] for name in names]})
    table.to_csv(outside / "list.csv", index=False)
    assert read(outside / "list.csv").seal == read(outside).seal


def test_known_images_and_patients_are_left_out_and_counted(read, own, outside: Path, tmp_path: Path, draw_cxr: Draw):
    """Of each set one copy; one more image of a patient of each; and one of a patient whose other image is a copy of train."""
    for split in ("train", "valid", "test"):
        row = own[own["split"] == split].iloc[0]
        shutil.copy(row["path"], outside / row["label"] / f"copy-{split}.png")
        number = int(row["patient"].rpartition("-")[2])
        draw_cxr(tmp_path / split, classes=(row["label"],), patients=1, images=1, size_px=27, first_patient=number)
        for image in (tmp_path / split / row["label"]).iterdir():
            shutil.copy(image, outside / row["label"] / image.name)
    of_train = own[own["split"] == "train"].iloc[1]
    draw_cxr(outside, classes=(of_train["label"],), patients=1, images=2, first_patient=777)
    shutil.copy(of_train["path"], outside / of_train["label"] / "phantom-00777-1.png")
    again = outside / of_train["label"] / "phantom-00777-2.png"
    shutil.copy(again, again.with_name("a copy of it without a key.png"))
    found = read(outside, asked={"drop_known": True})
    assert found.left_out == LeftOut(images=4, patient_images=4, patients=3)
    assert (
        len(found.rows) == 16 + 1 == found.table.found - 8 == len(found.table.rows)
    )  # the new image of test's patient stays
    assert found.seal == seal_of(found.rows)
    kept = set(found.rows["patient"])
    assert kept & set(own["patient"]) == {own.loc[own["split"] == "test", "patient"].iloc[0]}
    assert not any(note.startswith("KNOWN PATIENTS") for note in found.notes)
    (note,) = [note for note in found.notes if "--drop-known" in note]
    assert lacking(note, "4 external images", "4 more of 3 patients", "17 images are left") == []
    codes = found.table.excluded["code"].value_counts().to_dict()
    assert codes == {"known image": 4, "known patient": 4}


def test_where_nothing_is_known_nothing_is_left_out_and_the_check_is_recorded(read, outside: Path):
    found = read(outside, asked={"drop_known": True})
    assert found.left_out == LeftOut() and found.left_out.said() == "" and found.notes == ()
    assert found.seal == read(outside).seal and read(outside).left_out is None


def test_sealed_test_files_are_left_out_by_their_path_and_never_opened(
    read, own, tiny_cxr: Path, draw_cxr: Draw, refusal: Refusal
):
    draw_cxr(tiny_cxr, patients=2, first_patient=301)
    scan = tiny_cxr / "NORMAL" / "scan"  # a DICOM file need not be named as one: only its first bytes say so
    scan.write_bytes(bytes(128) + b"DICM")
    own.loc[len(own)] = {**own[own["split"] == "test"].iloc[0], "path": str(scan), "relative": "NORMAL/scan"}
    tested = {os.path.realpath(path) for path in own.loc[own["split"] == "test", "path"]}
    OPENED.clear()
    WATCHING[0] = True
    try:
        found = read(tiny_cxr, asked={"drop_known": True})
    finally:
        WATCHING[0] = False
    assert len(OPENED) >= 8 and not {os.path.realpath(name) for name in OPENED} & tested
    assert found.left_out == LeftOut(images=len(own)) and len(found.rows) == 8
    for number in range(301, 305):
        for image in tiny_cxr.rglob(f"phantom-{number:05d}-*"):
            image.unlink()
    assert "The run knows every external image: " in refusal(lambda: read(tiny_cxr, asked={"drop_known": True}))


def test_a_table_of_sealed_test_files_reads_none_of_them(read, own, tiny_cxr: Path, outside: Path, refusal: Refusal):
    names = own.loc[own["split"] == "test", ["relative", "label"]]
    table = tiny_cxr / "list.csv"
    names.to_csv(table, index=False, header=["path", "label"])
    for name in names["relative"]:
        (tiny_cxr / name).write_bytes(b"damaged since")  # a file that was read would be quarantined
    message = refusal(lambda: read(table, asked={"drop_known": True}))
    assert f"no image but {len(names)} of the run's test set, and none was read" in message


OPENED: list[str] = []
WATCHING = [False]


def _watch(event: str, args: tuple[object, ...]) -> None:
    """An audit hook cannot be removed; it listens while WATCHING."""
    if WATCHING[0] and event == "open" and isinstance(args[0], str):
        OPENED.append(args[0])


sys.addaudithook(_watch)


def test_a_class_is_left_out_counted_and_not_part_of_the_seal(read, outside: Path, draw_cxr: Draw, refusal: Refusal):
    seal = read(outside).seal
    draw_cxr(outside, classes=("OTHER",), patients=3, first_patient=150)
    found = read(outside, asked={"leave_out": ["OTHER"]})
    assert (found.seal, found.left_out) == (seal, LeftOut(classes={"OTHER": 6}))
    assert found.left_out.said() == "6 images of 1 class" and found.table.found == 22
    assert "6 of class 'OTHER'" in found.notes[0]
    message = refusal(lambda: read(outside, asked={"leave_out": ["X"]}), UsageError)
    assert lacking(message, "--leave-out X", "'X'", "NORMAL, OTHER, PNEUMONIA") == []
    message = refusal(lambda: read(outside, asked={"leave_out": ["OTHER"]}, OTHER="NORMAL"), UsageError)
    assert lacking(message, "--map OTHER=NORMAL", "--leave-out OTHER", "same class") == []
    message = refusal(lambda: read(outside, asked={"leave_out": ["NORMAL", "OTHER", "PNEUMONIA"]}))
    assert "every external class" in message


def test_what_was_left_out_is_said_in_numbers():
    both = LeftOut(images=1, patient_images=1200, patients=1, classes={"a": 3, "b": 0})
    assert both.said() == "1 known image, 1,200 images of 1 known patient, 3 images of 2 classes"
    assert LeftOut(images=12).said() == "12 known images"


@pytest.mark.parametrize(
    ("theirs", "ours", "proposed"),
    [
        ("healthy", "NORMAL PNEUMONIA", "NORMAL"),
        ("No Finding", "NORMAL PNEUMONIA", "NORMAL"),
        ("sick", "NORMAL PNEUMONIA", "PNEUMONIA"),
        ("Abnormal", "NORMAL PNEUMONIA", "PNEUMONIA"),  # near NORMAL by its letters
        ("pneumonias", "COVID NORMAL PNEUMONIA", "PNEUMONIA"),
        ("effusion", "COVID NORMAL PNEUMONIA", None),
        ("healthy", "COVID NORMAL PNEUMONIA", "NORMAL"),
        ("healthy", "bacteria virus", None),
        ("fungus", "bacteria virus", None),
        ("unclear", "clear opacity", None),
        ("NonCOVID", "COVID OTHER", None),
        ("cats", "cat dog", "cat"),
    ],
)
def test_an_unknown_class_is_proposed_for_one_that_it_plainly_is_or_for_none(
    read, tmp_path: Path, draw_cxr: Draw, refusal: Refusal, theirs, ours, proposed
):
    path = draw_cxr(tmp_path / "theirs", classes=(theirs,), patients=1, first_patient=101)
    message = refusal(lambda: read(path, card_of(tuple(ours.split()))))
    example = f"{theirs}={proposed}" if proposed else None
    assert ("--map " in message) and (f"--leave-out {shlex.quote(theirs)}" in message)
    assert [name for name in ours.split() if f"{theirs}={name}" in message] == ([proposed] if example else [])


def table_of(outside: Path, *rows: str) -> Path:
    table = outside / "list.csv"
    table.write_text("\n".join(["file,finding,dx,who", *rows]) + "\n")
    return table


def test_a_table_is_read_by_the_options_given_before_the_runs_own(own, outside: Path, refusal: Refusal):
    images = sorted(outside.rglob("*.png"))
    names = [(image.relative_to(outside).with_suffix("").as_posix(), image.parent.name) for image in images]
    rows = [f"{name},x,{label if i else ''},{i // 8}" for i, (name, label) in enumerate(names)]
    table = table_of(outside, *rows)
    cfg = load_config(options={"data.label_column": "finding", "data.missing_label": "refuse"})
    run = FinishedRun(RunDir(table), card_of(), cfg, own)

    def read_it(**reading: object) -> ExternalSet:
        return read_external(run, ExternalRequest(table, reading=reading), silent)

    assert "the class 'x'" in refusal(lambda: read_it(suffix=".png", patient_column="who"))
    given = {"label_column": "dx", "suffix": ".png", "patient_column": "who"}
    assert "--missing-label" in refusal(lambda: read_it(**given))
    found = read_it(**given, missing_label="drop")
    assert len(found.rows) == 15 and found.rows["patient"].nunique() == 2 and found.read_with.label_column == "dx"
    message = refusal(lambda: read_it(**given, missing_label="guess"), ConfigError)
    assert "data.missing_label" in message
    assert "data.labelcolumn: unknown key" in refusal(lambda: read_it(labelcolumn="dx"), ConfigError)


def test_one_label_and_a_folder_below_are_read_as_asked(read, outside: Path, tmp_path: Path, write_image):
    images = sorted(outside.rglob("*.png"))
    rows = [f"{p.relative_to(outside).as_posix()},PNEUMONIA|Mass,x,{i}" for i, p in enumerate(images)]
    rows[0] = rows[0].replace("PNEUMONIA|", "")
    table = table_of(outside, *rows)
    asked = {"reading": {"one_label": "PNEUMONIA", "label_column": "finding", "patient_column": "who"}}
    found = read(table, asked=asked, **{"no PNEUMONIA": "NORMAL"})
    assert found.rows["label"].value_counts().to_dict() == {"PNEUMONIA": 15, "NORMAL": 1}
    for label in CLASSES:
        shutil.copytree(outside / label, tmp_path / "deep" / label / "images")
        write_image(tmp_path / "deep" / label / "masks" / "m.png", np.full((9, 9), 255, np.uint8))
    below = read(tmp_path / "deep", asked={"reading": {"under": "images"}})
    assert len(below.rows) == 16 and below.seal == read(outside).seal


def test_an_error_names_ten_of_many_classes():
    rows = pd.DataFrame({"label": [f"c{i:04d}" for i in range(1_000)]})
    table = SimpleNamespace(classes=list(rows["label"]), rows=rows)
    with pytest.raises(UsageError, match=r"one of the external classes c0000, .*c0009 and 990 more\. Correct"):
        without_classes(table, ["x"], {})
    with pytest.raises(DataError, match=r"its classes are k0, .*k9 and 490 more\."):
        renamed(table, Path("there"), [f"k{i}" for i in range(500)], {})
