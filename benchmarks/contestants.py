"""The contestants: our engine and the usual ways to train the same network without it.

Each contestant trains the paper's network (Zelenina et al.) with the same images and batch size, one pass over the
train folder and one over the same small valid folder per block; in fp32, or the network in bfloat16 where the name
ends in -bf16. Run as `python contestants.py NAME`; the worker
reads one JSON line per request on stdin and responds with one on stdout.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

# plainfilm.config.SPEED_SWITCHES; the Keras environment reads this file without plainfilm
SWITCHES = (
    "allocator", "channels_last", "pool_first", "fused", "plain_tensors", "gather", "grey_augment", "grey_first_layer",
    "packed_masks",
)  # fmt: skip


class Ours:
    """plainfilm's Learner as `plainfilm train` builds it. Images are decoded when the cache is built, before the first
    block; writing after each epoch (state, best weights, history) is excluded and measured by write_cost.py.

    `off`: a speed switch to turn off; `per_core`: threads for each core, or None for plainfilm's own choice; `bf16`:
    train.precision, whose validation stays fp32.
    """

    def __init__(
        self, folder: Path, size_px: int, bs: int, off: str | None = None, per_core: int | None = None,
        bf16: bool = False,
    ) -> None:  # fmt: skip
        # plainfilm first, as in the command: torch reads how threads wait when it is loaded
        from plainfilm.base.events import silent
        from plainfilm.config import load_config
        from plainfilm.data.cache.rows import decode_rows
        from plainfilm.data.image.decode import DecodeSpec
        from plainfilm.data.loaders.block import make_dls
        from plainfilm.data.table.image_table import scan_table
        from plainfilm.models.build import build_model
        from plainfilm.train.learner import make_learner
        from plainfilm.train.machine.speed import speed_up

        switches: dict[str, Any] = {f"train.speed.{off}": False} if off else {}
        switches |= {"train.speed.threads": per_core * (os.cpu_count() or 1)} if per_core else {}
        switches |= {"train.precision": "bf16"} if bf16 else {}
        cfg = load_config(options={"train.size_px": size_px, "train.batch_size": bs, **switches})
        speed_up(cfg.train.speed)
        table, _ = scan_table(folder, cfg.data)
        rows = table.rows.assign(split=table.rows["given"])
        pixels = decode_rows(rows, DecodeSpec(size_px))
        dls = make_dls(rows, pixels, cfg.train, vocab=table.classes)
        model = build_model(cfg.model, 2, size_px, 0, speed=cfg.train.speed)
        self.learn = make_learner(dls, model, cfg.train, path=Path(tempfile.mkdtemp()), on_event=silent)
        self.images = len(dls.train_ds)

    def block(self) -> None:
        self.learn.fit_one_cycle(1, 1e-4)


def autocast(bf16: bool) -> Any:
    """Inside, the network computes in bfloat16 if `bf16`, else as always."""
    import torch

    return torch.autocast("cpu", torch.bfloat16, enabled=bf16)


def paper_net_as_published(size_px: int) -> Any:
    """The network as in the paper: ReLU before the pool."""
    from torch import nn

    side, blocks, n_in = size_px, [], 3
    for n_out in (16, 32, 64):
        blocks += [nn.Conv2d(n_in, n_out, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.2)]
        side, n_in = (side - 4) // 2, n_out
    head = [nn.Flatten(), nn.Linear(64 * side * side, 128), nn.ReLU(), nn.Dropout(0.5), nn.Linear(128, 2)]
    return nn.Sequential(*blocks, *head)


class FastaiNotebook:
    """The plain fastai recipe: from_folder, Resize, aug_transforms, fit_one_cycle, default workers.

    `bf16`: what to_bf16() does on a GPU, autocast over forward pass and loss in training and validation. to_bf16()
    itself enters the autocast of CUDA, which changes nothing on a CPU.
    """

    def __init__(self, folder: Path, size_px: int, bs: int, bf16: bool = False) -> None:
        from fastai.vision.all import ImageDataLoaders, Learner, Resize, accuracy, aug_transforms

        dls = ImageDataLoaders.from_folder(
            folder, train="train", valid="valid", item_tfms=Resize(size_px, method="squish"),
            batch_tfms=aug_transforms(), bs=bs,
        )  # fmt: skip
        from torch import nn

        self.learn = Learner(
            dls, paper_net_as_published(size_px), loss_func=nn.CrossEntropyLoss(), metrics=accuracy,
            cbs=[_cpu_autocast()] if bf16 else [],
        )  # fmt: skip
        self.images = len(dls.train_ds) // bs * bs  # fastai drops the last incomplete batch

    def block(self) -> None:
        with self.learn.no_bar(), self.learn.no_logging():
            self.learn.fit_one_cycle(1, 1e-4)


def _cpu_autocast() -> Any:
    """fastai's MixedPrecision for bfloat16, with the CPU's autocast in place of CUDA's."""
    from fastai.callback.core import Callback

    class CpuAutocast(Callback):
        order = 10

        def before_batch(self) -> None:
            self.context = autocast(True)
            self.context.__enter__()

        def after_pred(self) -> None:
            self.learn.pred = self.pred.float()

        def after_loss(self) -> None:
            self.context.__exit__(None, None, None)

    return CpuAutocast()


class TorchLoop:
    """Plain PyTorch: ImageFolder, torchvision transforms, DataLoader with a worker per core, Adam; `bf16`: under autocast."""

    def __init__(self, folder: Path, size_px: int, bs: int, bf16: bool = False) -> None:
        import torch
        from torch import nn
        from torch.utils.data import DataLoader
        from torchvision import datasets, transforms

        train_tfms = transforms.Compose([
            transforms.Resize((size_px, size_px)), transforms.RandomAffine(10, (0.05, 0.05), (0.9, 1.1)), transforms.ColorJitter(0.2, 0.2),
            transforms.ToTensor(), transforms.Normalize([0.5] * 3, [0.25] * 3),
        ])  # fmt: skip
        valid_tfms = transforms.Compose(
            [transforms.Resize((size_px, size_px)), transforms.ToTensor(), transforms.Normalize([0.5] * 3, [0.25] * 3)]
        )
        workers = os.cpu_count() or 1
        train = datasets.ImageFolder(str(folder / "train"), train_tfms)
        self.train = DataLoader(train, bs, shuffle=True, num_workers=workers)
        self.valid = DataLoader(datasets.ImageFolder(str(folder / "valid"), valid_tfms), bs, num_workers=workers)
        self.model, self.loss = paper_net_as_published(size_px), nn.CrossEntropyLoss()
        self.optimiser = torch.optim.Adam(self.model.parameters(), 1e-4)
        self.images, self.bf16 = len(train), bf16

    def block(self) -> None:
        import torch

        self.model.train()
        for x, y in self.train:
            self.optimiser.zero_grad()
            with autocast(self.bf16):
                loss = self.loss(self.model(x), y)
            loss.backward()
            self.optimiser.step()
            loss.item()  # as every tutorial prints it
        self.model.eval()
        with torch.no_grad(), autocast(self.bf16):
            for x, y in self.valid:
                (self.model(x).argmax(1) == y).sum().item()


class InMemory:
    """The upper bound: everything in RAM, every optimisation we know, and a minimal loop; `bf16`: under autocast."""

    def __init__(self, folder: Path, size_px: int, bs: int, bf16: bool = False) -> None:
        import torch
        from torch import nn

        from plainfilm.config import DataConfig
        from plainfilm.data.cache.rows import decode_rows
        from plainfilm.data.image.decode import DecodeSpec
        from plainfilm.data.table.image_table import scan_table
        from plainfilm.models.dropout import pack_masks
        from plainfilm.models.paper import PaperNet
        from plainfilm.train.machine.speed import keep_memory

        keep_memory()
        table, _ = scan_table(folder, DataConfig())
        rows = table.rows
        pixels = torch.from_numpy(decode_rows(rows, DecodeSpec(size_px))[:])
        targets = torch.from_numpy((rows["label"] == rows["label"].max()).to_numpy().astype(np.int64))
        train = torch.from_numpy((rows["given"] == "train").to_numpy())
        self.x, self.y, self.vx, self.vy = pixels[train], targets[train], pixels[~train], targets[~train]
        self.model = PaperNet(2, size_px).to(memory_format=torch.channels_last)
        pack_masks(self.model)
        self.loss, self.bs, self.images, self.bf16 = nn.CrossEntropyLoss(), bs, len(self.x), bf16
        self.optimiser = torch.optim.AdamW(self.model.parameters(), 1e-4, fused=True)

    def block(self) -> None:
        import torch
        from torch.nn import functional

        self.model.train()
        order = torch.randperm(len(self.x))
        for start in range(0, len(order), self.bs):
            rows = order[start : start + self.bs]
            x = self.x[rows][:, None].float().div_(255)
            n = len(rows)
            angle, zoom = (torch.rand(n) - 0.5) * 0.35, 1 + (torch.rand(n) - 0.5) * 0.2
            cos, sin, zero = torch.cos(angle) * zoom, torch.sin(angle) * zoom, torch.zeros(n)
            matrix = torch.stack([torch.stack([cos, -sin, zero], 1), torch.stack([sin, cos, zero], 1)], 1)
            grid = functional.affine_grid(matrix, list(x.shape), align_corners=False)
            x = functional.grid_sample(x, grid, padding_mode="border", align_corners=False)
            gain = 1 + (torch.rand(n, 1, 1, 1) - 0.5) * 0.4
            x = x.sub_(0.5).mul_(gain).add_(0.5).clamp_(0, 1).sub_(0.5).div_(0.25)
            self.optimiser.zero_grad(set_to_none=True)
            with autocast(self.bf16):
                loss = self.loss(self.model(x), self.y[rows])
            loss.backward()
            self.optimiser.step()
        self.model.eval()
        with torch.no_grad(), autocast(self.bf16):
            for start in range(0, len(self.vx), self.bs):
                x = self.vx[start : start + self.bs][:, None].float().div_(255).sub_(0.5).div_(0.25)
                self.model(x)


class BareStep(InMemory):
    """Forward, backward and optimiser step of our network on one constant batch: no data path at all."""

    def block(self) -> None:
        import torch

        self.model.train()
        rows = torch.arange(self.bs) % len(self.x)
        x = self.x[rows][:, None].float().div_(255).sub_(0.5).div_(0.25)
        y = self.y[rows]
        steps = max(1, len(self.x) // self.bs)
        self.images = steps * self.bs
        for _ in range(steps):
            self.optimiser.zero_grad(set_to_none=True)
            with autocast(self.bf16):
                loss = self.loss(self.model(x), y)
            loss.backward()
            self.optimiser.step()


class Yardstick:
    """Speed of this machine at this moment, on all threads: fp32 sgemm of 1024, the forward pass of a convolution that
    suits the kernels (5x5, 64 to 64 channels, 112 px, channels_last), also in bfloat16 where the processor has it, and
    memory copy.

    `bf16`: whether it has, and what says so.
    """

    def __init__(self, folder: Path, size_px: int, bs: int) -> None:
        import torch

        self.a, self.b = torch.rand(1024, 1024), torch.rand(1024, 1024)
        self.out, self.copy = torch.empty(1024, 1024), torch.rand(32 << 20)
        self.target = torch.empty_like(self.copy)
        last = torch.channels_last
        self.image = torch.rand(4, 64, 112, 112).to(memory_format=last)
        self.conv = torch.nn.Conv2d(64, 64, 5, bias=False).to(memory_format=last).requires_grad_(False)
        self.images = 0
        from plainfilm.train.machine.precision import bf16_support

        self.bf16 = bf16_support("cpu")
        self.conv_bf16 = torch.nn.Conv2d(64, 64, 5, bias=False).to(torch.bfloat16, memory_format=last)
        self.conv_bf16.requires_grad_(False)
        self.image_bf16 = self.image.bfloat16()

    def block(self) -> dict[str, float]:
        import torch

        rates, copies, convs, convs_bf16 = [], [], [], []
        conv_flop = 2 * 4 * 108 * 108 * 64 * 64 * 25
        for _ in range(12):
            started = time.perf_counter()
            for _ in range(8):
                torch.mm(self.a, self.b, out=self.out)
            rates.append(8 * 2 * 1024**3 / (time.perf_counter() - started) / 1e9)
            started = time.perf_counter()
            self.target.copy_(self.copy)
            copies.append(2 * self.copy.numel() * 4 / (time.perf_counter() - started) / 1e9)
            started = time.perf_counter()
            self.conv(self.image)
            convs.append(conv_flop / (time.perf_counter() - started) / 1e9)
            if self.bf16[0]:
                started = time.perf_counter()
                self.conv_bf16(self.image_bf16)
                convs_bf16.append(conv_flop / (time.perf_counter() - started) / 1e9)
        return {
            "gflops": float(np.median(rates)), "conv_gflops": float(np.median(convs)), "best_gflops": max(rates),
            "copy_gb_s": float(np.median(copies)), **({"conv_bf16_gflops": float(np.median(convs_bf16))} if convs_bf16 else {}),
        }  # fmt: skip


_IN_EITHER = {"ours": Ours, "fastai": FastaiNotebook, "torch": TorchLoop, "in-memory": InMemory, "bare-step": BareStep}
CONTESTANTS = {
    **_IN_EITHER, **{f"{name}-bf16": partial(contestant, bf16=True) for name, contestant in _IN_EITHER.items()},
    "two-per-core": partial(Ours, per_core=2), "yardstick": Yardstick, **{f"without-{name}": partial(Ours, off=name) for name in SWITCHES},
}  # fmt: skip


def usage() -> tuple[float, int]:
    """CPU seconds and minor page faults of this process and its ended children."""
    mine, ended = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = mine.ru_utime + mine.ru_stime + ended.ru_utime + ended.ru_stime
    return cpu, mine.ru_minflt + ended.ru_minflt


def serve(make: dict[str, Any]) -> None:
    """Serve requests until stdin ends."""
    responses = os.fdopen(os.dup(1), "w")
    with contextlib.redirect_stdout(sys.stderr):
        name, contestant = sys.argv[1], None
        for line in sys.stdin:
            request = json.loads(line)
            if request["do"] == "start":
                contestant = make[name](Path(request["folder"]), request["size_px"], request["bs"])
                response: dict[str, Any] = {"images": contestant.images, "bf16": getattr(contestant, "bf16", None)}
            else:
                cpu, faults = usage()
                started = time.perf_counter()
                rates = contestant.block() or {}
                wall = time.perf_counter() - started
                cpu_after, faults_after = usage()
                response = {
                    "wall": wall, "cpu": cpu_after - cpu, "faults": faults_after - faults, "images": contestant.images,
                    "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, **rates,
                }  # fmt: skip
            print(json.dumps(response), file=responses, flush=True)


if __name__ == "__main__":
    serve(CONTESTANTS)
