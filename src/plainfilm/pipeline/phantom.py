"""`plainfilm phantom`: draw the synthetic set."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from plainfilm.base.events import EventCallback, silent
from plainfilm.schemas.data import PhantomDocument

if TYPE_CHECKING:
    from plainfilm.data.synthetic.planted_faults import Faults


def draw_phantom(
    out: Path, *, images: int, size_px: int, seed: int, faults: Faults | None = None, on_event: EventCallback = silent
) -> PhantomDocument:
    """`plainfilm phantom`: draw the synthetic set into a new folder, with planted faults if requested."""
    from plainfilm.data.synthetic.phantom import CLASSES
    from plainfilm.data.synthetic.planted_faults import Faults, write_planted

    faults = faults or Faults()
    of = images + faults.copies
    planted = write_planted(
        out,
        faults,
        images=images,
        size_px=size_px,
        seed=seed,
        progress=lambda done: on_event("draw", {"done": done, "of": of}),
    )
    files = list(out.rglob("phantom-*.*"))
    return PhantomDocument(
        out=str(out), images=len(files), patients=len({path.name.split("-")[1] for path in files}), size_px=size_px,
        seed=seed, classes={name: sum(path.parent.name == name for path in files) for name in CLASSES}, planted=planted,
    )  # fmt: skip
