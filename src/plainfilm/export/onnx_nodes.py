"""Nodes that no exported network has, found in an ONNX file before ONNX Runtime opens it.

A loop may never end, a branch may hide one. The file is protobuf; only its graph's nodes are read, weights are skipped.
Source: onnx/onnx.proto (field numbers); Protocol Buffers encoding, https://protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from plainfilm.errors import BundleError

_REFUSED = frozenset({b"Loop", b"Scan", b"If", b"SequenceMap"})
_GRAPH, _FUNCTION, _TRAINING = 7, 25, 20  # of ModelProto
_NODE = {_GRAPH: 1, _FUNCTION: 7}
_OP_TYPE, _ATTRIBUTE = 4, 5  # of NodeProto
_SUBGRAPHS = frozenset({6, 11})  # of AttributeProto
_VARINT, _EIGHT, _BYTES, _FOUR = 0, 1, 2, 5  # kinds of field
_MOST_FIELDS = 1_000_000  # 3 s; densenet121 has 17,000


def refuse_loops(model: bytes | Path) -> None:
    """Refuse a network with a loop, a branch or any other subgraph.

    Raises:
        BundleError: it has one, too many parts, or is no protobuf.
    """
    with io.BytesIO(model) if isinstance(model, bytes) else model.open("rb") as file:
        end = file.seek(0, io.SEEK_END)
        file.seek(0)
        try:
            found = _Fields(file).refused(end)
        except ValueError as error:
            raise BundleError(f"model.onnx of the bundle cannot be loaded ({error}). Export it again.") from None
    if found:
        raise BundleError(
            f"E_LIMIT: model.onnx of the bundle holds a {found}, which no exported network does and which may never end; "
            "it was not opened. Export it again."
        )


class _Fields:
    """The fields of a file, read in order."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file, self.read = file, 0

    def refused(self, end: int) -> str:
        """What a model that ends at `end` has and may not have; '' for nothing."""
        for part, part_end in self._of(end):
            if part == _TRAINING:
                return "training graph"
            for field, field_end in self._of(part_end) if part in _NODE else ():
                if field == _NODE[part] and (found := self._in_node(field_end)):
                    return found
        return ""

    def _in_node(self, end: int) -> str:
        for field, field_end in self._of(end):
            if field == _OP_TYPE and field_end - self.file.tell() < 16:
                name = self.file.read(field_end - self.file.tell())
                if name in _REFUSED:
                    return name.decode()
            elif field == _ATTRIBUTE and any(inner in _SUBGRAPHS for inner, _ in self._of(field_end)):
                return "subgraph"
        return ""

    def _of(self, end: int) -> Iterator[tuple[int, int]]:
        """Number and end of each field with a length up to `end`; the caller may read any part of it."""
        while (at := self.file.tell()) < end:
            self.read += 1
            number, kind = divmod(self._number(1 << 32), 8)
            at = self._end_of(kind)
            if at > end or self.read > _MOST_FIELDS:
                raise ValueError("damaged" if at > end else "too many parts")
            if kind == _BYTES:
                yield number, at
            self.file.seek(at)

    def _end_of(self, kind: int) -> int:
        """Where the field of a kind ends whose number was just read."""
        if kind == _VARINT:
            self._number(1 << 70)
        sizes = {_VARINT: 0, _EIGHT: 8, _FOUR: 4}
        if kind not in (*sizes, _BYTES):
            raise ValueError("damaged")
        size = self._number(1 << 32) if kind == _BYTES else sizes[kind]
        return self.file.tell() + size

    def _number(self, below: int) -> int:
        """A variable-length integer; one that is not below `below` is damage."""
        value = shift = 0
        while shift < 70:
            byte = self.file.read(1)
            if not byte:
                break
            value |= (byte[0] & 127) << shift
            shift += 7
            if byte[0] < 128:
                if value >= below:
                    break
                return value
        raise ValueError("damaged")
