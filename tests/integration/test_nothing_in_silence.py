"""Random folders and tables, from reading to the split: nothing is used, dropped or joined without a line that says so."""

from __future__ import annotations

import csv
import io
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from PIL import Image

from plainfilm.base.events import silent
from plainfilm.config import load_config
from plainfilm.errors import PlainfilmError
from plainfilm.pipeline.prepare import Prepared, prepare

pytestmark = pytest.mark.slow
MANY = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
N = 24


@pytest.fixture(scope="module")
def images(tmp_path_factory) -> Path:
    """0.png to 23.png, all different."""
    folder = tmp_path_factory.mktemp("images")
    for i in range(N):
        Image.fromarray(np.full((8, 8), 10 * i, np.uint8)).save(folder / f"{i}.png")
    return folder


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("PLAINFILM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "data"


def read(data: Path, **options: object) -> tuple[Prepared | None, str]:
    """What train would train on, and all that it says; None where DATA is refused, in one line."""
    keys = {f"data.{name}": value for name, value in options.items()}
    try:
        ready = prepare(load_config(options={"data.path": str(data), **keys}), silent)
    except PlainfilmError as error:
        ready, said = None, str(error)
    event("read" if ready else f"refused: {' '.join(said.split()[-6:])}")
    assert ready or (said and "\n" not in said)
    return ready, " ".join(ready.split.notes) if ready else said


def check_counts(ready: Prepared, files: int) -> None:
    """Every file is used or set aside with a reason, and the document adds up."""
    assert ready.counts.found == files == len(ready.table.rows) + len(ready.table.excluded)
    assert (ready.table.excluded[["state", "code", "why"]] != "").all(axis=None)
    assert len(ready.split.rows) == len(ready.table.rows)


def check_people(ready: Prepared, said: str, named: set[str]) -> None:
    """`named`: the patients as they are written. Fewer than that, or an image without one, is said."""
    known = set(ready.table.rows["patient"]) - {""}
    assert not (ready.table.rows["patient"] == "").any() or "patient key" in said or "IDENTITY" in said
    assert len(known) >= len(named) or "as one patient" in said or "IDENTITY" in said


# --- tables -----------------------------------------------------------------------------------------------------------

LABELS = ["A", "B", "a", " A", "1", "1.0", "0", "01", "-1", "2.5", "", "nan", "NA", "None", "unknown", "?", "A|B", "['A']",
          "['A', 'B']", "A;B", "é", "e\u0301", "normal", "No_DR", "DR", "x y", "x  y"]  # fmt: skip
PATIENTS = [[], ["7", "7.0"], ["p1", "P1"], ["007", "7"], ["nan", "unknown", ""]]
HEADERS = {
    "path": ["path", "Path", "image", "filename", "Image Index", "image_id"],
    "label": ["label", "class", "dx", "Finding Labels", "target"],
    "patient": ["patient", "Patient ID", "subject_id", "case", "patientCode", "lesion_id"],
    "split": ["split", "Split", "set", "phase", "fold"],
}
SPLITS = ["train", "Train", "val", "test", "testing", "dev", "0", "1", ""]


@dataclass
class Table:
    header: dict[str, str]
    rows: list[dict[str, str]]
    separator: str
    encoding: str
    options: dict[str, object]


@st.composite
def tables(draw: st.DrawFn) -> Table:
    header = {meaning: draw(st.sampled_from(HEADERS[meaning])) for meaning in ("path", "label")}
    header |= {what: draw(st.sampled_from(HEADERS[what])) for what in ("patient", "split") if draw(st.booleans())}
    plain, odd = draw(st.sampled_from([(["A", "B"], LABELS), (["0", "1"], ["1.0", "01", "0.0", ""])]))
    few = st.sampled_from([*plain, *draw(st.lists(st.sampled_from(odd), max_size=1))])
    parts = st.sampled_from(["train", "test", *draw(st.lists(st.sampled_from(SPLITS), max_size=1))])
    people = st.sampled_from([*(f"q{i}" for i in range(9)), *draw(st.sampled_from(PATIENTS))])
    cells = {"label": few, "patient": people, "split": parts}
    rows = [
        {"path": f"{i}.png", **{meaning: draw(cells[meaning]) for meaning in header if meaning != "path"}}
        for i in range(N)
    ]
    options: dict[str, object] = {
        "missing_label": draw(st.sampled_from(["refuse", "drop"])), "labels_as_text": draw(st.booleans()),
        "one_label": draw(st.sampled_from([None, None, "A", "B"])), "split": draw(st.sampled_from(["patient", "image"])),
    }  # fmt: skip
    return Table(header, rows, draw(st.sampled_from(",;\t")), draw(st.sampled_from(["utf-8-sig", "utf-16"])), options)


@MANY
@given(table=tables())
def test_of_a_table_nothing_is_taken_in_silence(images: Path, place: Path, table: Table) -> None:
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(images, place)
    text = io.StringIO()
    writer = csv.writer(text, delimiter=table.separator)
    writer.writerow(table.header.values())
    writer.writerows([[row[meaning] for meaning in table.header] for row in table.rows])
    (place / "list.csv").write_bytes(text.getvalue().encode(table.encoding))
    ready, said = read(place / "list.csv", **table.options)
    if ready is None:
        return
    check_counts(ready, N)
    raw = {row["path"]: row for row in table.rows}
    used = ready.table.rows.set_index("relative")
    for name, row in used.iterrows():
        cell = raw[str(name)]["label"].strip()
        if row["label"] != cell:
            assert any(word in said for word in ("one class", "brackets", "ONE LABEL")) or row["label"] == "é"
    if len(used) < N:
        assert f"{N - len(used)} of {N} rows without a label" in said
    kept = {raw[str(name)]["label"].strip() for name in used.index}
    assert len(set(used["label"])) >= len(kept) or "one class" in said or "ONE LABEL" in said or "brackets" in said
    words = {"", "nan", "unknown"}
    check_people(ready, said, {raw[str(name)].get("patient", "") for name in used.index} - words)
    for meaning in ("patient", "split"):
        if meaning in table.header and table.header[meaning] != meaning:
            assert f"{meaning} from " in said
    if any(raw[str(name)].get("split") for name in used.index):
        assert "pooled and split again" in said


# --- folders ----------------------------------------------------------------------------------------------------------

CLASSES = [
    "A",
    "B",
    "a",
    "A ",
    "NA",
    "nan",
    "1",
    "1.0",
    "-1",
    "A;B",
    "é",
    "e\u0301",
    "test",
    "masks",
    "normal",
    "No_DR",
]
TOPS = ["", "", "", "train/", "Train Data/", "test/", "val/", "TEST/", "chest/", "chest/train/", "other/"]
NAMES = ["{i}.png", "p{k}_{i}.png", "person{k}_virus_{i}.png", "sub/{i}.png", "sub/p{k}/{i}.png", "{i}.txt"]


@st.composite
def trees(draw: st.DrawFn) -> tuple[list[str], dict[str, object]]:
    tops = st.sampled_from(draw(st.lists(st.sampled_from(TOPS), min_size=1, max_size=2)))
    classes = st.sampled_from(["A", "B", *draw(st.lists(st.sampled_from(CLASSES), max_size=1))])
    shape = st.sampled_from(draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=2)))
    names = [f"{draw(tops)}{draw(classes)}/{draw(shape).format(i=i, k=draw(st.integers(1, 12)))}" for i in range(N)]
    options: dict[str, object] = {
        "split": draw(st.sampled_from(["patient", "image", "official", "given"])),
        "patient_pattern": draw(st.sampled_from([None, None, r"^p(\d+)_"])),
    }
    return names, options


@MANY
@given(tree=trees())
def test_of_a_folder_nothing_is_taken_in_silence(images: Path, place: Path, tree: tuple[list[str], dict]) -> None:
    shutil.rmtree(place, ignore_errors=True)
    names, options = tree
    for i, name in enumerate(names):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(images / f"{i}.png", place / name)
    ready, said = read(place, **options)
    if ready is None:
        return
    check_counts(ready, N)
    for _, row in ready.table.rows.iterrows():
        folders = row["relative"].split("/")[:-1]
        spelled = [folder for folder in folders if folder.strip() == row["label"] or row["label"] == "é"]
        assert spelled and (row["label"] in spelled or "Spaces" in said or row["label"] == "é")
        before = folders[: folders.index(spelled[0])]
        assert row["given"] or not before or "entered" in said
    used = set(ready.table.rows["relative"])
    images_left = [name for name in names if name not in used and name.endswith(".png")]
    assert not images_left or any(word in said for word in ("not used", "unlabelled"))
    if (ready.table.rows["given"] != "").any() and ready.split.kind in ("patient", "image"):
        assert "pooled and split again" in said
    check_people(ready, said, set())
    if ready.positive is not None and {*ready.vocab} <= {"A", "B", "NA", "nan", "é"}:
        assert "positive class by alphabet" in said
