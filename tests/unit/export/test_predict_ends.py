"""How `plainfilm predict` ends when it is interrupted, when nobody reads it, and when it cannot write."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from plainfilm.cli import app
from plainfilm.data.table.positive_class import BY_ALPHABET
from plainfilm.data.table.saved_table import read_table
from plainfilm.export.manifest import facts_of
from plainfilm.export.scorer import open_bundle
from wording import lacking


def command(*args: object) -> list[str]:
    return [sys.executable, "-m", "plainfilm", "predict", *map(str, args)]


def predict(*args: object, code: int = 0):
    done = CliRunner(env={"NO_COLOR": "1", "COLUMNS": "80"}).invoke(app, ["predict", *map(str, args)])
    assert done.exit_code == code, done.stderr
    assert "Traceback" not in done.stderr
    return done


@pytest.fixture
def image(exported) -> str:
    return str(read_table(exported[0])["path"][0])


@pytest.mark.skipif(os.name == "nt", reason="signals of a POSIX system")
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_interrupted_it_leaves_nothing_and_says_so(exported, image, tmp_path, how):
    out = tmp_path / "rows.csv"
    running = subprocess.Popen(
        command(exported[1], "-", "--out", out), stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    running.stdin.write(f"{image}\n")
    running.stdin.flush()
    until = time.monotonic() + 60
    while not list(tmp_path.iterdir()) and time.monotonic() < until:  # it waits for more names
        time.sleep(0.05)
    assert [path.name.startswith(".partial-") for path in tmp_path.iterdir()] == [True]
    running.send_signal(how)
    said = running.communicate(timeout=60)[1]
    assert running.returncode == 130, said
    assert f"Interrupted; {out} was not written" in said and "Traceback" not in said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name == "nt", reason="a shell of a POSIX system")
def test_a_reader_that_leaves_ends_it_as_any_tool_and_a_closed_output_is_one_line(exported, image):
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(command(exported[1], image), stdout=write, stderr=subprocess.PIPE, text=True, timeout=60)
    os.close(write)
    assert done.returncode == 141 and "Traceback" not in done.stderr
    quoted = " ".join(f"'{word}'" for word in command(exported[1], image))
    closed = subprocess.run(["/bin/sh", "-c", f"{quoted} >&-"], capture_output=True, text=True, timeout=60)
    assert closed.returncode == 2 and closed.stderr.count("\n") == 1
    assert "Standard output is closed" in closed.stderr


def test_what_cannot_be_written_is_refused_before_the_work(exported, image, tmp_path, monkeypatch):
    same = tmp_path / "same"
    assert "Give them two names" in predict(exported[1], image, "--out", same, "--heatmaps", same, code=2).stderr
    (tmp_path / "file").write_bytes(b"")
    assert "is a file" in predict(exported[1], image, "--heatmaps", tmp_path / "file", code=4).stderr
    monkeypatch.setattr("plainfilm.export.predict.Bundle.predict_each", lambda *_: pytest.fail("it began"))
    below = tmp_path / "file" / "heat"
    said = predict(exported[1], image, "--out", tmp_path / "rows.csv", "--heatmaps", below, code=2).stderr
    assert f"cannot be written to {below}" in said
    said = predict(exported[1], image, "--out", tmp_path / "file" / "rows.csv", code=2).stderr
    assert ".partial" not in said and str(tmp_path / "file") in said


def test_a_row_names_no_option_that_predict_does_not_have(exported, tmp_path):
    Image.fromarray(np.full((40, 40), 9_000, np.uint16)).save(tmp_path / "deep.png")
    frames = [Image.new("L", (40, 40), i) for i in range(3)]
    frames[0].save(tmp_path / "three.png", save_all=True, append_images=frames[1:])
    (tmp_path / "scan.png").write_bytes(b"II*\0 a TIFF by its begin")
    found = [
        open_bundle(exported[1]).predict_path(tmp_path / f"{name}.png").error for name in ("deep", "three", "scan")
    ]
    assert lacking(found[0], "E_BITS:", "more than 8 bits", "this model", "8-bit") == []
    assert lacking(found[1], "E_FRAMES:", "3 frames", "one", "per file is expected") == []
    assert found[2].startswith("E_FORMAT: not a PNG") and not any("--" in error for error in found)


def test_empty_folders_are_counted(exported, image, tmp_path):
    (tmp_path / "empty").mkdir()
    done = predict(exported[1], image, tmp_path / "empty")
    assert "empty folders: 1." in " ".join(done.stderr.split())


def test_a_leaky_model_says_so_each_time_it_scores(exported, image, tmp_path):
    leaky = tmp_path / "leaky"
    leaky.mkdir()
    files = {path.name: path.read_bytes() for path in exported[1].iterdir()}
    note = "LEAKY SPLIT: patients stand on both sides."
    alphabet = f"'VIRUS' is the {BY_ALPHABET}."
    card = {**json.loads(files["card.json"]), "notes": [note, "A note that is no alarm.", alphabet]}
    files["card.json"] = json.dumps(card).encode()
    listed = {name: facts_of(data).model_dump() for name, data in files.items() if name != "MANIFEST.json"}
    files["MANIFEST.json"] = json.dumps({"schema_version": 1, "files": listed}).encode()
    for name, data in files.items():
        (leaky / name).write_bytes(data)
    done = predict(leaky, image)
    assert "--positive changes it" in done.stderr
    assert f"NOTE: {note}" in done.stderr and "no alarm" not in done.stderr and "LEAKY" not in done.stdout
    assert "LEAKY" not in predict(leaky, image, "-q").stderr
    document = json.loads(predict(leaky, image, "--out", tmp_path / "rows.csv", "--json").stdout)
    assert document["notes"] == card["notes"]
    assert "LEAKY" not in predict(exported[1], image).stderr


@pytest.mark.parametrize("name", [".DS_Store", "Thumbs.db", "desktop.ini"])
def test_what_a_desktop_leaves_in_a_folder_is_no_surplus(exported, image, tmp_path, name):
    import shutil

    shutil.copytree(exported[1], tmp_path / "bundle")
    (tmp_path / "bundle" / name).write_bytes(b"x")
    assert open_bundle(tmp_path / "bundle").predict_path(image) == open_bundle(exported[1]).predict_path(image)


def test_zips_made_by_hand_are_not_taken_for_ours(exported, tmp_path, refusal):
    import shutil

    from plainfilm.errors import BundleError
    from plainfilm.export.bundle import export_run

    shutil.copytree(exported[1], tmp_path / "in" / "bundle")
    by_hand = shutil.make_archive(str(tmp_path / "hand"), "zip", tmp_path / "in")
    assert "Unpack it and give the folder" in refusal(lambda: open_bundle(Path(by_hand)), BundleError)
    packed = shutil.make_archive(str(tmp_path / "packed"), "zip", tmp_path / "in" / "bundle")
    assert "Unpack it and give the folder" in refusal(lambda: open_bundle(Path(packed)), BundleError)
    (tmp_path / "text").write_text("hello")
    assert "neither a bundle folder nor a zip of one" in refusal(lambda: open_bundle(tmp_path / "text"), BundleError)
    export_run(exported[0].root, tmp_path / "SHOUTED.ZIP")
    assert open_bundle(tmp_path / "SHOUTED.ZIP").card.vocab == ["NORMAL", "PNEUMONIA"]


def test_onnx_runtime_s_own_format_is_refused_in_a_zip_as_in_a_folder(exported, tmp_path):
    """Bytes, unlike a path that ends in .onnx, were taken for whatever they are."""
    import onnxruntime

    from plainfilm.errors import BundleError
    from plainfilm.export.manifest import pack, with_manifest

    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "model.ort")
    options.add_session_config_entry("session.save_model_format", "ORT")
    onnxruntime.InferenceSession(str(exported[1] / "model.onnx"), options, providers=["CPUExecutionProvider"])
    data = (tmp_path / "model.ort").read_bytes()
    assert data[4:8] == b"ORTM"
    files = with_manifest({path.name: path.read_bytes() for path in exported[1].iterdir()} | {"model.onnx": data})
    (tmp_path / "bundle.zip").write_bytes(pack(files))
    (tmp_path / "bundle").mkdir()
    for name, content in files.items():
        (tmp_path / "bundle" / name).write_bytes(content)
    for path in (tmp_path / "bundle.zip", tmp_path / "bundle"):
        with pytest.raises(BundleError, match="cannot be loaded"):
            open_bundle(path)


def test_a_damaged_animation_prints_nothing_of_pillow_s(exported, image, tmp_path):
    """An acTL chunk of no frames: "Invalid APNG, will use default PNG image if possible"."""
    import struct
    import zlib

    data = Path(image).read_bytes()
    body = b"acTL" + struct.pack(">II", 0, 0)
    chunk = struct.pack(">I", 8) + body + struct.pack(">I", zlib.crc32(body))
    (tmp_path / "a.png").write_bytes(data[:33] + chunk + data[33:])
    done = subprocess.run(command(exported[1], tmp_path / "a.png"), capture_output=True, text=True, timeout=120)
    assert "APNG" not in done.stderr and "Warning" not in done.stderr and done.returncode in (0, 1)
