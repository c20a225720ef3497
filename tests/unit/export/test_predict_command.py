"""`plainfilm predict` as a user types it: which files, in which order, with which exit code."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from plainfilm.base.sanitize import spreadsheet_cell
from plainfilm.cli import app
from plainfilm.data.image.other_formats import NOT_AN_IMAGE
from plainfilm.data.table.saved_table import read_table
from plainfilm.export.scorer import open_bundle
from wording import lacking


def predict(*args: object, code: int = 0, stdin: bytes | None = None):
    done = CliRunner(env={"NO_COLOR": "1", "COLUMNS": "80"}).invoke(app, ["predict", *map(str, args)], input=stdin)
    assert done.exit_code == code, done.stderr
    assert "Traceback" not in done.stderr
    return done


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline=""), strict=True))


@pytest.fixture
def folder(exported, tmp_path) -> Path:
    """Five images in three folders, a text and a hidden file."""
    paths = read_table(exported[0])["path"]
    for i, name in enumerate(["b/2.png", "b/10.png", "a/x.png", "z.png", "b/c/1.png", ".hidden/h.png"]):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(Path(paths[i]).read_bytes())
    (tmp_path / "in" / "readme.txt").write_text("hello")
    return tmp_path / "in"


def test_a_folder_gives_its_images_sorted_and_counts_the_rest(exported, folder):
    done = predict(exported[1], folder)
    rows = rows_of(done.stdout)
    names = ["a/x.png", "b/10.png", "b/2.png", "b/c/1.png", "z.png"]
    assert [row["path"] for row in rows] == [str(folder / name) for name in names]
    assert "files in the folders that are not images: 2." in " ".join(done.stderr.split())
    bundle = open_bundle(exported[1])
    for row in rows:
        expected = bundle.predict_path(row["path"])
        assert (row["label"], row["flag"], row["error"]) == (expected.label, "; ".join(expected.flags), "")
        assert float(row["score"]) == pytest.approx(expected.score, abs=1e-6)
        assert float(row["prob_NORMAL"]) + float(row["prob_PNEUMONIA"]) == pytest.approx(1, abs=1e-6)


def test_without_an_image_not_even_a_header_is_written(exported, tmp_path):
    (tmp_path / "readme.txt").write_text("hello")
    done = predict(exported[1], tmp_path, code=2)
    assert done.stdout == "" and "No image was found" in done.stderr


def test_a_folder_that_cannot_be_read_has_its_row_and_stops_nothing(exported, folder, monkeypatch, tmp_path):
    scandir = os.scandir

    def refuse(path="."):
        if Path(path).name == "b":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr("plainfilm.data.folders.walk.os.scandir", refuse)
    done = predict(exported[1], folder, "--out", tmp_path / "rows.csv", code=1)
    rows = rows_of((tmp_path / "rows.csv").read_text())
    assert [(Path(row["path"]).name, bool(row["score"])) for row in rows] == [
        ("x.png", True),
        ("b", False),
        ("z.png", True),
    ]
    assert rows[1]["error"].startswith("E_READ") and "1 of 3 files could not be scored" in done.stderr


def test_words_keep_their_order_and_may_come_twice(exported, folder, monkeypatch):
    monkeypatch.chdir(folder)
    done = predict(exported[1], "z.png", "b/*.png", "a", "z.png", "nothing*.png", code=1)
    rows = rows_of(done.stdout)
    assert [row["path"] for row in rows] == ["z.png", "b/10.png", "b/2.png", "a/x.png", "z.png", "nothing*.png"]
    assert [bool(row["error"]) for row in rows] == [False] * 5 + [True]
    assert "1 of 6 files could not be scored" in done.stderr


def test_a_name_that_looks_like_a_glob_is_taken_as_it_is_when_it_exists(exported, folder):
    (folder / "z.png").rename(folder / "[z].png")
    (row,) = rows_of(predict(exported[1], folder / "[z].png").stdout)
    assert row["path"].endswith("[z].png") and not row["error"]


def test_a_list_on_stdin_is_read_line_by_line(exported, folder):
    listed = f"{folder}/z.png\n\n{folder}/b/*.png\r\n{folder}/a\n".encode()
    rows = rows_of(predict(exported[1], "-", code=1, stdin=listed).stdout)
    assert [row["path"] for row in rows] == [f"{folder}/z.png", f"{folder}/b/*.png", f"{folder}/a/x.png"]
    assert rows[1]["error"].startswith("E_READ")  # names on stdin are names, no globs


def test_json_lines_and_a_file_and_a_document(exported, folder, tmp_path):
    done = predict(exported[1], folder, "--format", "jsonl", "--out", tmp_path / "rows.jsonl", "--json")
    lines = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    assert list(lines[0]) == ["path", "label", "score", "prob_NORMAL", "prob_PNEUMONIA", "flag", "error"]
    told = json.loads(done.stdout)
    assert (told["pictures"], told["scored"], told["failed"], told["schema_version"]) == (5, 5, 0, 1)
    assert told["called"] == {name: sum(line["label"] == name for line in lines) for name in ("NORMAL", "PNEUMONIA")}
    assert told["unsure"] == sum("abstain" in line["flag"] for line in lines)
    assert told["left_out"] == {"hidden": 1, NOT_AN_IMAGE: 1}


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_without_a_gate_every_row_and_the_summary_say_so(three_classes, tmp_path, form):
    """Pure noise on a bundle without a gate: "not judged" is not "nothing odd"."""
    noise = np.random.default_rng(0).integers(0, 256, (50, 50, 3), dtype=np.uint8)
    for i in range(3):
        Image.fromarray(np.roll(noise, i)).save(tmp_path / f"{i}.png")
    out = tmp_path / f"rows.{form}"
    done = predict(three_classes[1], *sorted(tmp_path.glob("*.png")), "--format", form, "--out", out)
    text = out.read_text(encoding="utf-8")
    rows = rows_of(text) if form == "csv" else [json.loads(line) for line in text.splitlines()]
    assert [row["flag"] in ("no gate", "abstain; no gate") for row in rows] == [True] * 3
    said = " ".join((done.stderr + done.stdout).split())
    assert "out of distribution: not judged (no gate)" in said and "0 out of distribution" not in said
    told = json.loads(predict(three_classes[1], tmp_path / "0.png", "--out", tmp_path / "more", "--json").stdout)
    assert told["unlike"] is None and told["unsure"] in (0, 1)


def test_an_output_is_never_overwritten_and_never_half(exported, folder, tmp_path):
    (tmp_path / "rows.csv").write_text("mine")
    done = predict(exported[1], folder, "--out", tmp_path / "rows.csv", code=4)
    assert "never overwritten" in done.stderr and (tmp_path / "rows.csv").read_text() == "mine"
    (tmp_path / "empty").mkdir()
    done = predict(exported[1], tmp_path / "empty", "--out", tmp_path / "new.csv", code=2)
    assert "No image was found" in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "in", "rows.csv"]


def test_a_threshold_changes_the_class_and_no_score(exported, folder):
    plain, low = (rows_of(predict(exported[1], folder, *more).stdout) for more in ((), ("--threshold", "0")))
    assert {row["label"] for row in low} == {"PNEUMONIA"}
    assert [row["score"] for row in plain] == [row["score"] for row in low]
    for wrong in ("1.5", "nan", "-1"):
        assert "0..1" in predict(exported[1], folder, "--threshold", wrong, code=2).stderr


def test_bits_scale_deep_images_and_say_what_the_model_was_trained_on(exported, tmp_path):
    """2048 of 4095 is 127.53 of 255: the same image as one of 128 in 8 bits."""
    Image.fromarray(np.full((40, 40), 2048, np.uint16)).save(tmp_path / "deep.png")
    Image.fromarray(np.full((40, 40), 128, np.uint8)).save(tmp_path / "plain.png")
    refused = predict(exported[1], tmp_path / "deep.png", code=1)
    assert "E_BITS" in refused.stdout
    found = predict(exported[1], tmp_path / "deep.png", tmp_path / "plain.png", "--bits", "12")
    deep, plain = csv.DictReader(io.StringIO(found.stdout))
    assert deep["score"] == plain["score"] != "" and deep["error"] == ""
    assert lacking(found.stderr, "divided by 4095 (--bits 12)", "trained on 8-bit images only") == []
    too_deep = predict(exported[1], tmp_path / "deep.png", "--bits", "10", code=1)
    assert "values 2048 to 2048; 10 bits hold 0 to 1023" in too_deep.stdout
    assert "expected one of 8, 10, 12" in predict(exported[1], tmp_path / "deep.png", "--bits", "11", code=2).stderr


def test_three_classes_have_no_threshold_and_hostile_names_stay_inert(three_classes):
    run, bundle = three_classes
    path = read_table(run)["path"][0]
    assert "two classes" in predict(bundle, path, "--threshold", "0.5", code=2).stderr
    (row,) = rows_of(predict(bundle, path).stdout)
    found = open_bundle(bundle).predict_path(path)
    assert row["label"] == ("'" + found.label if found.label.startswith("=") else found.label)
    assert float(row["score"]) == pytest.approx(max(found.probs.values()), abs=1e-8)


@pytest.mark.parametrize(
    ("args", "says"),
    [(["--format", "xml"], "csv or jsonl"), (["--json"], "Give --out"), (["--threads", "0"], "--threads")],
)
def test_wrong_options_say_what_was_expected(exported, folder, args, says):
    assert says in predict(exported[1], folder, *args, code=2).stderr


HOSTILE = [
    "new\nline", "tab\there", "quote'", 'double"', "<script>alert(1)<script>", "<img src=x onerror=alert(1)>", "-rf", "--out", "=1+1",
    "=cmd|' !A0", "+cmd", "@sum", "\t=tab", "\r=return", " =space", "\u202egnp.exe", "\U0001f9b4\U0001f480", "n\u0303fd", "\u00f1fc",
    "sp ace", "dots...", "comma,semi;", "back\\slash", "percent%2e%2e", "$(id)", "`id`", "#hash?", "a" * 251, "[bold]rich[bold]",
    "\u0645\u0631\u064a\u0636", "{{7*7}}", "\x1b[2J\x1b[31mred", "\x07bell", "\x08back", "\u200bzero", "\u2028line", "null\\0", "*", "?",
    "[a-z]", "~", "~root", "%s%n", "{0}", "$HOME", "|ls", ";ls", "&", ">out", "!bang", "'; DROP TABLE x; --", "\ufeffbom", "COM1", "a..png", "nul\u0001",
    "\uff1dwide", "http:x", "&lt;", "\x7fdelete", "\x9bcsi", os.fsdecode(b"not-unicode-\xff"),
]  # fmt: skip


def test_sixty_hostile_names_are_sixty_rows(exported, tmp_path, monkeypatch):
    """By folder, as arguments and from stdin; in CSV and JSON lines; each name whole, none obeyed."""
    picture = Path(read_table(exported[0])["path"][0]).read_bytes()
    (tmp_path / "h").mkdir()
    for name in HOSTILE:
        (tmp_path / "h" / f"{name}.png").write_bytes(picture)
    monkeypatch.chdir(tmp_path / "h")
    assert len(HOSTILE) >= 60
    names = [f"{name}.png" for name in HOSTILE]
    asked = [*names[:6], "--", *names[6:]]  # what follows -- is no option
    command = [sys.executable, "-m", "plainfilm", "predict", str(exported[1]), "-q"]
    for words, stdin in (
        (["--format", "jsonl", *asked], b""),
        (["--format", "jsonl", "-"], b"\n".join(map(os.fsencode, names))),
    ):
        done = subprocess.run([*command, *words], input=stdin, capture_output=True, timeout=60)
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        expected = names if words[-1] != "-" else os.fsencode("\n".join(names)).split(b"\n")
        expected = [name if isinstance(name, str) else os.fsdecode(name.rstrip(b"\r")) for name in expected]
        assert [line["path"] for line in lines] == expected
        split = [line["path"] for line in lines if line["error"]]  # a name with a line end cannot come from a list
        assert split == ([] if words[-1] != "-" else ["new", "line.png"]) and done.returncode == bool(split)
    done = subprocess.run([*command, "."], capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert b"Traceback" not in done.stderr
    rows = rows_of(done.stdout.decode("utf-8"))
    written = sorted(names)
    assert len(rows) == len(names)
    assert [row for row in rows if row["error"]] == []
    shown = [name.encode("utf-8", "backslashreplace").decode() for name in written]
    assert [row["path"] for row in rows] == [spreadsheet_cell(name) for name in shown]
    assert not [row for row in rows if row["path"].lstrip()[:1] in tuple("=+-@\uff1d")]


def test_nothing_of_a_dicom_file_but_its_score_comes_out(exported, tmp_path):
    """Forty tags with planted values; also where the file is damaged."""
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian

    keywords = [
        "PatientName", "PatientID", "OtherPatientIDs", "PatientComments", "PatientAddress", "PatientMotherBirthName", "MilitaryRank",
        "BranchOfService", "PatientTelephoneNumbers", "Occupation", "AdditionalPatientHistory", "EthnicGroup", "PatientReligiousPreference",
        "CountryOfResidence", "RegionOfResidence", "InsurancePlanIdentification", "InstitutionName", "InstitutionAddress",
        "InstitutionalDepartmentName", "ReferringPhysicianName", "ReferringPhysicianAddress", "PerformingPhysicianName", "OperatorsName",
        "NameOfPhysiciansReadingStudy", "RequestingPhysician", "PhysiciansOfRecord", "StudyDescription", "SeriesDescription", "StudyID",
        "AccessionNumber", "StationName", "ProtocolName", "ImageComments", "DeviceSerialNumber", "ManufacturerModelName", "Manufacturer",
        "RequestedProcedureDescription", "AdmittingDiagnosesDescription", "MedicalAlerts", "Allergies", "DerivationDescription",
    ]  # fmt: skip
    meta = FileMetaDataset()
    meta.TransferSyntaxUID, meta.MediaStorageSOPClassUID = ExplicitVRLittleEndian, "1.2.840.10008.5.1.4.1.1.7"
    meta.MediaStorageSOPInstanceUID = "1.2.3"
    dataset = FileDataset(None, {}, file_meta=meta, preamble=bytes(128))
    for i, keyword in enumerate(keywords):
        setattr(dataset, keyword, f"PLANT{i:02d}")
    film = Image.open(read_table(exported[0])["path"][0])
    dataset.Rows, dataset.Columns, dataset.SamplesPerPixel, dataset.PixelRepresentation = 48, 48, 1, 0
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit, dataset.PhotometricInterpretation, dataset.PixelData = 7, "MONOCHROME2", film.tobytes()
    dataset.save_as(tmp_path / "whole.dcm", enforce_file_format=True)
    whole = (tmp_path / "whole.dcm").read_bytes()
    (tmp_path / "cut.dcm").write_bytes(whole[:-100])
    (tmp_path / "odd.dcm").write_bytes(whole.replace(b"MONOCHROME2", b"PLANT99LUT "))
    assert len(keywords) >= 40 and whole.count(b"PLANT") == len(keywords)
    out = tmp_path / "out"
    command = [sys.executable, "-m", "plainfilm", "predict", str(exported[1]), str(tmp_path), "-v"]
    done = subprocess.run([*command, "--heatmaps", str(out)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 1, done.stderr
    rows = rows_of(done.stdout)
    assert [Path(row["path"]).name for row in rows] == ["cut.dcm", "odd.dcm", "whole.dcm"]
    assert [row["error"][:2] for row in rows] == ["E_", "E_", ""]
    assert rows[2]["score"] == f"{open_bundle(exported[1]).predict_path(read_table(exported[0])['path'][0]).score:.9g}"
    everything = done.stdout + done.stderr + "".join(path.read_bytes().decode("latin-1") for path in out.iterdir())
    assert "PLANT" not in everything


def test_heat_maps_are_those_of_the_network_and_named_by_row(exported, folder, tmp_path):
    import numpy as np

    from plainfilm.export.heatmaps import heat_maps
    from plainfilm.interpret.gradcam import heat_maps as explain
    from plainfilm.models.from_card import kept_network
    from plainfilm.runs.card import read_card

    run, bundle = exported
    (folder / "b" / "broken.png").write_bytes(b"broken")
    done = predict(bundle, folder, "--heatmaps", tmp_path / "heat", code=1)
    rows = rows_of(done.stdout)
    drawn = sorted(path.name for path in (tmp_path / "heat").iterdir())
    assert drawn == [f"{i:06d}.png" for i, row in enumerate(rows, 1) if not row["error"]] and len(drawn) == 5
    with Image.open(tmp_path / "heat" / drawn[0]) as image:
        assert image.size[0] == 900
    opened = open_bundle(bundle)
    model, _ = kept_network(run, read_card(run), "cpu")
    for row in rows:
        if not row["error"]:
            pixels = opened.pixels(row["path"])
            expected = explain(model, pixels, np.array([opened.card.vocab.index(row["label"])]), method="hires-cam")[0]
            assert np.allclose(heat_maps(bundle, pixels), expected, atol=1e-6)
            assert np.allclose(heat_maps(bundle, pixels, row["label"]), expected, atol=1e-6)
    assert "not empty" in predict(bundle, folder, "--heatmaps", tmp_path / "heat", code=4).stderr


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak of a process is read from /proc")
def test_memory_stays_below_300_mb(exported):
    code = (
        "import sys, itertools\nfrom plainfilm.export.scorer import open_bundle\nfrom pathlib import Path\n"
        "b = open_bundle(Path(sys.argv[1]), threads=2)\n"
        "n = sum(1 for _ in b.predict_many(itertools.repeat(sys.argv[2], 3000)))\n"
        "print(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))"
    )
    path = read_table(exported[0])["path"][0]
    done = subprocess.run(
        [sys.executable, "-c", code, str(exported[1]), path], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) < 300 * 1024  # kB


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights that Windows does not give")
def test_a_loop_of_links_in_a_glob_gives_a_row_for_each_image(exported, folder, monkeypatch):
    """It gave 41 rows for each of them."""
    monkeypatch.chdir(folder)
    (folder / "a" / "up").symlink_to("..")
    done = predict(exported[1], "**/*.png")
    assert len(rows_of(done.stdout)) == 5
    assert "links not followed (--follow-links): 1" in " ".join(done.stderr.split())
    done = predict(exported[1], "**/*.png", ".", "--follow-links")
    assert len(rows_of(done.stdout)) == 5
    assert "files named twice, scored once: 5" in " ".join(done.stderr.split())


def test_a_whole_disk_is_refused_in_one_line_unless_yes(exported, folder, monkeypatch, tmp_path):
    monkeypatch.setattr("plainfilm.export.input_paths.MANY", 3)
    monkeypatch.setattr("plainfilm.export.input_paths.few_or_agreed.__defaults__", (3,))
    done = predict(exported[1], folder, "--out", tmp_path / "rows.csv", code=2)
    assert done.stderr.count("\n") <= 2 and "counting stopped at 4" in " ".join(done.stderr.split())
    assert not (tmp_path / "rows.csv").exists()
    assert len(rows_of(predict(exported[1], folder, "--yes").stdout)) == 5
