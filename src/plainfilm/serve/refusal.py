"""A request that is not answered: why, in one line that holds nothing of what was sent."""

from __future__ import annotations


class RefusedError(Exception):
    """Ends a request with an HTTP status; `retry_after` is in seconds, for 503."""

    def __init__(self, status: int, why: str, retry_after: int | None = None) -> None:
        super().__init__(why)
        self.status, self.why, self.retry_after = status, why, retry_after
