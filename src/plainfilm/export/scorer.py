"""Images to scores with a bundle and ONNX Runtime: numpy and Pillow, never torch or fastai.

Each worker thread decodes a few images and scores them itself, on one core: no thread waits for another, and some
images are decoded while others are scored.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from threading import Event
from typing import Any, TypeVar

import numpy as np
from pydantic import ValidationError

from plainfilm.base.json_text import json_model
from plainfilm.data.errors import DecodeError
from plainfilm.data.image import sandbox
from plainfilm.data.image.layout import channels_first, channels_last
from plainfilm.data.image.modes import NO_DEPTH
from plainfilm.errors import BundleError
from plainfilm.evaluate.metrics.predicted_class import predicted_classes
from plainfilm.evaluate.ood.ood_gate import OODGate, gate_from, is_marked
from plainfilm.evaluate.operating.conformal import is_singleton
from plainfilm.export.bundle_card import BundleCard
from plainfilm.export.manifest import CARD, GATE, MODEL_CARD, ONNX, WEIGHTS, Source, opened, verify
from plainfilm.export.network import INPUT, OUTPUTS, Network, open_network
from plainfilm.export.onnx_nodes import refuse_loops
from plainfilm.schemas.not_judged import NO_BAND, NO_GATE

ABSTAIN, OOD = "abstain", "out of distribution"
# an image of 224 px takes 8 MB of feature maps in the paper's network, one of 512 px takes 45
BATCH, BATCH_PIXELS = 8, 8 * 224 * 224
_AHEAD = 2  # batches in flight per thread


@dataclass(frozen=True)
class Prediction:
    """What a bundle predicts for one image.

    `label`: the predicted class, '' where there is no score; `score`: probability of the positive class, or of `label`
    with more than two classes; `probs`: by class; `flags`: of ABSTAIN or NO_BAND, and OOD or NO_GATE; `error`: why there is no score, else ''.
    """

    label: str = ""
    score: float | None = None
    probs: dict[str, float] = field(default_factory=dict)
    flags: tuple[str, ...] = ()
    error: str = ""


class Bundle:
    """A verified bundle, ready to score; safe to use from several threads at once."""

    def __init__(self, card: BundleCard, markdown: str, gate: OODGate | None, network: Network, threads: int) -> None:
        self.card, self.threads = card, threads
        self._markdown, self._gate, self._network = markdown, gate, network
        self._spec = card.decode_spec()
        self._batch = max(1, min(BATCH, BATCH_PIXELS // card.size_px**2))

    @property
    def gate(self) -> OODGate | None:
        """The out-of-distribution gate; None for a bundle without one."""
        return self._gate

    def card_markdown(self) -> str:
        """The text of MODEL_CARD.md."""
        return self._markdown

    def at(self, threshold: float) -> Bundle:
        """The same bundle with another threshold on the score of the positive class, 0..1."""
        card = self.card.model_copy(update={"threshold": threshold, "threshold_rule": "given to predict"})
        return Bundle(card, self._markdown, self._gate, self._network, self.threads)

    def reading(self, bits: int) -> Bundle:
        """The same bundle, for integers above 8 bits of another depth than those it was trained on."""
        card = self.card.model_copy(update={"decode": {**self.card.decode, "bits": bits}})
        return Bundle(card, self._markdown, self._gate, self._network, self.threads)

    def pixels(self, data: bytes | Path | str) -> np.ndarray:
        """An image as the network sees it, uint8 (c, h, w).

        Raises:
            DecodeError: it cannot be read as a single still image.
        """
        if isinstance(data, bytes):
            return _network_input(sandbox.pixels_of(data, self._spec))
        return _network_input(sandbox.pixels_of_file(data, self._spec))

    def quick_image_or_error(self, data: bytes) -> np.ndarray | Prediction | None:
        """image_or_error(); None for an image that may take seconds to decode."""

        def pixels(data: bytes) -> np.ndarray | None:
            found = sandbox.quick_pixels_of(data, self._spec)
            return None if found is None else _network_input(found)

        return _or_error(pixels, data)

    def image_or_error(self, one: bytes | Path | str) -> np.ndarray | Prediction:
        """The pixels() of a file, or a prediction with its `error`."""
        return _or_error(self.pixels, one)

    def predict_path(self, path: Path | str) -> Prediction:
        """The prediction for one file; a file that cannot be read has its `error` filled."""
        return self._predict([path])[0]

    def predict_bytes(self, data: bytes) -> Prediction:
        """The prediction for a file that is in memory."""
        return self._predict([data])[0]

    def predict_many(self, paths: Iterable[Path | str]) -> Iterator[Prediction]:
        """Predictions in the order of `paths`, which are read lazily: memory does not grow with their number."""
        for _, prediction in self.predict_each(paths):
            yield prediction

    def predict_each(self, paths: Iterable[Path | str]) -> Generator[tuple[Path | str, Prediction], None, None]:
        """As predict_many(), each with its path."""
        todo, left, running = iter(paths), Event(), deque[tuple[list[Path | str], Future[list[Prediction]]]]()
        pool = ThreadPoolExecutor(self.threads, initializer=sandbox.thread_start())  # no `with`: it would wait
        try:
            while True:
                while len(running) < _AHEAD * self.threads and (batch := list(islice(todo, self._batch))):
                    running.append((batch, pool.submit(self._predict, batch, left)))
                if not running:
                    break
                batch, future = running.popleft()
                yield from zip(batch, future.result(), strict=True)
        except BaseException:
            left.set()  # Ctrl-C waits neither for the rest of a batch
            pool.shutdown(wait=False, cancel_futures=True)  # nor for the queue
            sandbox.kill_children()  # nor for an image or a network that takes seconds
            self._network.kill()
            raise
        pool.shutdown()

    def stop(self) -> None:
        """End the network's own processes at once, and open no other."""
        self._network.kill(for_good=True)

    def _predict(self, batch: list[Any], left: Event | None = None) -> list[Prediction]:
        """Predictions of a few files; none once `left` is set: nobody waits for them."""
        found: list[np.ndarray | Prediction] = []
        since = self._network.begun()  # before `left` is read, which is set before the kill
        for one in batch:
            if left is not None and left.is_set():
                return []
            found.append(self.image_or_error(one))
        images = [one for one in found if isinstance(one, np.ndarray)]
        scored = iter(self._scored(np.stack(images), since) if images else [])
        return [one if isinstance(one, Prediction) else next(scored) for one in found]

    def score(self, pixels: np.ndarray) -> list[Prediction]:
        """Predictions for images uint8 (n, c, h, w), as pixels() gives them.

        Raises:
            BundleError: the network or the gate fails on them.
        """
        return self._scored(pixels, None)

    def _scored(self, pixels: np.ndarray, since: int | None) -> list[Prediction]:
        logits, probs, ood = self._run(pixels, since)
        card = self.card
        if card.recalibration is not None:  # model.onnx still has the parent's scaling
            probs = card.scaling.probs(logits)
        positive = card.positive_index
        predicted = predicted_classes(probs, positive=positive, threshold=card.threshold)
        abstained = None if card.band is None else ~is_singleton(card.band, probs, predicted, card.vocab)
        outside = None if ood is None else is_marked(ood)
        band = _flags(abstained, ABSTAIN, NO_BAND, len(probs))
        flags = [a + b for a, b in zip(band, _flags(outside, OOD, NO_GATE, len(probs)), strict=True)]
        return [self._prediction(*row, positive) for row in zip(probs, predicted, flags, strict=True)]

    def outputs(self, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Logits float (n, k) of images uint8 (n, c, h, w), and their OOD scores (n,), None without a gate.

        Raises:
            BundleError: the network or the gate fails on them.
        """
        logits, _, ood = self._run(pixels)
        return logits, ood

    def _run(self, pixels: np.ndarray, since: int | None = None) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        try:
            logits, probs, features = self._network.run(pixels, since)
            shape = (len(pixels), len(self.card.vocab))
            if not (logits.shape == probs.shape == shape and features.shape[:1] == shape[:1]):
                raise ValueError("outputs of other images or classes")
            ood = None if self._gate is None else self._gate.score(channels_last(pixels), features)[0]
            return logits.astype(np.float64), probs.astype(np.float64), ood
        except BundleError:
            raise
        except Exception as error:  # noqa: BLE001 - ONNX Runtime raises a dozen types of its own, which share only Exception
            raise BundleError(
                f"The network or the gate of the bundle fails ({type(error).__name__}). Export it again."
            ) from None

    def _prediction(
        self, probs: np.ndarray, predicted: int, flags: tuple[str, ...], positive: int | None
    ) -> Prediction:
        if not (np.isfinite(probs).all() and (probs >= 0).all() and abs(probs.sum() - 1) < 1e-3):
            return Prediction(error="E_SCORE: the network's outputs are not probabilities")
        vocab = self.card.vocab
        score = float(probs[predicted if positive is None else positive])
        return Prediction(vocab[predicted], score, dict(zip(vocab, probs.tolist(), strict=True)), flags)


_T = TypeVar("_T")


def _or_error(pixels: Callable[[Any], _T], one: Any) -> _T | Prediction:
    """What `pixels` gives of a file, or a prediction with its `error`."""
    try:
        return pixels(one)
    except DecodeError as error:
        folder = not isinstance(one, bytes) and os.path.isdir(one)  # a folder that could not be listed
        return Prediction(error="E_READ: the folder cannot be read" if folder else f"{error.code}: {_fact(error)}")
    except ImportError:
        return Prediction(error="E_CODEC: the library that reads this kind of file is not installed")
    except (OSError, ValueError):  # a NUL byte, or a name that this system cannot write
        return Prediction(error="E_READ: the file cannot be opened")


def _network_input(pixels: np.ndarray) -> np.ndarray:
    """uint8 (c, h, w) from uint8 (h, w) or (h, w, c)."""
    return np.ascontiguousarray(channels_first(pixels[None])[0])


def _flags(found: np.ndarray | None, yes: str, unknown: str, n: int) -> list[tuple[str, ...]]:
    """The flag of each of n images from bool (n,), or from None where nothing judges them."""
    return [(unknown,)] * n if found is None else [(yes,) if one else () for one in found]


def _fact(error: DecodeError) -> str:
    """Why a trained model cannot read an image; training options, which the error may suggest, cannot help here."""
    return "more than 8 bits; this model takes 8-bit images" if error.fact == NO_DEPTH else error.fact


def open_bundle(path: Path, threads: int | None = None) -> Bundle:
    """A bundle folder or zip, checked against its manifest before any of it is loaded.

    Args:
        threads: of predict_many(); None takes one per processor that this process may use.
    Raises:
        BundleError: a file is modified, missing, unexpected, or does not fit the others.
        MissingError: ONNX Runtime is not installed.
    """
    with opened(Path(path)) as source:
        # ONNX Runtime needs a third less memory, and starts faster, when it reads the file itself
        keep = {CARD, MODEL_CARD, GATE} if source.folder else {CARD, MODEL_CARD, GATE, ONNX}
        files, hashes = verify(source, keep=frozenset(keep))
        bundle = _bundle(source, files, hashes, threads)
        if source.folder and source.facts(ONNX).sha256 != hashes[ONNX]:
            raise BundleError("model.onnx of the bundle changed while it was loaded. Run the command again.")
    return bundle


def _bundle(source: Source, files: dict[str, bytes], hashes: dict[str, str], threads: int | None) -> Bundle:
    card = _card(files[CARD])
    if card.weights_sha256 != hashes[WEIGHTS] or card.gate_sha256 != hashes.get(GATE):
        raise BundleError(
            "card.json of the bundle describes another network or gate than the bundle holds. Export it again."
        )
    try:
        gate = gate_from(files[GATE]) if GATE in files else None
        markdown = files[MODEL_CARD].decode("utf-8")
    except (ValueError, KeyError, TypeError, IndexError):
        raise BundleError("gate.safetensors or MODEL_CARD.md of the bundle is damaged. Export it again.") from None
    if any(b"location" in part for part in source.parts(ONNX)):  # the key under which ONNX names a second file
        raise BundleError(
            "model.onnx of the bundle refers to another file, which a bundle never does. Export it again."
        )
    if next(source.parts(WEIGHTS), b"")[8:9] != b"{":  # after the header's length; only heat maps read the whole file
        raise BundleError(
            "model.safetensors of the bundle is not a safetensors file; it was not read. Export it again."
        )
    threads = threads or _processors()
    network = _network(source.folder / ONNX if source.folder else files.pop(ONNX), hashes[ONNX], card, threads)
    bundle = Bundle(card, markdown, gate, network, threads)
    # a bundle that cannot run is refused here
    bundle.score(np.zeros((1, card.channels, card.size_px, card.size_px), np.uint8))
    return bundle


def _card(data: bytes) -> BundleCard:
    try:
        card = json_model(BundleCard, data, CARD)
        card.decode_spec()
        fits = card.is_sound()
    except (ValidationError, RecursionError, TypeError, KeyError, ValueError):
        fits = False
    if not fits:
        raise BundleError(
            "card.json of the bundle is damaged, or was written by another version of plainfilm. Export the run again."
        )
    return card


def _network(model: bytes | Path, sha256: str, card: BundleCard, threads: int) -> Network:
    """The network, after checking its input and outputs against the card."""
    refuse_loops(model)
    network = open_network(model, sha256, card.size_px, threads)
    found = network.facts()
    shape = [card.channels, card.size_px, card.size_px]
    fits = [[name, kind, of[1:]] for name, kind, of in found["takes"]] == [[INPUT, "tensor(uint8)", shape]]
    fits &= tuple(name for name, _, _ in found["gives"]) == OUTPUTS and found["gives"][1][2][1:] == [len(card.vocab)]
    if not fits:
        raise BundleError("model.onnx of the bundle is not the network that card.json describes. Export it again.")
    return network


def _processors() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
