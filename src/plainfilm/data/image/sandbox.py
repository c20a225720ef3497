"""Decoding in a child process, for files that are not ours: one that hangs, crashes or takes all memory is one E_LIMIT.

The pixels are the same: the child runs decode_bytes() or inspect(). The mode holds for the whole process.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import asdict, replace
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np

from plainfilm.base.child_process import ChildError, ChildLimits, ChildPool
from plainfilm.data.dicom.plain import is_coded_dicom
from plainfilm.data.errors import MEGAPIXELS, NO_MEMORY, DecodeError
from plainfilm.data.image import decode
from plainfilm.data.image.cheap import MOST_BYTES, may_cost
from plainfilm.data.image.costly import stated_pixels
from plainfilm.data.image.decode import DecodeSpec, ImageFacts

Mode = Literal["auto", "on", "off"]
_Way = Literal["here", "apart", "alone"]
_LIMITS = ChildLimits()  # for 64 megapixels
_QUICK = ChildLimits(seconds=1.0)  # an image of 16 million pixels takes about 0.3 s
_AT_ONCE = 1.0  # seconds
# Of formats whose header says the size at once. Honest files take at most 0.08 s for a megapixel (a lossy WebP of noise;
# a progressive JPEG of noise 0.06), mostly 0.02; the rest is for slow machines.
_CPU_FLOOR, _CPU_EACH = 1.25, 0.1  # seconds; for a megapixel
_CODED_BYTES_A_SECOND = 2_000_000  # of JPEG 2000
_ALONE = threading.RLock()  # one costly file at a time, as in decode()
_READ_ALONE = MOST_BYTES  # larger files are costly whatever they hold
_pools: dict[tuple[int, ChildLimits], ChildPool] = {}  # by process: a fork must not write into the pipes of its parent
_POOLS_LOCK = threading.Lock()
_STRICTER: tuple[Mode, ...] = ("off", "auto", "on")
_mode: Mode | None = None  # nobody has set one: as `auto`
_option = False
_stopped = False
_kills = 0
_thread = threading.local()  # `since`: kills when its pool began


def use(mode: Mode, *, option: bool = False) -> None:
    """From now on decode `on`: every file in a child; `auto`: those that may cost much; `off`: none.

    Args:
        option: whether the command at hand has --sandbox, for its errors.
    """
    _set(mode, option)


def _set(mode: Mode | None, option: bool) -> None:
    global _mode, _option, _stopped
    _mode, _option, _stopped = mode, option, False


@contextlib.contextmanager
def used(mode: Mode, *, option: bool = False) -> Iterator[None]:
    """use() for the duration."""
    before = _mode, _option
    use(mode, option=option)
    try:
        yield
    finally:
        _set(*before)


def used_of_run(mode: Mode) -> AbstractContextManager[None]:
    """used() as the file of a run says; less strict than what the caller has set it does not get."""
    return used(mode if _mode is None else max(_mode, mode, key=_STRICTER.index), option=_option)


def mode() -> Mode:
    """What holds now."""
    return _mode or "auto"


def stop() -> None:
    """End all children at once; what is still asked of them is E_LIMIT, until use() runs."""
    global _stopped
    _stopped = True
    kill_children()


def kill_children() -> None:
    """End all children at once; what they decode is E_LIMIT, and what waits for one. Later work starts others."""
    global _kills
    _kills += 1
    for pool in list(_pools.values()):
        pool.kill()


def thread_start() -> Callable[[], None]:
    """The initializer of a pool whose threads decode: after kill_children() none of them starts a child again."""
    since = _kills

    def start() -> None:
        _thread.since = since

    return start


def pixels_of(data: bytes, spec: DecodeSpec) -> np.ndarray:
    """decode_bytes(), in a child where the mode says so.

    Raises:
        DecodeError: as decode_bytes(); E_LIMIT where it takes too long or too much memory, or its decoder crashes.
    """
    if (way := _way_of(data)) == "here":
        return decode.decode_bytes(data, spec)
    return _image(_reply({"spec": spec.as_dict()}, data, _limits(spec.megapixels), way)[1], spec)


def quick_pixels_of(data: bytes, spec: DecodeSpec) -> np.ndarray | None:
    """pixels_of() an image that cannot cost much; None for one that may, or that took more than a second in its child.

    No costly file is in the way of it: its children are its own.
    """
    if may_cost(data):
        return None
    if mode() != "on":
        return decode.decode_bytes(data, spec)
    try:
        return _image(_reply({"spec": spec.as_dict()}, data, _QUICK, "apart")[1], spec)
    except DecodeError as error:
        if error.fact != _WHY["time"]:
            raise
        return None


def pixels_of_file(path: Path | str, spec: DecodeSpec) -> np.ndarray:
    """pixels_of() a file, raises as read_bytes() too; in_turn()."""
    with in_turn(path):
        return pixels_of(decode.read_bytes(path, spec.megapixels), spec)


def in_turn(path: Path | str) -> AbstractContextManager[object]:
    """Around the reading of a file and all that is done with its bytes: of large files one of each thread fills the memory."""
    try:
        large = os.stat(path).st_size > _READ_ALONE
    except (OSError, ValueError):
        large = False  # read_bytes() says why
    return _ALONE if large else contextlib.nullcontext()


def _image(found: bytes, spec: DecodeSpec) -> np.ndarray:
    shape = (spec.size_px, spec.size_px, *((3,) if spec.channels == 3 else ()))
    if len(found) != np.prod(shape):
        raise _failed(ChildError("died"))
    return np.frombuffer(found, np.uint8).reshape(shape).copy()


def facts_of(
    data: bytes, *, tiff: bool, frame: int | None, key: bytes | None, megapixels: int = MEGAPIXELS
) -> ImageFacts:
    """inspect(), in a child where the mode says so; raises as pixels_of()."""
    if (way := _way_of(data)) == "here":
        return decode.inspect(data, tiff=tiff, frame=frame, key=key, megapixels=megapixels)
    about = {"tiff": tiff, "frame": frame, "key": key and key.hex(), "megapixels": megapixels}
    found, _ = _reply({"inspect": about}, data, _limits(megapixels), way)
    try:
        return ImageFacts(**found["facts"])
    except (KeyError, TypeError):
        raise _failed(ChildError("died")) from None


def number_of(task: str, data: bytes, options: dict[str, Any]) -> int:
    """What the function 'module:name' gives for a file's bytes and `options`, of which one is `megapixels`, in a child where
    the mode says so; raises as pixels_of().
    """
    if (way := _way_of(data)) == "here":
        return _function(task)(data, **options)
    found, _ = _reply({"task": task, "options": options}, data, _limits(options["megapixels"]), way)
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
        return {"facts": asdict(decode.inspect(data, **{**about, "key": key}))}, b""
    except DecodeError as error:
        if error.fact == NO_MEMORY:
            raise MemoryError from None
        return {"code": error.code, "fact": error.fact, "hint": error.why[len(error.fact) :]}, b""
    except ImportError:
        return {"missing": True}, b""


def _function(task: str) -> Callable[..., int]:
    module, _, name = task.partition(":")
    return cast(Callable[..., int], getattr(import_module(module), name))


def _way_of(data: bytes) -> _Way:
    """Where it is decoded: what is provably cheap `here`, everything else in a child, one costly file at a time.

    may_cost() is asked once: of a file made for it, it takes a hundredth of a second.
    """
    if mode() == "off":
        return "here"
    costs = may_cost(data)
    return "alone" if costs else "apart" if mode() == "on" else "here"


def _limits(megapixels: int) -> ChildLimits:
    """Memory and time in proportion to the pixels, never less than 64 megapixels have."""
    times = max(1.0, megapixels / MEGAPIXELS)
    return replace(
        _LIMITS,
        memory=int(times * _LIMITS.memory),
        cpu_seconds=times * _LIMITS.cpu_seconds,
        seconds=times * _LIMITS.seconds,
    )


def _cpu_seconds(data: bytes, limits: ChildLimits) -> float:
    """Processor time of an image: a floor and so much for each pixel that its header states, of those that are admitted."""
    if is_coded_dicom(data):
        return limits.cpu_seconds + len(data) / _CODED_BYTES_A_SECOND
    pixels = stated_pixels(data)
    most = MEGAPIXELS * limits.cpu_seconds / _LIMITS.cpu_seconds
    return limits.cpu_seconds if pixels is None else _CPU_FLOOR + _CPU_EACH * min(pixels / 1_000_000, most)


def _reply(asked: dict[str, Any], data: bytes, limits: ChildLimits, way: _Way) -> tuple[dict[str, Any], bytes]:
    since = getattr(_thread, "since", _kills)
    cpu = _cpu_seconds(data, limits)
    with _ALONE if way == "alone" else contextlib.nullcontext():
        try:
            pool = _pool(limits)
            kills = pool.kills  # read before the next line: kill_children() counts there first
            if _stopped or since != _kills:
                raise ChildError("died")
            reply, body = _called(pool, asked, data, cpu, kills)
        except ChildError as error:
            raise _failed(error, limits) from None
    if "missing" in reply:
        raise ImportError("the library that reads this kind of file")
    if "code" in reply:
        raise DecodeError(str(reply["code"]), str(reply.get("fact")), str(reply.get("hint", "")))
    return reply, body


def _called(
    pool: ChildPool, asked: dict[str, Any], data: bytes, cpu: float, kills: int
) -> tuple[dict[str, Any], bytes]:
    """The reply; asked again once where the child died at once: the system may have ended it, whatever the file."""
    began = time.monotonic()
    try:
        return pool.call(asked, data, cpu, kills)
    except ChildError as error:
        if error.reason != "died" or error.failed or pool.kills != kills or time.monotonic() - began > _AT_ONCE:
            raise
    return pool.call(asked, data, cpu, kills)


def _pool(limits: ChildLimits) -> ChildPool:
    key = os.getpid(), limits
    with _POOLS_LOCK:
        if key not in _pools:
            for other in [one for one in _pools if one[0] != key[0]]:
                del _pools[other]
            _pools[key] = pool = ChildPool(f"{__name__}:work", os.cpu_count() or 1, limits)
            atexit.register(pool.kill)
        return _pools[key]


_WHY = {
    "time": "decoding it takes too long",
    "memory": "decoding it takes more than {} MB of memory",
    "died": "its decoder was stopped or crashed",
}


def _failed(error: ChildError, limits: ChildLimits = _LIMITS) -> DecodeError:
    hint = "--sandbox off sets no limit" if _option else "store the image again, as PNG, or leave it out"
    return DecodeError("E_LIMIT", _WHY[error.reason].format(limits.memory // 1024**2), f"; {hint}")
