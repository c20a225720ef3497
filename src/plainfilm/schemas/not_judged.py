"""The third state of every output: where nothing judges an image, it is neither kept nor marked."""

from __future__ import annotations

NO_BAND, NO_GATE = "no band", "no gate"  # flags of a prediction; without a flag both have judged, and neither objects
ABSTAINED, OUT_OF_DISTRIBUTION = "Abstained", "Out of distribution"
BAND_NOT_JUDGED, GATE_NOT_JUDGED = (f"not judged ({by})" for by in (NO_BAND, NO_GATE))
ABSTAINED_NOT_JUDGED = f"{ABSTAINED}: {BAND_NOT_JUDGED}"
OOD_NOT_JUDGED = f"{OUT_OF_DISTRIBUTION}: {GATE_NOT_JUDGED}"
KINDS_NOT_MEASURED = "Which kinds of images the gate marks: not measured"
OTHER_KINDS = "Any other kind, such as colour, photographs or another part of the body: not measured"
