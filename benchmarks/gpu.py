"""plainfilm on a GPU: is it right, does a stopped run continue, how fast is it. At most eight minutes, no network.

    python benchmarks/gpu.py --wheels FOLDER         on a machine with a GPU and a Python that has torch and torchvision
    python benchmarks/gpu.py --device cpu --quick    the same parts, small, anywhere

It draws its own images. One JSON document goes to stdout, a table to stderr. The exit code is 1 when a check of
correctness or of resuming failed or did not end, and 0 otherwise; a part that ends late or fails leaves what it had.

FOLDER has the wheels of what that Python lacks. Collect them on a machine with a network:

    python benchmarks/gpu.py --missing > missing.txt      on the machine with the GPU; torch itself is never replaced
    python -m pip download --no-deps --only-binary=:all: --dest FOLDER -r missing.txt

where Python and system are not the same with, for instance, `--python-version 3.12 --platform manylinux_2_28_x86_64`.
They are installed into a temporary folder, which is removed at the end.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
LIMITS_S = {"draw": 90, "correctness": 120, "resume": 120, "bench": 140}  # eight minutes less the imports
JUDGED = ("correctness", "resume")
NEEDED = (
    "captum", "fastai", "fastcore", "fastdownload", "fastprogress", "fasttransform", "plum-dispatch", "filelock", "imagehash", "jinja2",
    "markdown-it-py", "mdurl", "matplotlib", "numpy", "pandas", "pillow", "psutil", "pydantic", "pydicom", "pyyaml", "rich",
    "safetensors", "scikit-learn", "scipy", "threadpoolctl", "timm", "typer",
)  # fmt: skip
UNUSED = {"spacy"}  # of fastai, for text


# What runs before anything is installed: only the standard library.


def of_torch() -> set[str]:
    """Names of torch, torchvision and all that they need: these are never replaced."""
    found, todo = set[str](), ["torch", "torchvision"]
    while todo:
        name = _normal(todo.pop())
        if name not in found:
            found.add(name)
            todo += [re.split(r"[^\w.-]", need)[0] for need in _requires(name) if "extra ==" not in need]
    return found


def _is_kept(name: str) -> bool:
    """Whether it belongs to torch; CUDA's own packages do, which torch asks for as extras of others."""
    return name in of_torch() or name.startswith(("nvidia-", "cuda-", "triton"))


def _requires(name: str) -> list[str]:
    try:
        return metadata.requires(name) or []
    except metadata.PackageNotFoundError:
        return []


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def missing() -> list[str]:
    """name==version of what is in requirements.lock, with all that it needs there, and not in this Python; and of what
    is here in a version below the one in pyproject.toml."""
    least = dict(re.findall(r'^    "([\w-]+)>=([\d.]+)', (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.M))
    wanted = {name: version for name, version in sorted(locked().items()) if not _is_kept(name)}
    return [f"{name}=={version}" for name, version in wanted.items() if _is_old(name, least.get(name, "0"))]


def locked() -> dict[str, str]:
    """Versions by name in requirements.lock of what training imports on Linux: NEEDED, and what those ask for."""
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    entries = re.findall(r"^([\w.-]+)==([^\s;\\]+)(.*?)(?=^[\w.-]+==|\Z)", text, re.M | re.S)
    here = [(_normal(name), *rest) for name, *rest in entries]
    here = [each for each in here if not re.search(r"sys_platform == '(win32|emscripten)'", each[2])]
    users = {name: {_normal(word) for word in re.findall(r"#\s+(?:via )?([\w.-]+)", rest)} for name, _, rest in here}
    found = set(NEEDED)
    while more := {name for name, by in users.items() if by & found} - found - UNUSED:
        found |= more
    return {name: version for name, version, _ in here if name in found}


def _is_old(name: str, least: str) -> bool:
    def numbers(version: str) -> list[int]:
        return [int(part) for part in re.findall(r"\d+", version)][:3]

    try:
        return numbers(metadata.version(name)) < numbers(least)
    except metadata.PackageNotFoundError:
        return True


def install(wheels: Path, target: Path) -> None:
    """Install what is missing from a folder of wheels; what the folder lacks is named and left out."""
    there = {_normal(path.name.split("-")[0]) for path in wheels.glob("*.whl")}
    names = [need.split("==")[0] for need in missing()]
    if absent := [name for name in names if name not in there]:
        print(f"No wheel in {wheels} for: {' '.join(absent)}", file=sys.stderr)
    if names := [name for name in names if name in there]:
        pip = [sys.executable, "-m", "pip", "install", "-q", "--no-index", "--no-deps", "--find-links", str(wheels)]
        subprocess.run([*pip, "--target", str(target), *names], check=True)


# The parts. Each yields its results one by one, so that a part that is stopped leaves those it had.

Result = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Setting:
    """Where a part works: its device, the folder of drawn images, and whether all is small."""

    device: str
    folder: Path
    quick: bool

    @property
    def size_px(self) -> int:
        return 64 if self.quick else 224

    @property
    def bs(self) -> int:
        return 8 if self.quick else 64


def draw(at: Setting) -> Iterator[Result]:
    """Images for the other parts: `flat` for the resumed run, `bench` with train and valid folders."""
    from plainfilm.data.synthetic.phantom import write_phantom

    write_phantom(at.folder / "flat", images=80 if at.quick else 240, size_px=64)
    write_phantom(at.folder / "drawn", images=40 if at.quick else 512, size_px=at.size_px)
    for path in sorted((at.folder / "drawn").rglob("*.png")):
        for copy in range(1 if at.quick else 8):  # every eighth patient for valid
            part = "valid" if int(path.stem.split("-")[1]) % 8 == 0 else "train"
            target = at.folder / "bench" / part / path.parent.name / f"{path.stem}-{copy}.png"
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)
    yield {"name": "drawn", "ok": True, "images": len(list((at.folder / "bench").rglob("*.png")))}


def correctness(at: Setting) -> Iterator[Result]:
    """Every check; one that fails or raises does not keep the others from running."""
    for check in (
        same_scores,
        same_steps,
        bf16_steps,
        same_batches,
        same_augmentation,
        noise_of_the_device,
        no_waiting,
        divergence,
    ):
        try:
            found = check(at)
        except Exception as error:  # noqa: BLE001 - what a check raises is its result
            found = {"ok": False, "error": f"{type(error).__name__}: {error}"}
        yield {"name": check.__name__, **found}


def make_learn(at: Setting, device: str, model: dict[str, Any] | None = None, **options: Any) -> Any:
    """plainfilm's Learner over the drawn images, as `plainfilm train` builds it."""
    from plainfilm.base.events import silent
    from plainfilm.config import load_config
    from plainfilm.data.cache.rows import decode_rows
    from plainfilm.data.image.decode import DecodeSpec
    from plainfilm.data.loaders.block import make_dls
    from plainfilm.data.table.image_table import scan_table
    from plainfilm.models.build import build_model
    from plainfilm.train.learner import make_learner
    from plainfilm.train.machine.speed import set_up_gpu, speed_up

    keys = {name.replace("__", "."): value for name, value in options.items()}
    size = {"train.size_px": at.size_px, "train.batch_size": at.bs}
    cfg = load_config(options={**size, **{f"train.{name}": value for name, value in keys.items()}, **(model or {})})
    speed_up(cfg.train.speed)
    set_up_gpu(cfg.train.gpu)
    table, _ = scan_table(at.folder / "bench", cfg.data)
    rows = table.rows.assign(split=table.rows["given"])
    pixels = decode_rows(rows, DecodeSpec(at.size_px))
    dls = make_dls(rows, pixels, cfg.train, vocab=table.classes, device=device)
    network = build_model(cfg.model, len(table.classes), at.size_px, 0, speed=cfg.train.speed)
    return make_learner(dls, network, cfg.train, path=Path(tempfile.mkdtemp(dir=at.folder)), on_event=silent)


NO_DROPOUT = {"model.dropout": 0.0, "model.dense_dropout": 0.0}  # a GPU draws other masks


def same_scores(at: Setting) -> Result:
    """Logits of both devices, also where training rounds to TensorFloat-32."""
    from plainfilm.evaluate.predictions import predict

    learn = make_learn(at, at.device)
    pixels = learn.dls.train.pixels[: 2 * at.bs]
    there = predict(learn.model, pixels, at.device)[0]
    here = predict(learn.model, pixels, "cpu")[0]
    difference = float(abs(there - here).max() / abs(here).max())
    return {"ok": difference <= 1e-4, "relative_difference": difference, "limit": 1e-4}


def same_steps(at: Setting) -> Result:
    """Losses of the first steps of float32 training on both devices."""
    there, here = (losses_of_steps(at, device) for device in (at.device, "cpu"))
    difference = max(abs(a - b) / b for a, b in zip(there, here, strict=True))
    return {"ok": difference <= 1e-2, "relative_difference": difference, "limit": 1e-2, "losses": there, "cpu": here}


def bf16_steps(at: Setting) -> Result:
    """Losses of the first steps in bf16 stay near those in float32, and are not the same."""
    from plainfilm.train.machine.precision import bf16_support

    native, reason = bf16_support(at.device)
    if not native:
        return {"ok": None, "why": reason}
    fp32, bf16 = (losses_of_steps(at, at.device, precision=name) for name in ("fp32", "bf16"))
    difference = max(abs(a - b) / b for a, b in zip(bf16, fp32, strict=True))
    return {"ok": 0 < difference <= 5e-2, "relative_difference": difference, "limit": 5e-2}


def losses_of_steps(at: Setting, device: str, steps: int = 5, **options: Any) -> list[float]:
    import torch
    from fastai.callback.core import Callback, CancelFitException

    losses: list[Any] = []

    class Collect(Callback):
        order = 63

        def after_batch(self) -> None:
            losses.append(self.loss_grad.detach())
            if len(losses) == steps:
                raise CancelFitException

    learn = make_learn(at, device, NO_DROPOUT, gpu__tf32=False, gpu__cudnn_benchmark=False, **options)
    learn.fit(1, 1e-3, cbs=[Collect()])
    found: list[float] = torch.stack(losses).cpu().tolist()
    return found


def same_batches(at: Setting) -> Result:
    """The resident set gives the bytes of the host's gather."""
    import numpy as np
    import torch

    from plainfilm.data.loaders.resident import ResidentPixels

    hosted, held = (make_learn(at, at.device, augment="radiograph", gpu__resident=on).dls for on in (False, True))
    on_device = held.train.resident is not None
    pixels = held.train.pixels
    resident = held.train.resident or ResidentPixels(pixels, torch.device(at.device))
    for dl in held.loaders:
        dl.resident = resident
    rows = np.arange(len(pixels))[::-1].copy()
    bytes_equal = bool((resident[rows].cpu().numpy()[:, 0] == pixels[rows]).all())
    equal = all(
        torch.equal(x, x2) and torch.equal(y, y2)
        for there, here in zip(hosted.loaders, held.loaders, strict=True)
        for (x, y), (x2, y2) in zip(there, here, strict=True)
    )
    wanted = at.device == "cuda"
    return {"ok": bytes_equal and equal and on_device == wanted, "bytes_equal": bytes_equal, "batches_equal": equal,
            "resident": on_device}  # fmt: skip


def drawn_changes(at: Setting, profile: str) -> Any:
    """Pixels 0..1 (n, 1, h, w) on the CPU and a function that changes them, without noise, on the device they are on."""
    import numpy as np
    import torch

    from plainfilm.data.loaders.augment import PROFILES, draw, draw_texture
    from plainfilm.data.loaders.augment_batch import apply_draw, apply_texture

    rng = np.random.default_rng(0)
    rough = torch.from_numpy(rng.random((16, 1, at.size_px // 8, at.size_px // 8), np.float32))
    x = torch.nn.functional.interpolate(rough, scale_factor=8, mode="bilinear")
    place = (
        dataclasses.replace(PROFILES[profile], noise=0.0),
        0,
        0,
        0,
        rng.integers(0, 2**62, 16),
        np.zeros(16, np.int64),
    )
    drawn, texture = draw(*place), draw_texture(*place)

    def change(pixels: torch.Tensor) -> torch.Tensor:
        moved = apply_draw(pixels, drawn.matrix, drawn.gain, drawn.bias)
        return moved if texture is None else apply_texture(moved, texture)

    return x, change


def same_augmentation(at: Setting) -> Result:
    """Warp, contrast, grey curve, sharpness and holes on both devices, from the same draws."""
    from plainfilm.config.gpu import GpuConfig
    from plainfilm.train.machine.speed import set_up_gpu

    found = {}
    for tf32, limit in ((False, 1e-3), (True, 1e-2)):
        set_up_gpu(GpuConfig(tf32=tf32))
        for profile in ("radiograph", "strong"):
            x, change = drawn_changes(at, profile)
            difference = float((change(x.to(at.device)).cpu() - change(x.clone())).abs().max())
            found[f"{profile}{' in tf32' if tf32 else ''}"] = {"difference": difference, "limit": limit}
    return {"ok": all(each["difference"] <= each["limit"] for each in found.values()), **found}


def noise_of_the_device(at: Setting) -> Result:
    """The noise of an image is normal and a function of its seed."""
    import torch

    from plainfilm.data.loaders.augment_batch import _noise

    x = torch.zeros(2, 1, 224, 224, device=at.device)
    first, second, other = _noise(x, 7), _noise(x[:1], 7), _noise(x, 8)
    mean, sd = float(first.mean()), float(first.std())
    ok = abs(mean) < 0.03 and abs(sd - 1) < 0.03 and torch.equal(first, second) and not torch.equal(first, other)
    return {"ok": ok, "mean": mean, "sd": sd}


def no_waiting(at: Setting) -> Result:
    """Places where a step waits for the GPU, as torch reports them; on a CPU there is nothing to report."""
    if at.device != "cuda":
        return {"ok": None, "why": "only a GPU can tell"}
    import torch
    from fastai.callback.core import Callback

    class Watched(Callback):
        order = 64

        def after_batch(self) -> None:
            if self.training:  # the first steps allocate
                torch.cuda.set_sync_debug_mode("warn" if 3 <= self.iter < 20 else "default")

    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        learn = make_learn(at, at.device, augment="strong", ema=0.9, clip=1.0)
        learn.fit(1, 1e-3, cbs=[Watched()])
        torch.cuda.set_sync_debug_mode("default")
    waits = [each for each in seen if "called a synchronizing" in str(each.message)]
    where = sorted({f"{Path(each.filename).name}:{each.lineno}" for each in waits})
    return {"ok": not where, "waits": len(waits), "where": where}


def divergence(at: Setting) -> Result:
    """A rate that no network survives ends the training with the reason."""
    from plainfilm.errors import DivergedError

    learn = make_learn(at, at.device)
    try:
        learn.fit(1, 1e6)
    except DivergedError as error:
        return {"ok": True, "message": str(error)}
    return {"ok": False}


def resume(at: Setting) -> Iterator[Result]:
    """A run that is stopped in the middle of an epoch and resumed, against two that were not stopped.

    On a CPU all are equal. On a GPU the order of sums may differ between two runs of one command, so what is asked is
    that the resumed run is no farther from the first than a few times the second is.
    """
    runs = {name: at.folder / "runs" / name for name in ("whole", "again", "stopped")}
    resumed = [trained(at, out, stop=name == "stopped") for name, out in runs.items()] == [False, False, True]
    whole = read_history(runs["whole"])
    far = {name: farthest(whole, read_history(runs[name])) for name in ("again", "stopped")}
    equal = {name: (runs[name] / "model.safetensors").read_bytes() == (runs["whole"] / "model.safetensors").read_bytes()
             for name in ("again", "stopped")}  # fmt: skip
    limit = max(0.02, 5 * far["again"]) if at.device != "cpu" else 0.0
    ok = resumed and far["stopped"] <= limit and (equal["stopped"] or at.device != "cpu")
    yield {
        "name": "resumed",
        "ok": ok,
        "stopped_in_an_epoch": resumed,
        "difference_of_losses": far,
        "limit": limit,
        "equal_weights": equal,
    }


def trained(at: Setting, out: Path, *, stop: bool) -> bool:
    """Train into `out`; with `stop`, interrupted in the second epoch and resumed. Returns whether it was."""
    from plainfilm.config import load_config
    from plainfilm.pipeline.train import resume_run, train_run

    cfg = load_config(options={
        "data.path": str(at.folder / "flat"), "data.audit": False, "train.size_px": 64, "train.batch_size": 8, "train.epochs": 3,
        "evaluate.n_boot": 100,
    })  # fmt: skip

    def interrupt(what: str, facts: dict[str, Any]) -> None:
        if stop and what == "batch" and (facts["epoch"], facts["step"]) == (1, 3):
            signal.raise_signal(signal.SIGINT)

    try:
        train_run(cfg, out, device=at.device, on_event=interrupt)
    except KeyboardInterrupt:
        step = json.loads((out / "checkpoints" / "last.json").read_text(encoding="utf-8"))["state"]["step"]
        resume_run(out, device=at.device)
        return int(step) == 3
    return False


def read_history(run: Path) -> list[dict[str, str]]:
    with (run / "history.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def farthest(one: list[dict[str, str]], other: list[dict[str, str]]) -> float:
    """The largest difference of a train or valid loss between the epochs of two runs."""
    names = ("train_loss", "valid_loss")
    return max(abs(float(a[name]) - float(b[name])) for a, b in zip(one, other, strict=True) for name in names)


def bench(at: Setting) -> Iterator[Result]:
    """Images per second of whole epochs, validation included, after one that warms up."""
    contestants: dict[str, Callable[[], Any]] = {"fastai notebook": lambda: notebook(at)}  # first: no flag is set yet
    contestants |= {
        "ours": lambda: make_learn(at, at.device),
        "ours with TensorFloat-32": lambda: make_learn(at, at.device, gpu__tf32=True),
        "ours from the host": lambda: make_learn(at, at.device, gpu__resident=False),
        "ours, loss read at every step": lambda: make_learn(at, at.device, gpu__loss_every=1),
    }
    contestants["ours in bf16"] = lambda: make_learn(at, at.device, precision="bf16")
    for name, make in contestants.items():
        try:
            yield {"name": name, **measured(at, make())}
        except Exception as error:  # noqa: BLE001 - the others are measured all the same
            yield {"name": name, "error": f"{type(error).__name__}: {error}"}


def notebook(at: Setting) -> Any:
    """The plain fastai recipe of contestants.py; it takes a GPU by itself where there is one."""
    from contestants import FastaiNotebook
    from fastai.torch_core import default_device

    default_device(at.device == "cuda")
    return FastaiNotebook(at.folder / "bench", at.size_px, at.bs).learn


def measured(at: Setting, learn: Any) -> Result:
    import torch

    cuda = at.device == "cuda"
    images = len(learn.dls.train) * at.bs if learn.dls.train.drop_last else len(learn.dls.train_ds)

    def seconds_of(epochs: int) -> float:
        started = time.perf_counter()
        with learn.no_bar(), learn.no_logging():
            learn.fit_one_cycle(epochs, 1e-4)
        if cuda:
            torch.cuda.synchronize()
        return time.perf_counter() - started

    if cuda:
        torch.cuda.reset_peak_memory_stats()
    first, warm = seconds_of(1), seconds_of(1)
    epochs = min(20, max(1, int(5 / warm)))  # about five seconds
    rate = images * epochs / seconds_of(epochs)
    memory = {"peak_gpu_mb": round(torch.cuda.max_memory_allocated() / 1e6)} if cuda else {}
    return {"img_per_s": round(rate, 1), "first_epoch_s": round(first, 2), "epochs": epochs, "images": images, **memory}


PARTS: dict[str, Callable[[Setting], Iterator[Result]]] = {
    "draw": draw,
    "correctness": correctness,
    "resume": resume,
    "bench": bench,
}


# The run: every part in a process of its own, stopped at its limit.


def run_part(name: str, args: argparse.Namespace, folder: Path, env: dict[str, str]) -> Result:
    """Results of a part, how it ended, and its last lines of stderr if it failed."""
    command = [sys.executable, __file__, "--part", name, "--device", args.device, "--folder", str(folder)]
    started = time.perf_counter()
    with (
        (folder / f"{name}.out").open("w+", encoding="utf-8") as out,
        (folder / f"{name}.err").open("w+", encoding="utf-8") as err,
    ):
        part = subprocess.Popen(
            [*command, *["--quick"] * args.quick], stdout=out, stderr=err, env=env, start_new_session=True
        )
        try:
            ended = "done" if part.wait(LIMITS_S[name]) == 0 else "failed"
        except subprocess.TimeoutExpired:
            ended = "time limit"
            os.killpg(part.pid, signal.SIGKILL)  # its loader workers too
            part.wait()
        out.seek(0), err.seek(0)
        results = [json.loads(line) for line in out if line.startswith("{") and line.endswith("}\n")]
        last = [] if ended == "done" else err.read().splitlines()[-5:]
    return {"ended": ended, "seconds": round(time.perf_counter() - started, 1), "results": results, "stderr": last}


def is_right(name: str, part: Result) -> bool:
    return (
        part["ended"] == "done" and bool(part["results"]) and all(each["ok"] is not False for each in part["results"])
    )


def table(document: Result) -> str:
    lines = [
        f"{document['device']}: {document['device_name']}, torch {document['torch']}, {'quick' if document['quick'] else '224 px'}"
    ]
    for name, part in document["parts"].items():
        lines.append(f"{name}: {part['ended']} in {part['seconds']} s")
        for each in part["results"]:
            rest = {key: value for key, value in each.items() if key not in ("name", "ok", "losses", "cpu")}
            word = {True: "ok", False: "WRONG", None: "not checked"}[each["ok"]] if "ok" in each else ""
            lines.append(f"  {each['name']:<30} {word:<12} {json.dumps(rest)}")
        lines += [f"  | {line}" for line in part["stderr"]]
    return "\n".join([*lines, "right" if document["ok"] else "WRONG, or not ended"])


def run(args: argparse.Namespace) -> Result:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        target = folder / "packages"
        if args.wheels:
            install(args.wheels, target)
        paths = [str(target), str(ROOT / "src"), *filter(None, [os.environ.get("PYTHONPATH")])]
        env = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PLAINFILM_CACHE": str(folder / "cache")}
        parts = {part: run_part(part, args, folder, env) for part in PARTS}
    import torch

    device_name = torch.cuda.get_device_name() if args.device == "cuda" and torch.cuda.is_available() else args.device
    return {
        "device": args.device, "device_name": device_name, "torch": torch.__version__, "python": sys.version.split()[0],
        "quick": args.quick, "ok": all(is_right(name, parts[name]) for name in JUDGED), "parts": parts,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--quick", action="store_true", help="small images and networks, to test this script")
    parser.add_argument("--wheels", type=Path, help="folder of wheels to install from")
    parser.add_argument("--missing", action="store_true", help="print what --wheels must have, and stop")
    parser.add_argument("--part", choices=list(PARTS), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.missing:
        print("\n".join(missing()))
    elif args.part:
        for result in PARTS[args.part](Setting(args.device, args.folder, args.quick)):
            print(json.dumps(result), flush=True)
    else:
        document = run(args)
        print(table(document), file=sys.stderr)
        print(json.dumps(document))
        raise SystemExit(not document["ok"])


if __name__ == "__main__":
    main()
