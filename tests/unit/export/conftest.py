"""Small runs with a real network, real images and real scores, without training; and bundles of them."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors.torch import save

from plainfilm.base.files import dump_json
from plainfilm.config import ModelConfig, load_config
from plainfilm.data.image.decode import DecodeSpec, decode
from plainfilm.data.table.saved_table import COLUMNS
from plainfilm.evaluate.document import evaluate_document, save_metrics
from plainfilm.evaluate.finished import FinishedRun
from plainfilm.evaluate.ood.image_features import image_features
from plainfilm.evaluate.ood.ood_gate import FEATURES, fit_gate, gate_bytes
from plainfilm.evaluate.operating.conformal import fit_band
from plainfilm.evaluate.predictions import make_predictions, predict, save_predictions
from plainfilm.export.bundle import export_run
from plainfilm.models.build import build_model
from plainfilm.models.registry import statistics
from plainfilm.runs.card import KEPT_BEST, Card, write_card
from plainfilm.runs.folder import RunDir
from plainfilm.runs.scaling import Scaling

SIZE = 48
MakeRun = Callable[..., RunDir]


def draw(folder: Path, vocab: tuple[str, ...], patients: int, channels: int) -> pd.DataFrame:
    """Images of `patients` per class, brighter by class, and their rows; half train, half valid."""
    rows = []
    for k in range(len(vocab)):
        for i in range(patients):
            rng = np.random.default_rng([k, i])
            shape = (SIZE, SIZE) if channels == 1 else (SIZE, SIZE, 3)
            film = np.clip(rng.normal(60 + 60 * k, 30, shape), 0, 255).astype(np.uint8)
            path = folder / f"class-{k}" / f"secret-patient-{k}{i:03d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(film).save(path)
            rows.append({
                **dict.fromkeys(COLUMNS, ""), "path": str(path), "relative": f"class-{k}/{path.name}", "label": vocab[k],
                "patient": f"secret-key-{k}{i:03d}", "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
                "bytes": path.stat().st_size, "width": SIZE, "height": SIZE, "depth": 8, "channels": channels,
                "quantisation": 0, "grey": channels == 1, "group": len(rows), "split": ("train", "valid")[i % 2],
            })  # fmt: skip
    return pd.DataFrame(rows)


def make_run(
    root: Path, *, vocab: tuple[str, ...] = ("NORMAL", "PNEUMONIA"), positive: str | None = "PNEUMONIA", channels: int = 1,
    patients: int = 60, gate: bool = True, temperature: float = 1.7, bias: tuple[float, ...] = (),
    notes: tuple[str, ...] = (), **model: Any,
) -> RunDir:  # fmt: skip
    """A finished run whose network has random weights; its head is scaled up so that the scores differ."""
    run = RunDir(root / "run")
    run.root.mkdir(parents=True)
    rows = draw(root / "data of Jane Doe", vocab, patients, channels)
    rows.to_csv(run.table, index=False, lineterminator="\n")
    cfg = load_config(options={
        "train.size_px": SIZE, "data.path": str(root / "data of Jane Doe"), "evaluate.n_boot": 100,
        **{f"model.{key}": value for key, value in {"name": "paper", **model}.items()},
    })  # fmt: skip
    network = build_model(ModelConfig(**cfg.model.model_dump()), len(vocab), SIZE, channels=channels)
    with torch.no_grad():
        network.head.weight.mul_(8)
    run.weights.write_bytes(save({k: v.contiguous() for k, v in network.network.state_dict().items()}))
    spec = DecodeSpec(SIZE, channels=channels)  # type: ignore[arg-type]
    pixels = np.stack([decode(path, spec) for path in rows["path"]])
    is_valid = (rows["split"] == "valid").to_numpy()
    logits, features = predict(network, pixels)
    found = None
    if gate:
        views = {**image_features(pixels), FEATURES: features}
        found = fit_gate({k: v[~is_valid] for k, v in views.items()}, {k: v[is_valid] for k, v in views.items()})
        assert found is not None
        run.gate.write_bytes(gate_bytes(found))
    valid = rows[is_valid]
    ood = found.score(pixels[is_valid], features[is_valid])[0] if found else None
    scored = make_predictions(
        valid, logits[is_valid], list(vocab), has_patients=True, scaling=Scaling(temperature, bias), ood=ood
    )
    band = fit_band(scored.probs, scored.targs, scored.groups, list(vocab), level=0.8, seed=0)
    mean, std = statistics(cfg.model)
    threshold = float(np.median(scored.probs[:, vocab.index(positive)])) if positive else None
    card = Card(
        model=cfg.model, vocab=list(vocab), positive=positive, decode=spec.as_dict(), mean=mean, std=std,
        temperature=temperature, bias=dict(zip(vocab, bias, strict=False)), threshold=threshold, threshold_rule="accuracy", threshold_chosen_on="valid", band=band,
        gate_sha256=hashlib.sha256(run.gate.read_bytes()).hexdigest() if gate else None, kept_phase=0, kept_epoch=1,
        kept_by=KEPT_BEST, split="patient", leaky=False, has_patients=True, seal=None, notes=list(notes),
        weights_sha256=hashlib.sha256(run.weights.read_bytes()).hexdigest(),
    )  # fmt: skip
    write_card(run, card)
    run.config.write_text(cfg.as_yaml(), encoding="utf-8")
    counts = {name: {"images": patients // 2 * len(vocab), "patients": patients // 2 * len(vocab),
                     "classes": dict.fromkeys(vocab, patients // 2)} for name in ("train", "valid")}  # fmt: skip
    of_all = {
        "found": len(rows), "used": len(rows), "quarantined": 0, "duplicates": 0, "ignored": 0, "identical_files": 0,
        "patients": len(rows), "classes": dict.fromkeys(vocab, patients), "splits": counts,
    }  # fmt: skip
    run.data.write_text(dump_json(of_all), encoding="utf-8")
    speed = {"device": "cpu", "threads": 1}
    run.environment.write_text(
        json.dumps({"plainfilm": "0.1.0", "libraries": {"torch": "2.15.0"}, "speed": speed, "command": ["/home/jane"]}),
        encoding="utf-8",
    )
    run.write_status("done", seal=None, ledger_head=None)
    save_predictions(run, "valid", scored, pixels[is_valid])
    save_metrics(run, evaluate_document(FinishedRun(run, card, cfg, rows), "valid", scored, (0, 0)))
    return run


@pytest.fixture(autouse=True)
def own_networks(own_home: Path, home_of_one_test: Path) -> None:
    """What the fixtures exported was exported by the user of each test: no process is started for it."""
    noted = own_home / "session" / "exported_networks.txt"
    if noted.exists():
        home_of_one_test.mkdir(exist_ok=True)
        shutil.copy(noted, home_of_one_test)


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunDir, Path]:
    """A run of two classes and its bundle; both are read only."""
    root = tmp_path_factory.mktemp("export")
    run = make_run(root, bias=(0.0, 0.4), notes=("SHORTCUT: AUROC 0.9 needs no lung.",))
    export_run(run.root, root / "bundle")
    return run, root / "bundle"


@pytest.fixture(scope="session")
def three_classes(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunDir, Path]:
    """A run on colour images of three classes with hostile names, standardised, without a gate; and its bundle."""
    root = tmp_path_factory.mktemp("three")
    vocab = ("=cmd|calc", "<b>x</b>\n# y", "www*a*|b")
    run = make_run(root, vocab=vocab, positive=None, channels=3, gate=False, standardise=True, temperature=0.8)
    export_run(run.root, root / "bundle")
    return run, root / "bundle"
