"""On real films a bundle gives evaluate's scores, with ONNX Runtime alone, in little time and memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from plainfilm.config import load_config
from plainfilm.data.table.image_table import ImageTable
from plainfilm.export.bundle import export_run
from plainfilm.pipeline.train import train_run

SIZE = 128


@pytest.fixture(scope="module")
def taken(table: ImageTable, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A run of one epoch on 600 films of the train folder, whole patients, and its bundle; no test film is opened."""
    folder = tmp_path_factory.mktemp("real")
    rows = table.rows[table.rows["given"] == "train"].sort_values("sha256")[:600]
    rows[["path", "label", "patient"]].to_csv(folder / "films.csv", index=False)
    options = {
        "data.path": str(folder / "films.csv"), "data.audit": False, "train.size_px": SIZE, "train.epochs": 1,
        "evaluate.n_boot": 100,
    }  # fmt: skip
    train_run(load_config(options=options), folder / "run", device="cpu")
    export_run(folder / "run", folder / "bundle")
    return folder / "run", folder / "bundle"


def test_scores_of_real_films_are_those_of_evaluate(taken: tuple[Path, Path], tmp_path: Path) -> None:
    run, bundle = taken
    saved = pd.read_csv(run / "predictions" / "valid.csv")
    listed = "".join(f"{path}\n" for path in saved["path"])
    command = [
        sys.executable,
        "-m",
        "plainfilm",
        "predict",
        str(bundle),
        "-",
        "--out",
        str(tmp_path / "rows.csv"),
        "-q",
    ]
    subprocess.run(command, input=listed, text=True, check=True, timeout=120)
    found = pd.read_csv(tmp_path / "rows.csv")
    assert list(found["path"]) == list(saved["path"]) and len(found) > 100
    for name in ("prob_NORMAL", "prob_PNEUMONIA"):
        assert (found[name] - saved[name]).abs().max() < 1e-5


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak of a process is read from /proc")
def test_original_films_take_little_memory(taken: tuple[Path, Path], originals: Path) -> None:
    code = (
        "import sys\nfrom pathlib import Path\nfrom plainfilm.export.scorer import open_bundle\n"
        "bundle = open_bundle(Path(sys.argv[1]), threads=2)\n"
        "found = list(bundle.predict_many(sorted(Path(sys.argv[2]).rglob('*.jpeg'))))\n"
        "assert len(found) == 340 and not any(one.error for one in found)\n"
        "print(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))"
    )
    command = [sys.executable, "-c", code, str(taken[1]), str(originals)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=200)
    assert int(done.stdout) < 300 * 1024  # kB
