"""The section train.gpu: what is done on a CUDA GPU alone."""

from __future__ import annotations

from plainfilm.config.keys import Section, key


class GpuConfig(Section):
    """Optimisations for training on a CUDA GPU, one key each; other devices do not use them."""

    resident: bool = key(
        True, "the decoded images are copied to the GPU once, where they fit in half of its free memory"
    )
    tf32: bool = key(
        False,
        "products in training take their factors with 10 bits after the point (TensorFloat-32); scores never do",
    )
    cudnn_benchmark: bool = key(
        True, "cuDNN times its kernels for each shape and keeps the fastest, which may be another one in the next run"
    )
    loss_every: int = key(
        32, "Steps between two readings of the loss, each of which waits for the GPU; divergence is seen at a reading.",
        unit="steps", ge=1,
    )  # fmt: skip
