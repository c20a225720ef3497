"""Decoding in a child process, for files that are not ours: one that hangs, crashes or takes all memory is one E_LIMIT.

The pixels are the same: the child runs decode_bytes() or inspect(). The mode holds for the whole process.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict
from importlib import import_module
from typing import Any, Literal, cast

import numpy as np

from plainfilm.base.child_process import ChildError, ChildLimits, ChildPool
from plainfilm.data.dicom.plain import is_coded_dicom
from plainfilm.data.errors import NO_MEMORY, DecodeError
from plainfilm.data.image import decode
from plainfilm.data.image.cheap import may_cost
from plainfilm.data.image.decode import DecodeSpec, ImageFacts

Mode = Literal["auto", "on", "off"]
_LIMITS = ChildLimits()
_CODED_BYTES_A_SECOND = 2_000_000  # of JPEG 2000
_ALONE = threading.Lock()  # one costly file at a time, as in decode()
_pools: dict[int, ChildPool] = {}  # by process: a fork must not write into the pipes of its parent
_mode: Mode = "auto"
_stopped = False


def use(mode: Mode) -> None:
    """From now on decode `on`: every file in a child; `auto`: those that may cost much; `off`: none."""
    global _mode, _stopped
    _mode, _stopped = mode, False


@contextlib.contextmanager
def used(mode: Mode) -> Iterator[None]:
    """use() for the duration."""
    before = _mode
    use(mode)
    try:
        yield
    finally:
        use(before)


def stop() -> None:
    """End all children at once; what is still asked of them is E_LIMIT, until use() runs."""
    global _stopped
    _stopped = True
    kill_children()


def kill_children() -> None:
    """End all children at once; the files that they decode are E_LIMIT, the next one starts another child."""
    for pool in list(_pools.values()):
        pool.kill()


def pixels_of(data: bytes, spec: DecodeSpec) -> np.ndarray:
    """decode_bytes(), in a child where the mode says so.

    Raises:
        DecodeError: as decode_bytes(); E_LIMIT where it takes too long or too much memory, or its decoder crashes.
    """
    if not _apart(data):
        return decode.decode_bytes(data, spec)
    _, found = _reply({"spec": spec.as_dict()}, data)
    shape = (spec.size_px, spec.size_px, *((3,) if spec.channels == 3 else ()))
    if len(found) != np.prod(shape):
        raise _failed(ChildError("died"))
    return np.frombuffer(found, np.uint8).reshape(shape).copy()


def facts_of(data: bytes, *, tiff: bool, frame: int | None, key: bytes | None) -> ImageFacts:
    """inspect(), in a child where the mode says so; raises as pixels_of()."""
    if not _apart(data):
        return decode.inspect(data, tiff=tiff, frame=frame, key=key)
    found, _ = _reply({"inspect": {"tiff": tiff, "frame": frame, "key": key and key.hex()}}, data)
    try:
        return ImageFacts(**found["facts"])
    except (KeyError, TypeError):
        raise _failed(ChildError("died")) from None


def number_of(task: str, data: bytes, options: dict[str, Any]) -> int:
    """What the function 'module:name' gives for a file's bytes, in a child where the mode says so; raises as pixels_of()."""
    if not _apart(data):
        return _function(task)(data, **options)
    found, _ = _reply({"task": task, "options": options}, data)
    return int(found.get("number", 0))


def work(asked: dict[str, Any], data: bytes) -> tuple[dict[str, Any], bytes]:
    """In the child: the reply to pixels_of() or facts_of()."""
    try:
        if "spec" in asked:
            return {}, decode.decode_bytes(data, DecodeSpec(**asked["spec"])).tobytes()
        if "task" in asked:
            return {"number": _function(asked["task"])(data, **asked["options"])}, b""
        about = asked["inspect"]
        key = bytes.fromhex(about["key"]) if about["key"] else None
        return {"facts": asdict(decode.inspect(data, tiff=about["tiff"], frame=about["frame"], key=key))}, b""
    except DecodeError as error:
        if error.fact == NO_MEMORY:
            raise MemoryError from None
        return {"code": error.code, "fact": error.fact, "hint": error.why[len(error.fact) :]}, b""
    except ImportError:
        return {"missing": True}, b""


def _function(task: str) -> Callable[..., int]:
    module, _, name = task.partition(":")
    return cast(Callable[..., int], getattr(import_module(module), name))


def _apart(data: bytes) -> bool:
    """Whether a child decodes it: what is provably cheap is decoded here, everything else there."""
    return _mode == "on" or (_mode == "auto" and may_cost(data))


def _reply(asked: dict[str, Any], data: bytes) -> tuple[dict[str, Any], bytes]:
    cpu = _LIMITS.cpu_seconds + (len(data) // _CODED_BYTES_A_SECOND if is_coded_dicom(data) else 0)
    with _ALONE if may_cost(data) else contextlib.nullcontext():
        try:
            if _stopped:
                raise ChildError("died")
            reply, body = _pool().call(asked, data, cpu)
        except ChildError as error:
            raise _failed(error) from None
    if "missing" in reply:
        raise ImportError("the library that reads this kind of file")
    if "code" in reply:
        raise DecodeError(str(reply["code"]), str(reply.get("fact")), str(reply.get("hint", "")))
    return reply, body


def _pool() -> ChildPool:
    with _ALONE_POOL:
        if os.getpid() not in _pools:
            _pools.clear()
            _pools[os.getpid()] = pool = ChildPool(f"{__name__}:work", os.cpu_count() or 1, _LIMITS)
            atexit.register(pool.kill)
        return _pools[os.getpid()]


_ALONE_POOL = threading.Lock()
_WHY = {
    "time": "decoding it takes too long",
    "memory": f"decoding it takes more than {_LIMITS.memory // 1024**2} MB of memory",
    "died": "its decoder was stopped or crashed",
}


def _failed(error: ChildError) -> DecodeError:
    return DecodeError("E_LIMIT", _WHY[error.reason], "; --sandbox off sets no limit")
