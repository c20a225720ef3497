"""The measured blocks as a Markdown table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from contestants import SWITCHES

NAMES = {
    "ours": "**plainfilm**", "fastai": "plain fastai notebook", "torch": "plain PyTorch loop", "keras": "the paper's recipe in Keras 3",
    "two-per-core": "ours with two threads per core (`--threads`)", "in-memory": "hand-written loop, all in RAM", "bare-step": "our step alone, no data path",
    **{f"without-{name}": f"ours without {name}" for name in SWITCHES},
    "ours-bf16": "**plainfilm in bf16** (`--precision bf16`)", "fastai-bf16": "plain fastai notebook under bf16 autocast",
    "torch-bf16": "plain PyTorch loop under bf16 autocast", "in-memory-bf16": "hand-written loop, all in RAM, bf16",
    "bare-step-bf16": "our step alone, no data path, bf16",
}  # fmt: skip


INTRO = """# Benchmarks

Written by `make bench`. One row per peer: blocks of training on the same images, network (Zelenina et al.),
batch size and precision, in ABBA order with ours, each with its own loading, augmentation and a small validation.
Ours and the loop in RAM decoded the images before the first block; the others decode in every epoch, as they
do. What a run of ours writes after an epoch is not included (below).
The ratio is the median of ours over the median of the peer with a 95 % bootstrap interval over pairs.
Roofline: the network's arithmetic per second as a share of what fp32 sgemm of 1024, and the forward pass of a
convolution that suits the kernels (5x5, 64 to 64 channels), reached on all cores just before and after each
block. The second is the stricter one: torch's sgemm leaves more of these processors unused than convolutions do.
A row in bf16 is compared with the convolution in bf16. Ours in bf16 validates in fp32, the others in bf16.
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
    own = _own_rows(mine)
    lines = [
        f"{mine[0]['peer']['size_px']} px, batch size {mine[0]['bs']}, {mine[0]['images']} images per block",
        "",
        "| | img/s | of sgemm | of convolution | CPU ms/img | page faults/img | peak MB | ours / this |",
        "|---|---|---|---|---|---|---|---|",
    ]
    if "ours-bf16" in own:
        lines[2:] = [f"{lines[2]} ours in bf16 / this |", f"{lines[3]}---|"]
    for record in sorted(mine, key=lambda r: list(NAMES).index(r["peer"]["name"])):
        lines.append(_line(record["peer"], record, own))
    lines += [_line(row, {}, own) for row in own.values()]
    lines += ["", *(f"- {fact}" for fact in mine[0]["machine"])]
    lines += sorted({f"- no rows in bf16: {why}" for record in mine if (why := record.get("without_bf16"))})
    ends = ", ".join(
        f"{what} {min(r[key] for r in mine):.0f} to {max(r[key] for r in mine):.0f} {unit}"
        for what, key, unit in (("sgemm", "gflops", "GFLOP/s"), ("convolution", "conv_gflops", "GFLOP/s"),
                                ("convolution in bf16", "conv_bf16_gflops", "GFLOP/s"), ("memory copy", "copy_gb_s", "GB/s"))
        if all(key in r for r in mine)
    )  # fmt: skip
    return [*lines, f"- at the end of each comparison: {ends}"]


def _own_rows(mine: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Our own rows by name, fp32 first, each of the comparison with the most blocks; of a speed switch only without another."""
    found: dict[str, dict[str, Any]] = {}
    # both of ours ran in the comparison with the notebook in fp32
    for record in sorted(mine, key=lambda r: (r["peer"]["name"].startswith("without-"), r["peer"]["name"] != "fastai")):
        for row in record["ours"] if isinstance(record["ours"], list) else [record["ours"]]:
            switch = record["peer"]["name"].startswith("without-")
            if row["name"] not in found or (len(row["img_s"]) > len(found[row["name"]]["img_s"]) and not switch):
                found[row["name"]] = row
    return dict(sorted(found.items()))


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


def _line(row: dict[str, Any], ratios: dict[str, Any], own: dict[str, Any]) -> str:
    columns = ("ratio", "ratio_bf16") if "ours-bf16" in own else ("ratio",)
    shown = " | ".join(_ratio_text(ratios[key]) if ratios.get(key) else "" for key in columns)
    return (
        f"| {NAMES[row['name']]} | {np.median(row['img_s']):.1f} | {np.median(row['sgemm']):.2f} | {np.median(row['conv']):.2f} "
        f"| {row['cpu_ms']:.1f} | {row['faults']:.0f} | {row['peak_mb']:.0f} | {shown} |"
    )
