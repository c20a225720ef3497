"""Right and wrong as cuts of correlated normal scores: how alike two cuts are, and which scores make them so alike."""

from __future__ import annotations

import math

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtri

from plainfilm.errors import UsageError

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(64)
_NEARLY_ONE = 1 - 1e-6


def cut_covariance(h: float, k: float, r: float) -> float:
    """Covariance of (z < h) and (w < k) for standard normals z, w with correlation `r`, 0..1; r = 1 needs h = k.

    Source: Plackett, Biometrika 1954;41:351; Drezner & Wesolowsky, J Stat Comput Simul 1990;35:101.
    """
    top = math.asin(r)
    angle = top * (_NODES + 1) / 2
    away = (h * h + k * k - 2 * h * k * np.sin(angle)) / (2 * np.cos(angle) ** 2)
    return float(top / 2 * (_WEIGHTS @ np.exp(-away)) / (2 * math.pi))


def latent_correlation(p: float, q: float, r: float) -> float:
    """Correlation of two normal scores whose cuts, true with probability `p` and `q`, have correlation `r`, 0..1.

    Raises:
        UsageError: no scores give it: events of different probability are never that alike.
    """
    h, k, scale = float(ndtri(p)), float(ndtri(q)), math.sqrt(p * (1 - p) * q * (1 - q))
    most = cut_covariance(h, k, _NEARLY_ONE) / scale
    if r > most:
        raise UsageError(
            f"A correlation of {r:g} is not possible between rates of {p:.4g} and {q:.4g}; it is at most "
            f"{math.floor(100 * most) / 100:g}. Give a lower --correlation."
        )
    return float(brentq(lambda x: cut_covariance(h, k, x) / scale - r, 0.0, _NEARLY_ONE, xtol=1e-9))
