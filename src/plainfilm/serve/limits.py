"""Limits on one request, and on all requests together."""

from __future__ import annotations

from dataclasses import dataclass

MB = 1_000_000


@dataclass(frozen=True)
class Limits:
    """Sizes in bytes, times in seconds; each is counted while reading, no header is trusted."""

    part: int = 32 * MB  # one image; a 16-bit image of 3,000 x 4,000 pixels without compression is 24 MB
    request: int = 128 * MB
    parts: int = 64
    held: int = 512 * MB  # of all images and responses in memory
    queue: int = 32  # whole requests that wait for the model
    idle: float = 10.0  # for `least` bytes of a body, or for a client to read as much as its connection can buffer
    least: int = 64_000  # of a body, each `idle` seconds
    total: float = 120.0  # for a whole body
    head: float = 10.0  # for the headers, and between two requests
    connections: int = 512

    @classmethod
    def for_images_of(cls, mb: int, queue: int) -> Limits:
        """The limits for images of up to `mb` MB: a request may hold four of them, all requests sixteen."""
        return cls(part=mb * MB, request=max(4 * mb, 16) * MB, held=max(16 * mb, 64) * MB, queue=queue)


class RefusedError(Exception):
    """Ends a request with an HTTP status; `retry_after` is in seconds, for 503."""

    def __init__(self, status: int, why: str, retry_after: int | None = None) -> None:
        super().__init__(why)
        self.status, self.why, self.retry_after = status, why, retry_after
