"""What lies in a bundle, that it appears at once or not at all, and that a bundle which is not itself is refused."""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
import shutil
import tempfile
import zipfile
from pathlib import Path
from unittest import mock

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from report_edits import FAILED, save_heat
from safetensors.numpy import load_file
from typer.testing import CliRunner

from plainfilm.base.files import TEMP_PREFIX, dump_json
from plainfilm.cli import app
from plainfilm.data.image import sandbox
from plainfilm.data.table.saved_table import read_table
from plainfilm.errors import BundleError, DataError, GateError, OccupiedError
from plainfilm.export import bundle as bundling
from plainfilm.export import manifest
from plainfilm.export.bundle import export_run
from plainfilm.export.onnx_runtime import onnx_runtime
from plainfilm.export.scorer import open_bundle
from plainfilm.runs.folder import RunDir
from plainfilm.runs.scaling import Scaling
from plainfilm.serve.limits import Limits
from plainfilm.serve.pages import Pages
from plainfilm.serve.predictor import Predictor
from wording import lacking

FILES = {"MANIFEST.json", "card.json", "model.safetensors", "model.onnx", "gate.safetensors", "MODEL_CARD.md"}


def test_the_manifest_names_every_file_by_its_hash(exported):
    _, folder = exported
    assert {path.name for path in folder.iterdir()} == FILES
    listed = json.loads((folder / "MANIFEST.json").read_text())["files"]
    assert set(listed) == FILES - {"MANIFEST.json"}
    for name, facts in listed.items():
        data = (folder / name).read_bytes()
        assert facts == {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}


def test_weights_are_the_runs_and_the_card_says_what_they_are_for(exported):
    run, folder = exported
    assert (folder / "model.safetensors").read_bytes() == run.weights.read_bytes()
    card = open_bundle(folder).card
    assert (card.vocab, card.positive, card.temperature, card.size_px) == (
        ["NORMAL", "PNEUMONIA"],
        "PNEUMONIA",
        1.7,
        48,
    )
    measured = json.loads(run.metrics.read_text())["valid"]["metrics"]
    assert card.metrics["valid"].metrics["auroc"].model_dump() == measured["auroc"]
    assert card.architecture.parameters == sum(
        tensor.size for tensor in load_file(folder / "model.safetensors").values()
    )
    assert card.onnx.pictures == 32 and max(card.onnx.differences.values()) < 1e-5
    rows = read_table(run)
    lines = sorted(f"{sha}\t{label}\n" for sha, label in zip(rows["sha256"], rows["label"], strict=True))
    assert card.data_sha256 == hashlib.sha256("".join(lines).encode()).hexdigest()


def test_nothing_in_it_names_a_path_a_file_a_patient_or_this_machine(exported):
    run, folder = exported
    rows = read_table(run)
    words = [
        "Jane Doe",
        "/home/jane",
        "secret",
        str(run.root),
        os.getcwd(),
        str(Path(onnx.__file__).parents[1]),
        tempfile.gettempdir(),
    ]
    words += [Path(path).name for path in rows["path"]] + list(rows["patient"])
    whole = b"".join((folder / name).read_bytes() for name in sorted(FILES))
    assert [word for word in words if word.encode() in whole] == []


def test_the_onnx_file_takes_and_gives_what_is_promised(exported):
    _, folder = exported
    model = onnx.load(folder / "model.onnx", load_external_data=False)
    assert [entry.version for entry in model.opset_import if entry.domain == ""] == [20]
    assert not any(tensor.external_data for tensor in model.graph.initializer)
    session = onnx_runtime().InferenceSession(folder / "model.onnx")
    takes = session.get_inputs()[0]
    assert (takes.name, takes.type, takes.shape[1:]) == ("image", "tensor(uint8)", [1, 48, 48])
    for n in (1, 2, 5, 64):
        pixels = np.random.default_rng(n).integers(0, 256, (n, 1, 48, 48), dtype=np.uint8)
        logits, probs, features = session.run(["logits", "probs", "features"], {"image": pixels})
        assert (logits.shape, probs.shape, features.shape) == ((n, 2), (n, 2), (n, 128))
        warm = np.exp(logits.astype(float) / 1.7 + [0.0, 0.4])
        assert np.allclose(probs, warm / warm.sum(axis=1, keepdims=True), atol=1e-6)


def test_exporting_twice_gives_the_same_bytes_and_never_overwrites(exported, tmp_path):
    run, folder = exported
    export_run(run.root, tmp_path / "again")
    for name in FILES:
        assert (tmp_path / "again" / name).read_bytes() == (folder / name).read_bytes(), name
    with pytest.raises(OccupiedError, match="never overwritten"):
        export_run(run.root, tmp_path / "again")


def test_test_scores_without_an_access_are_refused_with_a_command_that_makes_one(exported, tmp_path, refusal):
    run = RunDir(Path(shutil.copytree(exported[0].root, tmp_path / "run")))
    saved = json.loads(run.metrics.read_text())
    run.metrics.write_text(json.dumps({**saved, "test": {**saved["valid"], "split": "test"}}))
    line = refusal(lambda: export_run(run.root, tmp_path / "bundle"), DataError)
    assert lacking(line, "no test-set access is recorded", "test_ledger.jsonl", "from a backup") == []
    assert line.endswith(f"plainfilm evaluate {run.root} --split test")


@pytest.mark.parametrize(
    ("verdict", "method", "told"),
    [("failed", "hires-cam", True), ("failed", "grad-cam", False), ("not_enough_images", "hires-cam", False)],
)
def test_heat_maps_that_failed_a_check_are_named_in_the_bundle_and_beside_each_map(
    exported, tmp_path, verdict, method, told
):
    run = RunDir(shutil.copytree(exported[0].root, tmp_path / "run"))
    save_heat(run, {"deletion": verdict, "randomised": "passed"}, [FAILED, "Fine.", "x"])
    saved = json.loads(run.heat_checks.read_text(encoding="utf-8")) | {
        "method": method
    }  # a bundle's maps are hires-cam
    run.heat_checks.write_text(json.dumps(saved), encoding="utf-8")
    document = export_run(run.root, tmp_path / "bundle")
    bundle = open_bundle(tmp_path / "bundle")
    assert (FAILED in bundle.card.notes) is (FAILED in document.notes) is told
    assert (FAILED in bundle.card_markdown()) is told
    pages = Pages(Predictor(bundle, lambda pixels: pixels[0]), Limits(), port=8000, token=False)
    page = pages._made["/"][0].decode()
    assert page.count(FAILED) == told and (f"Not evidence of location. {FAILED}" in page) is told
    image, begins = read_table(run)["path"][0], FAILED.partition(":")[0]
    for asks, expected in (([], False), (["--heatmaps", str(tmp_path / "maps")], told)):
        done = CliRunner(env={"COLUMNS": "400"}).invoke(app, ["predict", str(tmp_path / "bundle"), image, *asks])
        assert done.exit_code == 0 and (begins in done.stderr) is expected


def test_what_a_killed_export_left_in_the_run_stops_nobody_and_goes(exported, tmp_path):
    shutil.copytree(exported[0].root, tmp_path / "run")
    left = tmp_path / "run" / f"{TEMP_PREFIX}0123"
    left.mkdir()
    (left / "model.onnx").write_bytes(b"half")
    export_run(tmp_path / "run")
    assert not left.exists() and open_bundle(tmp_path / "run" / "bundle").card.vocab


def test_export_into_a_run_waits_for_nobody_who_writes_it(exported, tmp_path):
    """Whoever holds the run's lock sweeps half-written folders away."""
    shutil.copytree(exported[0].root, tmp_path / "run")
    with RunDir(tmp_path / "run").lock(), pytest.raises(OccupiedError, match="being written"):
        export_run(tmp_path / "run")
    assert not (tmp_path / "run" / "bundle").exists()
    with RunDir(tmp_path / "run").lock():
        export_run(tmp_path / "run", tmp_path / "elsewhere")


def test_a_network_that_onnx_changes_is_not_exported(exported, tmp_path, monkeypatch):
    import plainfilm.export.onnx as exporting

    honest = exporting.export_onnx
    monkeypatch.setattr(
        exporting, "export_onnx", lambda model, scaling, shape: honest(model, scaling.then(Scaling(1.01)), shape)
    )
    with pytest.raises(GateError, match="differ in their probs by"):
        export_run(exported[0].root, tmp_path / "bundle")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("fails_at", range(6))
def test_a_write_that_fails_leaves_nothing_behind(exported, tmp_path, monkeypatch, fails_at):
    honest, done = bundling.atomic_write, 0

    def write(path, content):
        nonlocal done
        done += 1
        if done == fails_at + 1:
            raise OSError(28, "No space left on device")
        honest(path, content)

    monkeypatch.setattr(bundling, "atomic_write", write)
    files = {path.name: path.read_bytes() for path in exported[1].iterdir()}
    with pytest.raises(OSError, match="No space"):
        bundling.write_bundle(tmp_path / "bundle", files)
    assert list(tmp_path.iterdir()) == []


def test_a_run_whose_images_are_gone_is_compared_on_those_it_kept(exported, tmp_path, monkeypatch):
    def gone(*_):
        raise DataError("gone")

    monkeypatch.setattr(bundling, "decode_rows", gone)
    made = export_run(exported[0].root, tmp_path / "bundle")
    assert made.pictures == 24
    assert open_bundle(tmp_path / "bundle").card.onnx.compared_on == "valid images that the run kept"


# --- refusals ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def copied(exported, tmp_path) -> Path:
    return Path(shutil.copytree(exported[1], tmp_path / "copy"))


@pytest.fixture
def nothing_is_loaded(monkeypatch):
    """Whoever would load a model from here on fails the test."""

    def never(*_, **__):
        pytest.fail("a part of the bundle was loaded")

    monkeypatch.setattr(onnx_runtime(), "InferenceSession", never)
    monkeypatch.setattr("plainfilm.export.scorer.gate_from", never)


@pytest.mark.parametrize("name", sorted(FILES - {"MANIFEST.json"}))
def test_a_changed_missing_or_renamed_file_is_refused_before_anything_is_loaded(
    copied, name, refusal, nothing_is_loaded
):
    data = (copied / name).read_bytes()
    for changed in (bytes([data[0] ^ 1]) + data[1:], data[:-1], data + b" ", b""):
        (copied / name).write_bytes(changed)
        assert f"{name} of the bundle is not the file" in refusal(lambda: open_bundle(copied), BundleError)
    (copied / name).unlink()
    assert f"{name} of the bundle is missing" in refusal(lambda: open_bundle(copied), BundleError)
    (copied / name.upper().replace(".", "_")).write_bytes(data)
    assert "missing" in refusal(lambda: open_bundle(copied), BundleError)


def test_a_run_is_not_taken_for_a_bundle(tmp_path, refusal):
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    (tmp_path / "run" / "status.json").write_text("{}")
    message = refusal(lambda: open_bundle(tmp_path / "run"), BundleError)
    assert message.startswith(f"{tmp_path / 'run'} is a run, not a bundle")
    assert message.endswith(f": plainfilm export {tmp_path / 'run'}")


def test_surplus_files_links_and_folders_are_refused(copied, refusal, nothing_is_loaded):
    (copied / "notes.txt").write_text("hello")
    assert (
        lacking(refusal(lambda: open_bundle(copied), BundleError), "'notes.txt'", "MANIFEST.json does not list") == []
    )
    (copied / "notes.txt").unlink()
    (copied / "more").mkdir()
    assert "not a regular file ('more')" in refusal(lambda: open_bundle(copied), BundleError)
    (copied / "more").rmdir()
    data = (copied / "MODEL_CARD.md").read_bytes()
    (copied / "MODEL_CARD.md").unlink()
    (copied.parent / "elsewhere").write_bytes(data)
    (copied / "MODEL_CARD.md").symlink_to(copied.parent / "elsewhere")
    assert "not a regular file ('MODEL_CARD.md')" in refusal(lambda: open_bundle(copied), BundleError)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", "null", '{"schema_version": 2, "files": {}}', "[" * 100_000, '{"schema_version": 1, "files": {}}',
             '{"schema_version": 1, "files": {"../x": {"sha256": "%s", "bytes": 1}}}' % ("0" * 64)],
)  # fmt: skip
def test_a_manifest_that_is_none_is_refused(copied, text, refusal, nothing_is_loaded):
    (copied / "MANIFEST.json").write_text(text)
    refusal(lambda: open_bundle(copied), BundleError)


def sign(folder: Path) -> None:
    """What a forger would do: make the manifest fit the files."""
    names = [path.name for path in folder.iterdir() if path.name != "MANIFEST.json"]
    files = {name: manifest.facts_of((folder / name).read_bytes()).model_dump() for name in names}
    (folder / "MANIFEST.json").write_text(dump_json({"schema_version": 1, "files": files}))


class Payload:
    """A pickle that leaves a mark when it is opened."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return (Path.touch, (self.mark,))


@pytest.mark.parametrize("name", sorted(FILES - {"MODEL_CARD.md"}))
@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_a_pickle_in_any_place_is_never_opened(copied, tmp_path, name, protocol, refusal):
    mark = tmp_path / "run"
    (copied / name).write_bytes(pickle.dumps(Payload(mark), protocol))
    refusal(lambda: open_bundle(copied), BundleError)
    if name != "MANIFEST.json":
        sign(copied)
        if name == "model.safetensors":  # predicting reads no more than its begin; heat maps do
            card = json.loads((copied / "card.json").read_text())
            card["weights_sha256"] = manifest.facts_of((copied / name).read_bytes()).sha256
            (copied / "card.json").write_text(dump_json(card))
            sign(copied)
            from plainfilm.export.heatmaps import heat_maps

            refusal(lambda: heat_maps(copied, np.zeros((1, 48, 48), np.uint8)), BundleError)
        refusal(lambda: open_bundle(copied), BundleError)
    assert not mark.exists()
    pickle.loads((copied / name).read_bytes()) if name != "MANIFEST.json" else mark.touch()  # noqa: S301 - it works
    assert mark.exists()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("vocab", ["PNEUMONIA"]), ("vocab", ["A", "B"]), ("positive", "OTHER"), ("threshold", "high"), ("temperature", None),
        ("decode", {"size_px": 96, "channels": 1}), ("decode", {"size_px": 48, "channels": 3}), ("decode", {"command": "rm"}),
        ("gate_sha256", None), ("weights_sha256", "0" * 64), ("surprise", 1), ("schema_version", 2), ("gate_sha256", "0" * 64),
        ("threshold", 5), ("threshold", -1), ("threshold", None), ("temperature", 0), ("vocab", ["PNEUMONIA", "PNEUMONIA"]),
        ("decode", {"size_px": 48, "channels": ""}), ("decode", {"size_px": 48, "channels": []}), ("decode", {"size_px": 48, "resize": "zzz"}),
        ("decode", {"size_px": 48, "bits": 99}), ("decode", {"size_px": 48, "frame": True}), ("decode", {"size_px": 48, "harmonise": "xxx"}),
        ("band", {"level": 0.9, "lowest": {"NORMAL": float("nan"), "PNEUMONIA": 0.1}, "patients": {"NORMAL": 9, "PNEUMONIA": 9}}),
    ],
)  # fmt: skip
def test_a_card_that_does_not_fit_is_refused_although_its_hash_does(copied, key, value, refusal):
    card = json.loads((copied / "card.json").read_text())
    (copied / "card.json").write_text(json.dumps({**card, key: value}))
    sign(copied)
    refusal(lambda: open_bundle(copied), BundleError)


def test_a_model_that_reads_another_file_is_refused(copied, tmp_path, refusal):
    model = onnx.load(copied / "model.onnx")
    onnx.save(model, copied / "model.onnx", save_as_external_data=True, location="weights.bin", size_threshold=0)
    (copied / "weights.bin").unlink()
    sign(copied)
    assert "refers to another file" in refusal(lambda: open_bundle(copied), BundleError)


def test_a_model_that_changes_while_it_is_loaded_is_refused(copied, refusal, monkeypatch):
    load = onnx_runtime().InferenceSession

    def load_and_change(model, *args, **options):
        session = load(model, *args, **options)
        (copied / "model.onnx").write_bytes(b"x" + (copied / "model.onnx").read_bytes()[1:])
        return session

    monkeypatch.setattr(onnx_runtime(), "InferenceSession", load_and_change)
    assert "changed while it was loaded" in refusal(lambda: open_bundle(copied), BundleError)


@given(at=st.integers(0, 40), chunk=st.integers(1, 12), length=st.integers(0, 40))
def test_a_word_is_found_wherever_the_pieces_of_a_file_are_cut(at, chunk, length):
    data = b"." * at + b"location" + b"." * length
    with mock.patch.object(manifest, "_CHUNK", chunk):
        parts = list(manifest.Source([], lambda name: io.BytesIO(data)).parts(manifest.ONNX))
        facts = manifest.Source([], lambda name: io.BytesIO(data)).facts(manifest.ONNX)
    assert any(b"location" in part for part in parts)
    assert facts == manifest.facts_of(data)


def test_no_bundle_at_all(tmp_path, refusal):
    assert "plainfilm export" in refusal(lambda: open_bundle(tmp_path / "nowhere"), BundleError)
    assert "not a bundle" in refusal(lambda: open_bundle(tmp_path), BundleError)
    (tmp_path / "text").write_text("hello")
    refusal(lambda: open_bundle(tmp_path / "text"), BundleError)


# --- zips -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def zipped(exported, tmp_path) -> Path:
    export_run(exported[0].root, tmp_path / "bundle.zip")
    return tmp_path / "bundle.zip"


def test_a_zip_is_the_folder_in_one_file(exported, zipped):
    with zipfile.ZipFile(zipped) as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == {
            path.name: path.read_bytes() for path in exported[1].iterdir()
        }
    path = read_table(exported[0])["path"][0]
    assert open_bundle(zipped).predict_path(path) == open_bundle(exported[1]).predict_path(path)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_odd_zips_are_refused(exported, tmp_path, refusal, nothing_is_loaded):
    files = {path.name: path.read_bytes() for path in exported[1].iterdir()}
    cases = {
        "twice": [*files.items(), ("card.json", b"{}")],
        "outside": [*files.items(), ("../evil.txt", b"x")],
        "below": [(f"bundle/{name}", data) for name, data in files.items()],
        "lacks": [(name, data) for name, data in files.items() if name != "model.onnx"],
    }
    for name, entries in cases.items():
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            for entry, data in entries:
                archive.writestr(entry, data)
        refusal(lambda path=tmp_path / name: open_bundle(path), BundleError)
    with zipfile.ZipFile(tmp_path / "bomb", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data if name != "MODEL_CARD.md" else bytes(50_000_000))
    assert "packed differently" in refusal(lambda: open_bundle(tmp_path / "bomb"), BundleError)


# --- mutations --------------------------------------------------------------------------------------------------------


def mutate(folder: Path, rng: np.random.Generator) -> str:
    """One random change of one random file, or of the folder; says what."""
    names = sorted(path.name for path in folder.iterdir())
    name = names[rng.integers(len(names))]
    path, other = folder / name, folder / names[rng.integers(len(names))]
    data = bytearray(path.read_bytes())
    at = int(rng.integers(len(data)))
    how = int(rng.integers(9))
    if how == 0:
        data[at] ^= 1 << int(rng.integers(8))
    elif how == 1:
        del data[at:]
    elif how == 2:
        data += rng.bytes(int(rng.integers(1, 100)))
    elif how == 3:
        data[at : at + 64] = rng.bytes(64)
    elif how == 4:
        data[at:at] = b" \n"
    elif how == 5:
        data = bytearray(other.read_bytes())
    elif how == 6:
        path.unlink()
        return f"unlink {name}"
    elif how == 7:
        (folder / f"extra-{at}").write_bytes(bytes(data[:at]))
        return "extra"
    else:
        data = bytearray(json.dumps(json.loads(data)).encode()) if name.endswith(".json") else data[::-1]
    path.write_bytes(bytes(data))
    return f"{how} {name} at {at}"


@pytest.mark.parametrize(("first", "count"), [(0, 200), pytest.param(200, 800, marks=pytest.mark.campaign)])
def test_a_mutated_bundle_is_refused_or_bit_identical(exported, tmp_path, first, count):
    run, folder = exported
    images = list(read_table(run)["path"][:3])
    expected = list(open_bundle(folder, 1).predict_many(images))
    refused = 0
    for seed in range(first, first + count):
        copy = Path(shutil.copytree(folder, tmp_path / "mutant"))
        what = mutate(copy, np.random.default_rng(seed))
        try:
            assert list(open_bundle(copy, 1).predict_many(images)) == expected, f"seed {seed}: {what}"
        except BundleError:
            refused += 1
        shutil.rmtree(copy)
    assert count * 0.8 < refused < count  # a manifest written another way is the same manifest


# --- mutations of somebody who signs them ------------------------------------------------------------------------------

ODD = [
    None,
    True,
    False,
    "",
    "x",
    [],
    {},
    0,
    -1,
    5,
    0.5,
    1e308,
    float("nan"),
    float("inf"),
    ["NORMAL", "NORMAL"],
    "\u202e<b>",
]


def mutate_and_sign(folder: Path, rng: np.random.Generator) -> str:
    """One random change of a part, with a manifest that fits: nothing but its reader can refuse it."""
    how = int(rng.integers(4))
    if how < 2:
        card = json.loads((folder / "card.json").read_text())
        place, key, part = "card", str(rng.choice(sorted(card))), card
        while isinstance(part[key], dict) and part[key] and rng.random() < 0.8:
            place, part = f"{place}.{key}", part[key]
            key = str(rng.choice(sorted(part)))
        part[key] = odd = ODD[rng.integers(len(ODD))]
        (folder / "card.json").write_text(json.dumps(card))
        what = f"{place}.{key} = {odd!r}"
    else:
        name = ("model.onnx", "gate.safetensors")[how - 2]
        data = bytearray((folder / name).read_bytes())
        for at in rng.integers(len(data), size=int(rng.integers(1, 20))):
            data[at if rng.random() < 0.5 else at % 2000] = rng.integers(256)
        (folder / name).write_bytes(bytes(data))
        if name == "gate.safetensors":
            card = json.loads((folder / "card.json").read_text())
            (folder / "card.json").write_text(json.dumps({**card, "gate_sha256": hashlib.sha256(data).hexdigest()}))
        what = f"bytes of {name}"
    sign(folder)
    return what


@pytest.mark.parametrize(("first", "count"), [(0, 150), pytest.param(150, 850, marks=pytest.mark.campaign)])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # of a gate of odd numbers
def test_a_signed_mutant_is_refused_or_gives_probabilities(exported, tmp_path, first, count):
    run, folder = exported
    images = list(read_table(run)["path"][:2])
    refused = 0
    for seed in range(first, first + count):
        copy = Path(shutil.copytree(folder, tmp_path / "mutant"))
        what = f"seed {seed}: {mutate_and_sign(copy, np.random.default_rng(seed))}"
        try:
            with sandbox.used("off"):  # a process for each network takes 0.3 s
                bundle = open_bundle(copy, 1)
                for found in bundle.predict_many(images):
                    assert found.error or sum(found.probs.values()) == pytest.approx(1, abs=1e-3), what
                    assert found.error or (found.label in found.probs and 0 <= found.score <= 1 + 1e-6), what
                assert bundle.card.vocab == ["NORMAL", "PNEUMONIA"] or "vocab" in what, what
        except BundleError:
            refused += 1
        shutil.rmtree(copy)
    assert count * 0.1 < refused < count


def test_the_page_and_its_answer_say_where_there_is_no_gate(exported, three_classes):
    """Three states in the browser: the page's facts, its words for the flag, and the flag of each answer."""
    for folder, without in ((exported[1], False), (three_classes[1], True)):
        predictor = Predictor(open_bundle(folder, 1), None)
        html = Pages(predictor, Limits(), port=8000, token=False)._made["/"][0].decode()
        said = "<div><dt>Out of distribution</dt><dd>not judged (no gate)</dd></div>"
        assert (said in html) is without and ("not measured" in html) is not without
        assert ("this one has no gate" in html) is without
        answer = predictor.predict(0, predictor.decode(_drawn(), quick=False), frozenset())
        assert ("no gate" in answer["flags"]) is without and "no band" not in answer["flags"]


def _drawn() -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (48, 48, 3), dtype=np.uint8)).save(file, "PNG")
    return file.getvalue()
