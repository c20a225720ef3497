"""What a shortcut can learn from 2,000 drawn films of 64 px: from the file or border nothing, from brightness little.

AUROC of patient-grouped five-fold cross-validation, with a 95 % interval from 200 bootstrap draws of whole patients.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from PIL import Image
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from plainfilm.data.synthetic.phantom import write_phantom

pytestmark = [pytest.mark.slow, pytest.mark.campaign]  # in .ci/run

IMAGES, SIZE_PX = 2000, 64
CLASSIFIERS = {
    "logistic regression": lambda: make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=300)),
    "boosted trees": lambda: HistGradientBoostingClassifier(max_iter=60, random_state=0),
}


@dataclass(frozen=True)
class Films:
    pixels: np.ndarray  # float (n, SIZE_PX, SIZE_PX), 0..1
    file_facts: np.ndarray  # float (n, 4): file size, width, height, bytes per pixel
    targs: np.ndarray  # int (n,), 1 = PNEUMONIA
    patients: np.ndarray  # int (n,)


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Films:
    out = tmp_path_factory.mktemp("phantom") / "set"
    write_phantom(out, images=IMAGES, size_px=SIZE_PX, seed=0)
    paths = sorted(out.rglob("*.png"))
    pixels, facts = [], []
    for path in paths:
        with Image.open(path) as image:
            pixels.append(np.asarray(image) / 255.0)
            facts.append((path.stat().st_size, *image.size))
    return Films(
        pixels=np.stack(pixels),
        file_facts=np.array([(size, w, h, size / (w * h)) for size, w, h in facts]),
        targs=np.array([int(path.parent.name == "PNEUMONIA") for path in paths]),
        patients=np.array([int(path.stem.split("-")[1]) for path in paths]),
    )


def border_ring(films: Films) -> np.ndarray:
    """The outer 8 % on each side, every fourth pixel of it, float (n, 348)."""
    width = int(np.ceil(0.08 * SIZE_PX))
    ring = np.ones((SIZE_PX, SIZE_PX), dtype=bool)
    ring[width:-width, width:-width] = False
    return films.pixels[:, ring][:, ::4]


def thumbnails(films: Films) -> np.ndarray:
    """Means of 8 x 8 fields, float (n, 64)."""
    step = SIZE_PX // 8
    return films.pixels.reshape(-1, 8, step, 8, step).mean(axis=(2, 4)).reshape(-1, 64)


def brightness(films: Films) -> np.ndarray:
    """Mean, standard deviation and nine percentiles of the whole film, float (n, 11)."""
    flat = films.pixels.reshape(len(films.pixels), -1)
    percentiles = np.percentile(flat, [1, 5, 10, 25, 50, 75, 90, 95, 99], axis=1).T
    return np.column_stack([flat.mean(axis=1), flat.std(axis=1), percentiles])


def probe(features: np.ndarray, films: Films, classifier: str) -> tuple[float, float, float]:
    """AUROC, ci_low, ci_high of a classifier that never saw the patient it scores."""
    folds = StratifiedGroupKFold(5, shuffle=True, random_state=0)
    model = CLASSIFIERS[classifier]()
    with threadpool_limits(1):  # on a busy two-core machine the threads' waiting made this 50x slower
        probs = cross_val_predict(
            model, features, films.targs, groups=films.patients, cv=folds, method="predict_proba"
        )[:, 1]
    of_patient = [np.flatnonzero(films.patients == patient) for patient in np.unique(films.patients)]
    rng = np.random.default_rng(0)
    aurocs = []
    for _ in range(200):
        rows = np.concatenate([of_patient[i] for i in rng.integers(0, len(of_patient), len(of_patient))])
        aurocs.append(roc_auc_score(films.targs[rows], probs[rows]))
    return float(roc_auc_score(films.targs, probs)), *map(float, np.percentile(aurocs, [2.5, 97.5]))


@pytest.mark.parametrize("classifier", CLASSIFIERS)
@pytest.mark.parametrize("features", [lambda films: films.file_facts, border_ring], ids=["file facts", "border ring"])
def test_the_file_and_the_border_tell_nothing(
    features: Callable[[Films], np.ndarray], classifier: str, films: Films
) -> None:
    auroc, ci_low, ci_high = probe(features(films), films, classifier)
    assert ci_low <= 0.5 <= ci_high, f"{classifier}: {auroc:.3f} [{ci_low:.3f}, {ci_high:.3f}]"


@pytest.mark.parametrize("classifier", CLASSIFIERS)
@pytest.mark.parametrize("features", [thumbnails, brightness])
def test_brightness_tells_little(features: Callable[[Films], np.ndarray], classifier: str, films: Films) -> None:
    auroc, ci_low, ci_high = probe(features(films), films, classifier)
    assert auroc <= 0.80, f"{classifier}: {auroc:.3f} [{ci_low:.3f}, {ci_high:.3f}]"


def test_the_probe_finds_a_planted_shortcut(films: Films) -> None:
    marked = np.column_stack([films.file_facts, films.targs + np.random.default_rng(0).normal(0.0, 1.0, IMAGES)])
    _, ci_low, _ = probe(marked, films, "logistic regression")
    assert ci_low > 0.65  # two classes one standard deviation apart: 0.76


def test_the_set_is_the_size_that_was_asked_for(films: Films) -> None:
    assert films.pixels.shape == (IMAGES, SIZE_PX, SIZE_PX)
    assert films.targs.sum() == IMAGES // 2
