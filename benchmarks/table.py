"""The measured blocks as a Markdown table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

NAMES = {
    "fastai": "plain fastai notebook", "torch": "plain PyTorch loop", "keras": "the paper's way in Keras 3",
    "in-memory": "hand-written loop, all in RAM", "bare-step": "our step alone, no data path",
}  # fmt: skip


def write_results(results: Path, out: Path) -> None:
    """RESULTS.md from the JSON of each size and peer; other parts of the file below the marker stay."""
    records = [json.loads(path.read_text()) for path in sorted(results.glob("*-*.json"))]
    lines = [
        "# Benchmarks",
        "",
        "Written by `make bench`. One row per peer: blocks of training on the same images, network (Zelenina et al.),",
        "batch size and fp32, in ABBA order with ours, end to end with decoding, augmentation and a small validation.",
        "The ratio is the median of ours over the median of the peer with a 95 % bootstrap interval over pairs;",
        "roofline is the share of what two-thread fp32 sgemm of 1024 reached just before and after each block.",
        "",
    ]
    for size_px in sorted({record["peer"]["size_px"] for record in records}):
        mine = [record for record in records if record["peer"]["size_px"] == size_px]
        lines += [f"## {size_px} px, batch size {mine[0]['bs']}, {mine[0]['images']} images a block", ""]
        lines += [
            "| | img/s | roofline | CPU ms/img | page faults/img | peak MB | ours / this |",
            "|---|---|---|---|---|---|---|",
        ]
        for record in sorted(mine, key=lambda r: list(NAMES).index(r["peer"]["name"])):
            lines.append(_line(record["peer"], record["ratio"]))
        fullest = max(mine, key=lambda record: len(record["ours"]["img_s"]))
        lines += [_line(fullest["ours"], None), ""]
        for fact in mine[0]["machine"]:
            lines.append(f"- {fact}")
        spread = [record["gflops"] for record in mine]
        lines += [f"- sgemm at the end of each comparison: {min(spread):.0f} to {max(spread):.0f} GFLOP/s; memory copy "
                  f"{min(r['copy_gb_s'] for r in mine):.1f} to {max(r['copy_gb_s'] for r in mine):.1f} GB/s", ""]  # fmt: skip
    kept = ""
    if out.exists() and MARKER in (text := out.read_text(encoding="utf-8")):
        kept = text[text.index(MARKER) :]
    out.write_text("\n".join(lines) + "\n" + (kept or MARKER + "\n"), encoding="utf-8")


MARKER = "<!-- below: measured by hand, with the command beside each number -->"


def _line(row: dict[str, Any], ratio: list[float] | None) -> str:
    name = "**plainfilm**" if row["name"] == "ours" else NAMES[row["name"]]
    shown = f"{ratio[0]:.2f} [{ratio[1]:.2f}, {ratio[2]:.2f}]" if ratio else ""
    return (
        f"| {name} | {np.median(row['img_s']):.1f} | {np.median(row['roofline']):.2f} | {row['cpu_ms']:.1f} "
        f"| {row['faults']:.0f} | {row['peak_mb']:.0f} | {shown} |"
    )
