"""What a browser gets: the page, the model card, styles, script and drawn examples, all built once at startup."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterator
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import Response

from plainfilm import __version__
from plainfilm.base.sanitize import sanitized
from plainfilm.export.scorer import ABSTAIN, OOD
from plainfilm.schemas import not_judged
from plainfilm.schemas.documents import HEAT_MAPS, RESEARCH_ONLY
from plainfilm.schemas.number_text import estimate_text
from plainfilm.serve.limits import MB, Limits
from plainfilm.serve.markdown import as_html
from plainfilm.serve.predictor import Predictor

if TYPE_CHECKING:
    from plainfilm.export.bundle_card import BundleCard

_STATIC = {"serve.css": "text/css", "serve.js": "text/javascript", "icon.svg": "image/svg+xml"}
# static/examples/: images drawn by draw_phantom(256, seed=900_001); drawing needs scipy, which a bundle does not.
_EXAMPLES = ((7, False), (7, True), (12, True))  # their patient and opacity
_FLAGS = {  # of Prediction.flags, for people
    ABSTAIN: "By the abstain band, more than one class, or none, fits this score: a person should read this image.",
    OOD: "The out-of-distribution (OOD) gate finds this image far from the training images; its score says little.",
    not_judged.NO_BAND: "This model has no abstain band: whether it is sure of this score was not judged.",
    not_judged.NO_GATE: "This model has no out-of-distribution (OOD) gate: whether this image is like the training images was not judged.",
}
_NOT_JUDGED = (not_judged.NO_BAND, not_judged.NO_GATE)

_LOUD = re.compile(r"[A-Z]{4,}[A-Z ]*:")  # notes such as "SHORTCUT: ..." that come before any score
_MEASURED = {"auroc": "AUROC", "sensitivity": "Sensitivity", "specificity": "Specificity"}
_OF_CLASSES = {"auroc": "AUROC, mean over the classes", "accuracy": "Accuracy"}  # where no class is positive


class Pages:
    """Every path whose response never changes.

    Args:
        port: in the curl example. token: whether one is required.
    """

    def __init__(self, predictor: Predictor, limits: Limits, *, port: int, token: bool) -> None:
        environment = Environment(
            loader=PackageLoader("plainfilm", "templates"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
        )
        environment.filters["sanitized"] = sanitized
        card = predictor.bundle.card
        model = {
            "vocab": card.vocab, "positive": card.positive, "threshold": card.threshold, "size_px": card.size_px,
            "heat": predictor.heat is not None, "flags": _FLAGS, "not_judged": _NOT_JUDGED,
        }  # fmt: skip
        about_heat = [note for note in card.notes if note.startswith(HEAT_MAPS)]  # shown with each heat map
        notes = [note for note in card.notes if note not in about_heat]
        facts: dict[str, Any] = {
            "version": __version__, "research_only": RESEARCH_ONLY, "card": card, "model": model, "first": [note for note in notes if _LOUD.match(note)],
            "notes": [note for note in notes if not _LOUD.match(note)], "about_heat": about_heat, "metrics": list(_scores(card)), "limits": limits, "mb": MB,
            "heat": predictor.heat is not None, "port": port, "token": token, "not_judged": not_judged,
            "examples": [f"examples/{i}.png" for i in range(len(_EXAMPLES))],
        }  # fmt: skip
        self._made: dict[str, tuple[bytes, str]] = {
            "/": (environment.get_template("serve.html.j2").render(facts).encode(), "text/html"),
            "/card": (
                environment.get_template("serve_card.html.j2")
                .render(facts, body=as_html(predictor.bundle.card_markdown()))
                .encode(),
                "text/html",
            ),
        }
        for name, kind in _STATIC.items():
            self._made[f"/static/{name}"] = ((files("plainfilm.serve") / "static" / name).read_bytes(), kind)
        for i in range(len(_EXAMPLES)):
            example = files("plainfilm.serve") / "static" / "examples" / f"{i}.png"
            self._made[f"/examples/{i}.png"] = (example.read_bytes(), "image/png")

    @property
    def paths(self) -> tuple[str, ...]:
        """All paths."""
        return tuple(self._made)

    def endpoint(self, path: str) -> Callable[[Request], Awaitable[Response]]:
        """The endpoint for `path`."""
        content, kind = self._made[path]

        async def endpoint(request: Request) -> Response:
            return Response(content, media_type=kind)

        return endpoint


def _scores(card: BundleCard) -> Iterator[tuple[str, str]]:
    """What the model is worth, as name and text; the test set's numbers if there are any, else valid's."""
    where = "test" if "test" in card.metrics else "valid"
    if where in card.metrics:
        for name, title in (_MEASURED if card.positive else _OF_CLASSES).items():
            metric = card.metrics[where].metrics.get(name)
            if metric is not None and metric.value is not None:
                yield f"{title}, {where} images", f"{estimate_text(metric)}, n\u00a0=\u00a0{metric.n:,}"
