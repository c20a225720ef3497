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


def without_effect(gpu: GpuConfig, device: str) -> list[str]:
    """One note on keys that were set for a GPU and change nothing on this device; none where there are no such keys."""
    fields = type(gpu).model_fields.items()
    names = [f"train.gpu.{name}" for name, field in fields if getattr(gpu, name) != field.default]
    if not names or device == "cuda":
        return []
    does = "changes" if len(names) == 1 else "change"
    return [f"{' and '.join(names)} {does} nothing on the device {device}, only on a CUDA GPU."]
