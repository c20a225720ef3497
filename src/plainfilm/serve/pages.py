"""What a browser gets: the page, the model card, styles, script and drawn examples, all made once at the start."""

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
from plainfilm.schemas.documents import RESEARCH_ONLY
from plainfilm.serve.answers import Predictor
from plainfilm.serve.limits import MB, Limits
from plainfilm.serve.markdown import blocks

if TYPE_CHECKING:
    from plainfilm.export.bundle_card import BundleCard

_STATIC = {"serve.css": "text/css", "serve.js": "text/javascript", "icon.svg": "image/svg+xml"}
# static/examples/: films drawn by draw_phantom(256, seed=900_001), since drawing needs scipy, which a bundle does not.
_EXAMPLES = ((7, False), (7, True), (12, True))  # their patient and opacity
_FLAGS = {  # of Prediction.flags, for people
    ABSTAIN: "By the abstain band more than one class, or none, fits this score: somebody should look.",
    OOD: "The input gate finds this picture far from those the network learned from; its score says little.",
}

_LOUD = re.compile(r"[A-Z]{4,}[A-Z ]*:")  # notes such as "SHORTCUT: ..." that stand before any score
_MEASURED = {"auroc": "AUROC", "sensitivity": "Sensitivity", "specificity": "Specificity"}
_OF_CLASSES = {"auroc": "AUROC, mean over the classes", "accuracy": "Accuracy"}  # where no class is the positive one


class Pages:
    """Every address that is answered with the same bytes each time.

    Args:
        port: of the curl example. token: whether one is asked for.
    """

    def __init__(self, oracle: Predictor, limits: Limits, *, port: int, token: bool) -> None:
        environment = Environment(
            loader=PackageLoader("plainfilm", "templates"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
        )
        environment.filters["shown"] = sanitized
        card = oracle.bundle.card
        model = {
            "vocab": card.vocab, "positive": card.positive, "threshold": card.threshold, "size_px": card.size_px,
            "heat": oracle.heat is not None, "flags": _FLAGS,
        }  # fmt: skip
        facts: dict[str, Any] = {
            "version": __version__, "research_only": RESEARCH_ONLY, "card": card, "model": model, "first": [note for note in card.notes if _LOUD.match(note)],
            "notes": [note for note in card.notes if not _LOUD.match(note)], "metrics": list(_scores(card)), "limits": limits, "mb": MB,
            "heat": oracle.heat is not None, "port": port, "token": token,
            "examples": [f"examples/{i}.png" for i in range(len(_EXAMPLES))],
        }  # fmt: skip
        self._made: dict[str, tuple[bytes, str]] = {
            "/": (environment.get_template("serve.html.j2").render(facts).encode(), "text/html"),
            "/card": (
                environment.get_template("serve_card.html.j2")
                .render(facts, blocks=blocks(oracle.bundle.card_markdown()))
                .encode(),
                "text/html",
            ),
        }
        for name, kind in _STATIC.items():
            self._made[f"/static/{name}"] = ((files("plainfilm.serve") / "static" / name).read_bytes(), kind)
        for i in range(len(_EXAMPLES)):
            film = files("plainfilm.serve") / "static" / "examples" / f"{i}.png"
            self._made[f"/examples/{i}.png"] = (film.read_bytes(), "image/png")

    @property
    def paths(self) -> tuple[str, ...]:
        """All addresses."""
        return tuple(self._made)

    def give(self, path: str) -> Callable[[Request], Awaitable[Response]]:
        """What answers at `path`."""
        content, kind = self._made[path]

        async def answer(request: Request) -> Response:
            return Response(content, media_type=kind)

        return answer


def _scores(card: BundleCard) -> Iterator[tuple[str, str]]:
    """What the model is worth, the test set's numbers before valid's, as name and text."""
    where = "test" if "test" in card.metrics else "valid"
    if where in card.metrics:
        for name, title in (_MEASURED if card.positive else _OF_CLASSES).items():
            metric = card.metrics[where].metrics.get(name)
            if metric is not None and metric.value is not None:
                between = "" if metric.ci_low is None else f" [{metric.ci_low:.3f}, {metric.ci_high:.3f}]"
                yield f"{title}, {where} images", f"{metric.value:.3f}{between}, n\u00a0=\u00a0{metric.n:,}"
