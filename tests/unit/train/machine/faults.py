"""Page faults per image of a training step, and a hash of the gradients, with the allocator's setting and without."""

import ctypes
import hashlib
import os
import resource

import torch

from plainfilm.config import ModelConfig
from plainfilm.models.build import build_model
from plainfilm.train.machine import speed

PR_SET_THP_DISABLE = 41  # one fault per 4 kB page, however many huge pages the machine has free
IMAGES, SIZE = (
    64,
    160,
)  # the first layer's output: 100 MB, above the 32 MB to which glibc raises its threshold by itself


def faults_per_image(keep: bool) -> tuple[float, str]:
    if keep:
        speed.keep_memory()
    torch.set_num_threads(1)
    model = build_model(ModelConfig(), 2, SIZE)
    torch.manual_seed(0)
    x, y = torch.rand(IMAGES, 1, SIZE, SIZE), torch.zeros(IMAGES, dtype=torch.long)

    def steps(n: int) -> None:
        for _ in range(n):
            model.zero_grad()
            torch.manual_seed(1)
            torch.nn.functional.cross_entropy(model(x), y).backward()

    steps(3)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    steps(3)
    faults = (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) / (3 * IMAGES)
    bits = b"".join(p.grad.contiguous().numpy().tobytes() for p in model.parameters() if p.grad is not None)
    return faults, hashlib.sha256(bits).hexdigest()


ctypes.CDLL(None).prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0)  # a forked process inherits it
for keep in (True, False):
    if (pid := os.fork()) == 0:  # the setting holds for good in the process that makes it
        print(*faults_per_image(keep), flush=True)
        os._exit(0)
    os.waitpid(pid, 0)
