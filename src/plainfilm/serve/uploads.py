"""The images of one multipart request, counted byte by byte while they arrive.

Names that a client sends (of files, of form fields) are never kept: no response, log or path can hold one.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect

from plainfilm.serve.limits import MB, Limits, RefusedError
from plainfilm.serve.memory import Held

_BROKEN = "The body is not complete multipart/form-data. Send each image as one part: curl -F file=@IMAGE."


class Upload:
    """Takes a body in chunks of any size; `images` are its complete parts, in order."""

    def __init__(self, content_type: str, limits: Limits, held: Held) -> None:
        self.limits, self.held = limits, held
        self.images: list[bytearray] = []
        self.size = 0  # of the body so far
        self._part: bytearray | None = None
        self._kept = 0  # bytes of parts, as counted in `held`
        self._ended = False
        self._parser = MultipartParser(
            _boundary(content_type),
            {
                "on_part_begin": self._begin,
                "on_part_data": self._data,
                "on_part_end": self._end,
                "on_end": self._finish,
            },
            max_header_count=8,
            max_header_size=4096,
        )

    def write(self, chunk: bytes) -> None:
        """The next bytes of the body.

        Raises:
            RefusedError: 400 it is not multipart, 413 a limit is exceeded, 503 all requests together hold too much.
        """
        self.size += len(chunk)
        if self.size > self.limits.request:
            raise too_large(self.limits)
        try:
            self._parser.write(chunk)
        except MultipartParseError:
            raise RefusedError(400, _BROKEN) from None

    def finish(self) -> list[bytearray]:
        """All images of the body.

        Raises:
            RefusedError: 400, the body ended early or holds no part.
        """
        if not self._ended:
            raise RefusedError(400, _BROKEN)
        if not self.images:
            raise RefusedError(400, "The request holds no image. Send each one as a part: curl -F file=@IMAGE.")
        return self.images

    def forget(self, index: int) -> None:
        """Forget one image and give its bytes back."""
        n, self.images[index] = len(self.images[index]), bytearray()
        self.held.give_back(n)
        self._kept -= n

    def close(self) -> None:
        """Forget the images and give their bytes back."""
        self.images, self._part = [], None
        self.held.give_back(self._kept)
        self._kept = 0

    def _begin(self) -> None:
        if len(self.images) >= self.limits.parts:
            raise RefusedError(413, f"The request has more than {self.limits.parts} parts. Send fewer images at once.")
        self._part = bytearray()

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._part is None:
            raise RefusedError(400, _BROKEN)
        if len(self._part) + end - start > self.limits.part:
            raise RefusedError(
                413, f"An image is larger than {self.limits.part // MB} MB; --max-mb N admits larger ones."
            )
        self.held.take(end - start)
        self._kept += end - start
        self._part += data[start:end]

    def _end(self) -> None:
        self.images.append(self._part if self._part is not None else bytearray())  # no copy
        self._part = None

    def _finish(self) -> None:
        self._ended = True


def too_large(limits: Limits) -> RefusedError:
    """The refusal of a request beyond the limit."""
    return RefusedError(413, f"The request is larger than {limits.request // MB} MB. Send fewer images at once.")


def _boundary(content_type: str) -> bytes:
    kind, options = parse_options_header(content_type)
    if kind != b"multipart/form-data":
        raise RefusedError(415, "Expected multipart/form-data with one image per part: curl -F file=@IMAGE.")
    boundary = options.get(b"boundary", b"")
    if not 1 <= len(boundary) <= 70:  # RFC 2046
        raise RefusedError(400, _BROKEN)
    return boundary


async def read_images(upload: Upload, body: AsyncIterator[bytes]) -> list[bytearray]:
    """The images of a body while it arrives.

    Raises:
        RefusedError: as Upload; 408 when the body arrives too slowly.
    """
    limits, arrived, clock = upload.limits, 0, asyncio.get_running_loop().time
    try:
        async with asyncio.timeout(limits.total), asyncio.timeout(limits.idle) as pace:
            async for chunk in body:
                await upload.held.make_room(len(chunk))
                upload.write(chunk)
                arrived += len(chunk)
                if arrived >= limits.least:
                    arrived = 0
                    pace.reschedule(clock() + limits.idle)
    except TimeoutError:
        raise RefusedError(408, "The body arrived too slowly. Send it again.") from None
    return upload.finish()


async def drain(body: AsyncIterator[bytes], most: int, seconds: float) -> None:
    """Read and drop what a refused client still sends, at most `most` bytes: a client that is sending reads no response."""
    left = most
    with contextlib.suppress(TimeoutError, ClientDisconnect):  # one that hangs up meanwhile needs no response either
        async with asyncio.timeout(seconds):
            async for chunk in body:
                left -= len(chunk)
                if left < 0:
                    return
