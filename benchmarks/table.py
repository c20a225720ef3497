"""The measured blocks as a Markdown table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from contestants import SWITCHES

NAMES = {
    "fastai": "plain fastai notebook", "torch": "plain PyTorch loop", "keras": "the paper's recipe in Keras 3",
    "two-per-core": "ours with two threads per core (`--threads`)", "in-memory": "hand-written loop, all in RAM", "bare-step": "our step alone, no data path",
    **{f"without-{name}": f"ours without {name}" for name in SWITCHES},
}  # fmt: skip


INTRO = """# Benchmarks

Written by `make bench`. One row per peer: blocks of training on the same images, network (Zelenina et al.),
batch size and fp32, in ABBA order with ours, each with its own loading, augmentation and a small validation.
Ours and the loop in RAM decoded the images before the first block; the others decode in every epoch, as they
do. What a run of ours writes after an epoch is not included (below).
The ratio is the median of ours over the median of the peer with a 95 % bootstrap interval over pairs.
Roofline: the network's arithmetic per second as a share of what fp32 sgemm of 1024, and the forward pass of a
convolution that suits the kernels (5x5, 64 to 64 channels), reached on all cores just before and after each
block. The second is the stricter one: torch's sgemm leaves more of these processors unused than convolutions do.
"""


def write_results(results: Path, out: Path) -> None:
    """Write RESULTS.md from the JSON of each size and peer; sections that were not measured, and the part of the file
    below the marker, are kept."""
    text = out.read_text(encoding="utf-8") if out.exists() else MARKER + "\n"
    head, _, kept = text.partition(MARKER)
    sections = {part.partition("\n")[0]: part.strip() for part in head.split("\n## ")[1:]}
    records = [json.loads(path.read_text()) for path in sorted(results.glob("[0-9]*-*.json"))]
    for size_px in sorted({record["peer"]["size_px"] for record in records}):
        lines = _size([record for record in records if record["peer"]["size_px"] == size_px])
        sections[lines[0]] = "\n".join(lines)
    for path in sorted(results.glob("busy-*.json")):
        lines = _beside(json.loads(path.read_text()))
        sections[lines[0]] = "\n".join(lines)
    order = sorted(sections, key=lambda title: (int(title.split()[0]), "beside" in title, title))
    out.write_text(
        INTRO + "".join(f"\n## {sections[title]}\n" for title in order) + f"\n{MARKER}{kept}", encoding="utf-8"
    )


def _size(mine: list[dict[str, Any]]) -> list[str]:
    """The section of one size, its heading without the signs."""
    lines = [
        f"{mine[0]['peer']['size_px']} px, batch size {mine[0]['bs']}, {mine[0]['images']} images per block",
        "",
        "| | img/s | of sgemm | of convolution | CPU ms/img | page faults/img | peak MB | ours / this |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for record in sorted(mine, key=lambda r: list(NAMES).index(r["peer"]["name"])):
        lines.append(_line(record["peer"], record["ratio"]))
    peers = [record for record in mine if not record["peer"]["name"].startswith("without-")]
    fullest = max(peers or mine, key=lambda record: len(record["ours"]["img_s"]))
    lines += [_line(fullest["ours"], None), "", *(f"- {fact}" for fact in mine[0]["machine"])]
    ends = ", ".join(
        f"{what} {min(r[key] for r in mine):.0f} to {max(r[key] for r in mine):.0f} {unit}"
        for what, key, unit in (("sgemm", "gflops", "GFLOP/s"), ("convolution", "conv_gflops", "GFLOP/s"),
                                ("memory copy", "copy_gb_s", "GB/s"))
    )  # fmt: skip
    return [*lines, f"- at the end of each comparison: {ends}"]


def _beside(record: dict[str, Any]) -> list[str]:
    """The section of one number of busy processes, its heading without the signs."""
    rows = record["rows"]
    processes = f"{rows[0]['busy']} busy process{'es' if rows[0]['busy'] > 1 else ''}"
    lines = [
        f"{rows[0]['size_px']} px, beside {processes}",
        "",
        "A busy process wants one core for itself. Blocks alone and beside it in turn, of all contestants.",
        "",
        f"| | img/s alone | img/s beside {processes} | beside / alone | ours / this, beside |",
        "|---|---|---|---|---|",
    ]
    for row in rows:
        ours = row["name"] == "ours"
        lines.append(
            f"| {'**plainfilm**' if ours else NAMES[row['name']]} | {np.median(row['alone']):.1f} | {np.median(row['beside']):.1f} "
            f"| {_ratio_text(row['own_share'])} | {'' if ours else _ratio_text(row['ours'])} |"
        )
    return [*lines, "", *(f"- {fact}" for fact in record["machine"])]


def _ratio_text(ratio: list[float]) -> str:
    return f"{ratio[0]:.2f} [{ratio[1]:.2f}, {ratio[2]:.2f}]"


MARKER = "<!-- below: measured by hand, with the command beside each number -->"


def _line(row: dict[str, Any], ratio: list[float] | None) -> str:
    name = "**plainfilm**" if row["name"] == "ours" else NAMES[row["name"]]
    shown = _ratio_text(ratio) if ratio else ""
    return (
        f"| {name} | {np.median(row['img_s']):.1f} | {np.median(row['sgemm']):.2f} | {np.median(row['conv']):.2f} "
        f"| {row['cpu_ms']:.1f} | {row['faults']:.0f} | {row['peak_mb']:.0f} | {shown} |"
    )
