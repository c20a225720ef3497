"""What a GPU does in another way than the CPU, computed on the CPU."""

import torch

from plainfilm.data.loaders.augment_batch import _beside, _noise


def test_parameters_sent_together_keep_their_shapes_and_values():
    x = torch.zeros(2, 1, 3, 3, dtype=torch.float64)
    matrix, gain = torch.rand(2, 2, 3).numpy(), torch.rand(2).numpy()
    m, g = _beside(x, matrix, gain)
    assert (m.shape, g.shape, m.dtype) == ((2, 2, 3), (2,), torch.float64)
    assert (m.float().numpy() == matrix).all() and (g.float().numpy() == gain).all()
    assert m.is_contiguous()


def test_noise_is_a_function_of_its_seed_alone():
    x = torch.zeros(2, 1, 5, 4)
    first, other = _noise(x, 1), _noise(x, 2)
    torch.rand(3)
    assert torch.equal(first, _noise(x[:1], 1))
    assert not torch.equal(first, other)
    assert first.shape == (5, 4)
