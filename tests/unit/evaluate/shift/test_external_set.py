"""What counts as external: classes by name, and no image of the run's own; every refusal is one line."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from plainfilm.base.events import silent
from plainfilm.config import DataConfig, ModelConfig, load_config
from plainfilm.data.split.splits import make_split
from plainfilm.data.synthetic.phantom import write_phantom
from plainfilm.data.table.image_table import build_table
from plainfilm.errors import DataError, SealError, UsageError
from plainfilm.evaluate.finished import FinishedRun
from plainfilm.evaluate.shift.external_set import ExternalRequest, ExternalSet, parse_map, read_external
from plainfilm.runs.card import KEPT_BEST, Card
from plainfilm.runs.folder import RunDir
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
    def read_it(path: Path, card: Card | None = None, pattern: str | None = None, **names: str) -> ExternalSet:
        finished = FinishedRun(RunDir(path), card or card_of(), load_config(), own)
        return read_external(finished, ExternalRequest(path, names, pattern), silent)

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
        "The table was read as text sep",
        "Columns of the table: path fro",
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
    assert lacking(message, "class 'normal'", "NORMAL, PNEUMONIA", "--map normal=NORMAL") == []
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
    assert lacking(message, "1 of 17 external images", own_set, f"NORMAL/renamed{suffix}") == []


def test_a_folder_with_the_sealed_test_files_is_refused_before_any_is_read(
    read, tiny_cxr: Path, tmp_path: Path, monkeypatch, refusal: Refusal
):
    def scanned(*_args, **_kwargs):
        raise AssertionError("a file was read")

    monkeypatch.setattr("plainfilm.evaluate.shift.external_set.scan_table", scanned)
    message = refusal(lambda: read(tiny_cxr), SealError)
    assert lacking(message, "sealed test set", "not external", "none was read", "--split test") == []
    link = tmp_path / "link"
    link.symlink_to(tiny_cxr, target_is_directory=True)
    assert "none was read" in refusal(lambda: read(link), SealError)


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


def test_images_without_a_key_count_as_their_own_patients_and_a_pattern_finds_one(read, tmp_path: Path, write_image):
    for i in range(4):
        write_image(tmp_path / "x" / CLASSES[i % 2] / f"child{i // 2}_{i}.png", np.full((9, 9), 40 * i + 5, np.uint8))
    found = read(tmp_path / "x")
    assert "No patient key" in found.notes[0] and found.rows["group"].nunique() == 4
    keyed = read(tmp_path / "x", pattern=r"^(child\d)_")
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
    assert lacking(note, "external train/val/test folders", "pooled", "trained on none") == []


def test_a_csv_may_list_them(read, outside: Path):
    names = sorted(path.relative_to(outside).as_posix() for path in outside.rglob("*.png"))
    table = pd.DataFrame({"path": names, "label": [name.split("/")[0] for name in names]})
    table.to_csv(outside / "list.csv", index=False)
    assert read(outside / "list.csv").seal == read(outside).seal
