"""Keyed random streams: published values, and the statistics that draws depend on."""

import itertools

import numpy as np
import pytest

from plainfilm.base import seeds
from plainfilm.base.seeds import (
    AUGMENT,
    DROPOUT,
    INIT,
    ORDER,
    _splitmix64,
    content_key,
    mix,
    torch_seed,
    uniform,
)

GAMMA = 0x9E3779B97F4A7C15
MASK = 2**64 - 1


def by_hand(x: int) -> int:
    """One round in Python's own integers."""
    x = (x + GAMMA) & MASK
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & MASK
    return x ^ (x >> 31)


def mix_by_hand(*parts: int) -> int:
    state = 0
    for part in parts:
        state = by_hand(state ^ by_hand(part))
    return state


def test_splitmix64_gives_the_published_numbers() -> None:
    # The first outputs of splitmix64.c (S. Vigna) from the states 0 and 1234567; the state grows by GAMMA each time.
    assert int(_splitmix64(np.uint64(0))) == 0xE220A8397B1DCDAF
    states = np.array([1234567 + i * GAMMA & MASK for i in range(5)], dtype=np.uint64)
    assert _splitmix64(states).tolist() == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]


@pytest.mark.parametrize("parts", [(0,), (0, 0), (1, 2, 3), (2**63, 7), (0, ORDER, 0, 5, 2**62 + 1)])
def test_a_mix_equals_that_of_python_integers(parts: tuple[int, ...]) -> None:
    assert int(mix(*parts)) == mix_by_hand(*parts)


def test_the_numbers_of_a_run_never_change_between_versions() -> None:
    # Computed once with by_hand() above; another value means that old runs cannot be reproduced.
    assert int(mix(0, ORDER, 0, 0, 0)) == 9448219569539525645
    assert float(uniform(42, AUGMENT, 0, 3, 99)) == 0.09556111216417085
    assert torch_seed(7, DROPOUT, 1, 2) == 207517020215512479
    assert (ORDER, AUGMENT, DROPOUT, INIT) == (1, 2, 3, 4)


def test_order_and_number_of_parts_matter() -> None:
    drawn = [int(mix(*parts)) for parts in ((1, 2), (2, 1), (1, 2, 0), (0, 1, 2), (1,), (2,))]
    assert len(set(drawn)) == 6


def test_arrays_broadcast_to_the_numbers_drawn_one_by_one() -> None:
    keys, times = np.array([5, 6, 7]), np.array([[0], [1]])
    drawn = uniform(3, AUGMENT, keys, times)
    assert drawn.shape == (2, 3)
    for (i, time), (j, key) in itertools.product(enumerate((0, 1)), enumerate((5, 6, 7))):
        assert drawn[i, j] == uniform(3, AUGMENT, key, time)


def test_draws_are_in_0_to_1_and_uniform() -> None:
    drawn = uniform(0, ORDER, np.arange(100_000))
    assert drawn.min() >= 0
    assert drawn.max() < 1
    assert abs(drawn.mean() - 0.5) < 0.004  # sd of the mean: 0.2887 / sqrt(100,000) = 0.0009
    tenths = np.histogram(drawn, bins=10, range=(0, 1))[0]
    assert np.abs(tenths - 10_000).max() < 400  # sd 95
    assert len(np.unique(drawn)) == 100_000


def test_the_largest_hash_stays_below_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seeds, "mix", lambda *parts: np.array(2**64 - 1, dtype=np.uint64))
    assert uniform(1) < 1


def test_purposes_seeds_and_neighbours_are_uncorrelated() -> None:
    positions = np.arange(20_000)
    streams = [uniform(seed, purpose, positions) for seed in (0, 1) for purpose in (ORDER, AUGMENT, DROPOUT, INIT)]
    streams += [uniform(0, ORDER, positions + 1), uniform(0, ORDER, epoch := 1, positions)]
    assert epoch == 1
    correlation = np.corrcoef(streams) - np.eye(len(streams))
    assert np.abs(correlation).max() < 0.032  # 1 / sqrt(20,000) = 0.0071; 4.5 of these over 66 pairs


def test_the_process_wide_generators_are_left_alone() -> None:
    before = np.random.get_state()[1].copy()
    uniform(0, np.arange(10))
    np.testing.assert_array_equal(np.random.get_state()[1], before)


def test_a_torch_seed_fits_63_bits() -> None:
    drawn = [torch_seed(seed, INIT) for seed in range(1000)]
    assert all(0 <= seed < 2**63 for seed in drawn)
    assert len(set(drawn)) == 1000
    assert max(drawn) > 2**62


def test_a_content_key_is_the_first_63_bits_of_the_hash() -> None:
    assert content_key("ffffffffffffffff" + "0" * 48) == 2**63 - 1
    assert content_key("0000000000000003" + "f" * 48) == 1
