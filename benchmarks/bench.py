"""Our engine against its peers, in one run: `make bench`.

Each contestant is a separate process that sleeps between its blocks, with the environment as a user has it. Blocks are in ABBA order (ours, peer, peer, ours),
with the yardstick between them, because the machine's speed changes from minute to minute: the results are the ratio of
medians within the run, with an interval over pairs, and the fraction of what the machine could do at that moment.
Where the processor has bfloat16 arithmetic, every contestant that can also runs in it, beside ours in bf16; and ours in
bf16 takes its turn beside the notebook in fp32.
With --busy N, the same beside N processes that want a core each: ours, the notebook and the PyTorch loop, each also
against itself alone.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from contestants import SWITCHES
from neighbours import Neighbours

HERE = Path(__file__).parent
# a multiply-add counts as two; the first layer needs no gradient of its input; computed for the network by `flops()`
SETTINGS = {128: (64, 768), 224: (64, 384), 512: (16, 96)}  # size -> batch size, train images per block
VALID_IMAGES = 32
PEERS = ("fastai", "torch", "in-memory", "bare-step")
BF16 = "-bf16"  # ends the name of a contestant whose network computes in bfloat16
BESIDE = ("ours", "two-per-core", "fastai", "torch")  # contestants beside busy processes


def flops(size_px: int) -> tuple[float, float]:
    """GFLOP per image of the paper's network: forward, and forward with backward (without the gradient of the input image)."""
    side, n_in, forward, first = size_px, 3, 0.0, 0.0
    for n_out in (16, 32, 64):
        out = side - 4
        cost = 2 * out * out * n_out * n_in * 25
        first = first or cost
        forward += cost
        side, n_in = out // 2, n_out
    forward += 2 * (64 * side * side * 128 + 128 * 2)
    return forward / 1e9, (3 * forward - first) / 1e9


class Worker:
    """A contestant in a separate process."""

    def __init__(self, name: str, python: str, folder: Path, size_px: int, bs: int, log: Path) -> None:
        script = "keras_paper.py" if name == "keras" else "contestants.py"
        self.process = subprocess.Popen(
            [python, str(HERE / script), name], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=log.open("a"), text=True,
        )  # fmt: skip
        self.facts = self.ask(do="start", folder=str(folder), size_px=size_px, bs=bs)
        self.block()  # warm-up: first steps fill the allocator and the caches

    def ask(self, **request: Any) -> dict[str, Any]:
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"a contestant ended (exit {self.process.wait()}); see the log")
        response: dict[str, Any] = json.loads(line)
        return response

    def block(self) -> dict[str, Any]:
        return self.ask(do="block")

    def end(self) -> None:
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait(timeout=60)


def link_images(source: Path, target: Path, images: int) -> None:
    """train/ and valid/ class folders of links, half of the images from each class if it has enough."""
    files = {
        label.name: sorted(p for p in label.rglob("*") if p.is_file()) for label in source.iterdir() if label.is_dir()
    }
    wanted = {"train": images, "valid": VALID_IMAGES}
    taken = dict.fromkeys(files, 0)
    for part, count in wanted.items():
        for i in range(count):
            label = sorted(files)[i % len(files)]
            if taken[label] >= len(files[label]):
                label = max(files, key=lambda name: len(files[name]) - taken[name])
            path = files[label][taken[label]]
            taken[label] += 1
            link = target / part / label / path.name
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(path)


def copy_instead_of_links(target: Path) -> None:
    """Replace links by files: our own scan ignores links by default."""
    for link in target.rglob("*"):
        if link.is_symlink():
            data = link.resolve().read_bytes()
            link.unlink()
            link.write_bytes(data)


@dataclass
class Row:
    """One contestant at one size, and ours beside it in each precision; empty in one that was not."""

    name: str
    size_px: int
    img_s: list[float]
    ours_img_s: list[float]
    ours_bf16_img_s: list[float]
    cpu_ms: float
    faults: float
    peak_mb: float
    sgemm: list[float]
    conv: list[float]


def contestants(name: str, bf16: bool) -> list[str]:
    """The peer, and ours in its precision; beside the notebook in fp32, ours in both where there is `bf16`."""
    if name.endswith(BF16):
        return [f"ours{BF16}", name]
    return ["ours", name, *([f"ours{BF16}"] if bf16 and name == "fastai" else [])]


def compare(
    names: list[str], python: str, folder: Path, size_px: int, bs: int, pairs: int, log: Path, yard: Worker
) -> dict[str, Row]:
    """Blocks of ours and one peer, the second of the names, forwards and backwards in turn; the row of each."""
    workers = {
        name: Worker(name, python if name == names[1] else sys.executable, folder, size_px, bs, log) for name in names
    }
    seen: dict[str, list[dict[str, Any]]] = {key: [] for key in workers}
    _, cost = flops(size_px)
    for pair in range(pairs):
        for who in names if pair % 2 == 0 else reversed(names):
            before = yard.block()
            result = workers[who].block()
            after = yard.block()
            rate = result["images"] / result["wall"]
            shares = {
                share: rate * cost / ((before[rated] + after[rated]) / 2)
                for share, rated in (
                    ("sgemm", "gflops"),
                    ("conv", "conv_bf16_gflops" if who.endswith(BF16) else "conv_gflops"),
                )
            }
            seen[who].append({**result, "rate": rate, **shares})
            described = f"{shares['sgemm']:.2f} of sgemm, {shares['conv']:.2f} of the convolution"
            print(f"{size_px} px {who:22} {rate:8.1f} img/s  {described}", file=sys.stderr, flush=True)
    for worker in workers.values():
        worker.end()

    def row(who: str) -> Row:
        blocks = seen[who]
        images = sum(b["images"] for b in blocks)
        return Row(
            who, size_px, [b["rate"] for b in blocks], *([b["rate"] for b in seen.get(ours, [])] for ours in ("ours", f"ours{BF16}")),
            1000 * sum(b["cpu"] for b in blocks) / images, sum(b["faults"] for b in blocks) / images,
            max(b["peak_mb"] for b in blocks), [b["sgemm"] for b in blocks], [b["conv"] for b in blocks],
        )  # fmt: skip

    return {name: row(name) for name in names}


def beside(folder: Path, size_px: int, bs: int, pairs: int, log: Path, busy: int) -> list[dict[str, Any]]:
    """Blocks of every contestant alone and beside `busy` processes, in turn; img/s of both, pair by pair."""
    workers = {name: Worker(name, sys.executable, folder, size_px, bs, log) for name in BESIDE}
    rates: dict[str, dict[str, list[float]]] = {name: {"alone": [], "beside": []} for name in BESIDE}
    with Neighbours(busy) as neighbours:
        for pair in range(pairs):
            for how in ("alone", "beside") if pair % 2 == 0 else ("beside", "alone"):
                (neighbours.work if how == "beside" else neighbours.pause)()
                for name in BESIDE if pair % 2 == 0 else reversed(BESIDE):
                    result = workers[name].block()
                    rates[name][how].append(result["images"] / result["wall"])
                    print(
                        f"{size_px} px {how} {busy} {name:10} {rates[name][how][-1]:8.1f} img/s",
                        file=sys.stderr,
                        flush=True,
                    )
    for worker in workers.values():
        worker.end()
    ours = rates["ours"]
    return [
        {"name": name, "busy": busy, "size_px": size_px, "bs": bs, **rates[name],
         "own_share": ratio_of(rates[name]["beside"], rates[name]["alone"]),
         "ours": ratio_of(ours["beside"], rates[name]["beside"])}
        for name in BESIDE
    ]  # fmt: skip


def ratios(row: Row) -> dict[str, tuple[float, float, float] | None]:
    """Median of ours over median of the peer, in fp32 and in bf16; None where ours did not run beside it."""
    beside = {"ratio": row.ours_img_s, "ratio_bf16": row.ours_bf16_img_s}
    return {name: ratio_of(ours, row.img_s) if ours else None for name, ours in beside.items()}


def ratio_of(above: list[float], below: list[float], draws: int = 4000) -> tuple[float, float, float]:
    """Ratio of two medians, with a 95 % bootstrap interval over pairs of blocks."""
    upper, lower = np.array(above), np.array(below)
    picks = np.random.default_rng(0).integers(0, len(lower), (draws, len(lower)))
    drawn = np.median(upper[picks], axis=1) / np.median(lower[picks], axis=1)
    low, high = np.percentile(drawn, [2.5, 97.5])
    return float(np.median(upper) / np.median(lower)), float(low), float(high)


def machine_facts() -> list[str]:
    """Facts about the machine for the reader."""
    model = "unknown"
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), model)
    from importlib.metadata import version

    names = ("torch", "torchvision", "fastai", "numpy", "pillow")
    return [
        f"{model}, {os.cpu_count()} logical processors, {platform.system()}, Python {platform.python_version()}",
        ", ".join(f"{name} {version(name)}" for name in names),
        "each with the environment of a user; plainfilm lets waiting threads sleep" + _policy(),
        f"load average at the start {os.getloadavg()[0]:.2f}" if hasattr(os, "getloadavg") else "load unknown",
    ]


def _policy() -> str:
    found = os.environ.get("OMP_WAIT_POLICY")
    return f"; OMP_WAIT_POLICY={found} was set for all" if found else ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--data",
        type=Path,
        default=os.environ.get("PLAINFILM_DATA"),
        help="folder with chest_xray_224 and chest_xray_full",
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SETTINGS))
    parser.add_argument("--pairs", type=int, default=8)
    parser.add_argument("--peers", nargs="*", help="default: all; each speed switch at 224 px")
    parser.add_argument(
        "--keras-python", default=None, help="a Python with requirements-keras.txt; adds keras at 224 px"
    )
    parser.add_argument("--busy", type=int, nargs="*", default=[1], help="beside how many busy processes, at 224 px")
    parser.add_argument("--out", type=Path, default=HERE / "results")
    args = parser.parse_args()
    if args.data is None:
        raise SystemExit("Give --data or PLAINFILM_DATA: the folder with chest_xray_224 and chest_xray_full.")
    args.out.mkdir(exist_ok=True)
    facts = machine_facts()  # before any benchmark runs
    for size_px in args.sizes:
        bs, images = SETTINGS[size_px]
        source = args.data / ("chest_xray_full" if size_px == 512 else "chest_xray_224/train")
        at_224 = [*(["keras"] if args.keras_python else []), *(f"without-{name}" for name in SWITCHES)]
        with tempfile.TemporaryDirectory() as temp:
            folder = Path(temp) / "data"
            link_images(source, folder, images)
            copy_instead_of_links(folder)
            log = args.out / f"{size_px}.log"
            yard = Worker("yardstick", sys.executable, folder, size_px, bs, log)
            bf16, why = yard.facts["bf16"]
            every = [*PEERS, *(f"{name}{BF16}" for name in PEERS if bf16), *(at_224 if size_px == 224 else [])]
            for peer in every if args.peers is None else args.peers:
                if peer.endswith(BF16) and not bf16:
                    print(f"{peer} is left out: {why}", file=sys.stderr)
                    continue
                python = args.keras_python if peer == "keras" else sys.executable
                rows = compare(contestants(peer, bf16), python, folder, size_px, bs, args.pairs, log, yard)
                record = {
                    "peer": rows[peer].__dict__, "ours": [row.__dict__ for name, row in rows.items() if name != peer], **ratios(rows[peer]),
                    "without_bf16": "" if bf16 else why, "bs": bs, "images": images,
                    "machine": facts, **{name: value for name, value in yard.block().items() if name.endswith(("copy_gb_s", "gflops"))},
                }  # fmt: skip
                (args.out / f"{size_px}-{peer}.json").write_text(json.dumps(record, indent=1))
            yard.end()
            for busy in args.busy if size_px == 224 else []:
                loaded = beside(folder, size_px, bs, args.pairs, log, busy)
                (args.out / f"busy-{busy}.json").write_text(json.dumps({"rows": loaded, "machine": facts}, indent=1))
    from table import write_results

    write_results(args.out, HERE / "RESULTS.md")


if __name__ == "__main__":
    main()
