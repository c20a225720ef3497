"""Prediction: our bundle against fastai's load_learner and learn.predict, with the same network and files.

python benchmarks/predict.py BUNDLE IMAGES [--images 1000] [--starts 7]

BUNDLE: of the paper's network; IMAGES: a folder of images, e.g. chest_xray_224/train. Each row is a separate process:
its time from the start to the first score, the latency of one image in process on one core, images per second with
the processor time per image, and its peak memory. The weights do not affect the times; fastai's learner is made here
with random ones.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent

OURS = """
import json, os, sys, time
if len(sys.argv) > 4: os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
from pathlib import Path
from plainfilm.export.scorer import open_bundle
bundle = open_bundle(Path(sys.argv[1]), threads=int(sys.argv[3]))
paths = json.loads(Path(sys.argv[2]).read_text())
"""
FASTAI = """
import json, os, sys, time
if len(sys.argv) > 4: os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
import torch
if len(sys.argv) > 4: torch.set_num_threads(1)
from pathlib import Path
from fastai.vision.all import load_learner
learn = load_learner(sys.argv[1])
paths = json.loads(Path(sys.argv[2]).read_text())
"""
LOOP = """
for path in paths[:10]: {one}
taken = []
for path in paths[:200]:
    began = time.perf_counter(); {one}; taken.append(time.perf_counter() - began)
print(json.dumps(taken))
"""
MANY = """
{many}
began, cpu = time.perf_counter(), time.process_time(); {many}
print(json.dumps([len(paths) / (time.perf_counter() - began), 1000 * (time.process_time() - cpu) / len(paths)]))
"""
WAYS = {
    "plainfilm": (OURS, "bundle.predict_path(path)", "n = sum(1 for _ in bundle.predict_many(paths))"),
    "fastai": (
        FASTAI,
        "learn.no_bar().__enter__(); learn.predict(path)",
        "learn.no_bar().__enter__(); learn.get_preds(dl=learn.dls.test_dl(paths, bs=64))",
    ),
}


def run(code: str, *args: object) -> tuple[list[float], float, float]:
    """The output of a process, its seconds from start to end, and its peak memory in MB."""
    began = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, "-c", code, *map(str, args)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as child:
        text = child.stdout.read() if child.stdout else ""
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"a process failed with exit {child.returncode}")
    seconds = time.perf_counter() - began
    return json.loads(text.splitlines()[-1]), seconds, usage.ru_maxrss / 1024


def make_learner(folder: Path, size_px: int, images: list[str]) -> Path:
    """fastai's export of the paper's network on these images."""
    code = (
        "import sys, json\nfrom pathlib import Path\nsys.path.insert(0, sys.argv[4])\n"
        "from contestants import paper_net_as_published\nfrom fastai.vision.all import *\n"
        "paths = json.loads(Path(sys.argv[2]).read_text())\n"
        "dls = ImageDataLoaders.from_lists(sys.argv[1], [Path(p) for p in paths[:64]], ['A', 'B'] * 32, "
        "item_tfms=Resize(int(sys.argv[3]), method='squish'), bs=16, num_workers=0)\n"
        "learn = Learner(dls, paper_net_as_published(int(sys.argv[3])), loss_func=CrossEntropyLossFlat(), path=sys.argv[1])\n"
        "learn.export('learner.pkl')\nprint('[0]')"
    )
    (folder / "paths.json").write_text(json.dumps(images), encoding="utf-8")
    run(code, folder, folder / "paths.json", size_px, HERE)
    return folder / "learner.pkl"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("folder", metavar="images", type=Path)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--starts", type=int, default=7)
    args = parser.parse_args()
    size_px = json.loads((args.bundle / "card.json").read_text())["decode"]["size_px"]
    every = sorted(str(path) for path in args.folder.rglob("*") if path.suffix in (".png", ".jpeg", ".jpg"))
    chosen = list(itertools.islice(every, 0, None, max(1, len(every) // args.images)))[: args.images]
    cores = len(os.sched_getaffinity(0))
    print(f"{len(chosen)} images, {size_px} px, {cores} processors, load average {os.getloadavg()[0]:.2f}\n")
    with tempfile.TemporaryDirectory() as scratch:
        learner = make_learner(Path(scratch), size_px, chosen)
        paths = Path(scratch) / "paths.json"
        print(
            "| | start to first score, s | one image, ms (p50, p95), one core | img/s, all cores | CPU ms per image | peak MB |"
        )
        print("|---|---|---|---|---|---|")
        starts: dict[str, list[float]] = {name: [] for name in WAYS}
        for _ in range(args.starts + 1):  # in turn, so that a busy minute affects both; the first fills the disk cache
            for name, (setup, one, _many) in WAYS.items():
                source = args.bundle if name == "plainfilm" else learner
                starts[name].append(run(f"{setup}path = paths[0]\n{one}\nprint('[0]')", source, paths, cores)[1])
        command = [sys.executable, "-m", "plainfilm", "predict", str(args.bundle), chosen[0], "-q"]
        cli = []
        for _ in range(args.starts):
            began = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True)
            cli.append(time.perf_counter() - began)
        for name, (setup, one, many) in WAYS.items():
            source = args.bundle if name == "plainfilm" else learner
            taken, _, _ = run(setup + LOOP.format(one=one), source, paths, 1, "one core")
            speed, _, peak = run(setup + MANY.format(many=many), source, paths, cores)
            p50, p95 = (1000 * statistics.quantiles(taken, n=100)[k] for k in (49, 94))
            print(
                f"| {name} | {statistics.median(starts[name][1:]):.2f} | {p50:.1f}, {p95:.1f} | {speed[0]:.0f} | {speed[1]:.1f} | {peak:.0f} |"
            )
        print(f"\nplainfilm predict BUNDLE FILE, the command: median {statistics.median(cli):.2f} s of {args.starts}")


if __name__ == "__main__":
    main()
