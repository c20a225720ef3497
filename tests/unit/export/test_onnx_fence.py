"""A foreign network that never ends, takes all memory or hides a loop is one line; the scores of an honest one are the same bits."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from typer.testing import CliRunner

from plainfilm.base import child_process
from plainfilm.base.child_process import ChildPool
from plainfilm.cli import app
from plainfilm.data.image import sandbox
from plainfilm.data.table.saved_table import read_table
from plainfilm.errors import BundleError
from plainfilm.export import network
from plainfilm.export.manifest import CARD, GATE, ONNX, pack, with_manifest
from plainfilm.export.network import _FencedNetwork, _OwnNetwork
from plainfilm.export.onnx_nodes import refuse_loops
from plainfilm.export.scorer import Bundle, open_bundle
from plainfilm.serve.predictor import Predictor

SIZE = 48  # of the images of `exported`
FLOAT, INT = TensorProto.FLOAT, TensorProto.INT64


@pytest.fixture(autouse=True)
def usual_mode() -> Iterator[None]:
    yield
    sandbox.use("auto")


def constant(name: str, *values: float, kind: Any = np.int64) -> Any:
    return numpy_helper.from_array(np.array(values, kind), name)


def model(*nodes: Any, constants: tuple[Any, ...] = (), plus: str = "", functions: tuple[Any, ...] = ()) -> bytes:
    """A network of two classes whose logits are the mean grey and its negative; `plus` (1,) is added, times 0."""
    mean = [
        helper.make_node("Cast", ["image"], ["grey"], to=FLOAT),
        helper.make_node("ReduceMean", ["grey", "axes"], ["mean"], keepdims=0),
        helper.make_node("Unsqueeze", ["mean", "one"], ["column"]),
        helper.make_node("Neg", ["column"], ["minus"]),
        helper.make_node("Concat", ["column", "minus"], ["sum"], axis=1),
    ]
    added = [
        helper.make_node("Mul", [plus, "zero"], ["nothing"]),
        helper.make_node("Add", ["sum", "nothing"], ["logits"]),
    ]
    ends = [
        *(added if plus else [helper.make_node("Identity", ["sum"], ["logits"])]),
        helper.make_node("Softmax", ["logits"], ["probs"]),
        helper.make_node("Identity", ["logits"], ["features"]),
    ]
    graph = helper.make_graph(
        [*mean, *nodes, *ends], "g",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["n", 1, SIZE, SIZE])],
        [helper.make_tensor_value_info(name, FLOAT, ["n", 2]) for name in ("logits", "probs", "features")],
        [constant("axes", 1, 2, 3), constant("one", 1), constant("zero", 0, kind=np.float32), *constants],
    )  # fmt: skip
    opsets = [helper.make_opsetid("", 20), *([helper.make_opsetid("own", 1)] if functions else [])]
    return helper.make_model(graph, opset_imports=opsets, functions=functions, ir_version=10).SerializeToString()


def body() -> Any:
    """What a loop does: adds 1."""
    return helper.make_graph(
        [helper.make_node("Add", ["v", "step"], ["w"]), helper.make_node("Identity", ["go"], ["on"])], "body",
        [helper.make_tensor_value_info("i", INT, []), helper.make_tensor_value_info("go", TensorProto.BOOL, []),
         helper.make_tensor_value_info("v", FLOAT, [1])],
        [helper.make_tensor_value_info("on", TensorProto.BOOL, []), helper.make_tensor_value_info("w", FLOAT, [1])],
        [constant("step", 1, kind=np.float32)],
    )  # fmt: skip


MANY = (numpy_helper.from_array(np.array(2**62), "many"), constant("start", 0, kind=np.float32))
YES = numpy_helper.from_array(np.array(True), "yes")


def loop(kind: str = "Loop") -> Any:
    return helper.make_node(kind, ["many", "yes", "start"], ["end"], body=body())


def looping() -> bytes:
    return model(loop(), constants=(*MANY, YES), plus="end")


def branching() -> bytes:
    inner = helper.make_graph([loop()], "then", [], [helper.make_tensor_value_info("end", FLOAT, [1])], [*MANY, YES])
    node = helper.make_node("If", ["yes"], ["end"], then_branch=inner, else_branch=inner)
    return model(node, constants=(YES,), plus="end")


def in_a_function() -> bytes:
    made = helper.make_function(
        "own", "Hidden", ["many", "yes", "start"], ["end"], [loop()], [helper.make_opsetid("", 20)]
    )
    node = helper.make_node("Hidden", ["many", "yes", "start"], ["end"], domain="own")
    return model(node, constants=(*MANY, YES), plus="end", functions=(made,))


def with_subgraph_elsewhere() -> bytes:
    return model(
        helper.make_node("Other", ["many", "yes", "start"], ["end"], domain="own", body=body()), constants=(*MANY, YES)
    )


def multiplying(*, side: str = "side", times: int = 400) -> bytes:
    """Products of matrices whose side is 1, and 4081 as soon as one pixel is white; a few tens of seconds."""
    nodes = [
        helper.make_node("ReduceMax", ["grey"], ["white"], keepdims=0),
        helper.make_node("Mul", ["white", "sixteen"], ["most"]),
        helper.make_node("Add", ["most", "unit"], ["edge"]),
        helper.make_node("Cast", ["edge"], ["whole"], to=INT),
        helper.make_node("Unsqueeze", ["whole", "first"], ["length"]),
        helper.make_node("Concat", ["length", "length"], ["side"], axis=0),
        helper.make_node("Expand", ["tiny", side], ["m0"]),
        *(helper.make_node("MatMul", [f"m{i}", "m0"], [f"m{i + 1}"]) for i in range(times)),
        helper.make_node("ReduceMean", [f"m{times}"], ["end"], keepdims=0),
    ]  # fmt: skip
    scalars = {name: np.array(value, np.float32) for name, value in (("sixteen", 16), ("unit", 1), ("tiny", 1e-4))}
    constants = (
        *(numpy_helper.from_array(a, name) for name, a in scalars.items()),
        constant("first", 0),
        constant("fixed", 4081, 4081),
    )
    return model(*nodes, constants=constants, plus="end")


def folding() -> bytes:
    """The same products of constants: computed while the network is opened."""
    return multiplying(side="fixed")


@pytest.fixture
def bundle_of(exported, tmp_path) -> Callable[[bytes], Path]:
    """A bundle with another network and no gate, which knows its features; the manifest is rewritten."""

    def make(graph: bytes) -> Path:
        files = {path.name: path.read_bytes() for path in exported[1].iterdir() if path.name != GATE}
        files[CARD] = json.dumps({**json.loads(files[CARD]), "gate_sha256": None}).encode()
        out = tmp_path / "foreign"
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir()
        for name, content in with_manifest({**files, ONNX: graph}).items():
            (out / name).write_bytes(content)
        return out

    return make


def image(path: Path, grey: int) -> Path:
    Image.fromarray(np.full((60, 60), grey, np.uint8)).save(path)
    return path


@pytest.fixture
def strict(monkeypatch: pytest.MonkeyPatch) -> None:
    """One second of processor time, for all."""
    monkeypatch.setattr(network, "_FLOOR", 0)


# -- loops are refused without opening


@pytest.mark.parametrize(("graph", "found"), [
    (looping, "Loop"), (branching, "If"), (in_a_function, "Loop"), (with_subgraph_elsewhere, "subgraph"),
])  # fmt: skip
@pytest.mark.parametrize("zipped", [False, True])
def test_a_loop_is_one_line_and_nothing_is_opened(bundle_of, monkeypatch, tmp_path, graph, found, zipped):
    monkeypatch.setattr("plainfilm.export.scorer.open_network", None)  # calling it would be a TypeError, which is a bug
    folder = bundle_of(graph())
    path = folder
    if zipped:
        path = tmp_path / "foreign.zip"
        path.write_bytes(pack({one.name: one.read_bytes() for one in folder.iterdir()}))
    done = CliRunner().invoke(app, ["predict", str(path), str(image(tmp_path / "a.png", 9))])
    assert done.exit_code == 2
    assert f"E_LIMIT: model.onnx of the bundle holds a {found}" in done.stderr and done.stderr.count("\n") == 1


def test_a_training_graph_is_refused_too(tmp_path):
    made = onnx.ModelProto.FromString(model())
    made.training_info.add()
    with pytest.raises(BundleError, match="holds a training graph"):
        refuse_loops(made.SerializeToString())


def test_weights_that_say_loop_are_no_loop():
    name = "Loop"
    refuse_loops(model(constants=(numpy_helper.from_array(np.frombuffer(b"Loop" * 8, np.uint8), name),)))


def test_more_parts_than_a_network_has_are_not_read(monkeypatch):
    monkeypatch.setattr("plainfilm.export.onnx_nodes._MOST_FIELDS", 50)
    with pytest.raises(BundleError, match="too many parts"):
        refuse_loops(model())


@given(st.binary(max_size=40), st.integers(0, 10_000))
def test_damage_is_an_error_of_the_bundle_or_nothing(noise: bytes, at: int):
    whole = looping()
    for data in (noise, whole[: at % len(whole)] + noise + whole[at % len(whole) :]):
        with contextlib.suppress(BundleError):
            refuse_loops(data)


def test_what_onnx_reads_as_a_loop_is_found_whatever_the_order_of_its_fields():
    """A field may stand twice; then messages are merged, and of names the last one counts."""
    whole, other = looping(), onnx.ModelProto()
    other.graph.name = "again"
    for data in (other.SerializeToString() + whole, whole + other.SerializeToString()):
        assert any(node.op_type == "Loop" for node in onnx.ModelProto.FromString(data).graph.node)
        with pytest.raises(BundleError, match="Loop"):
            refuse_loops(data)


# -- where it runs


def test_own_networks_run_here_and_foreign_ones_in_a_process(exported, monkeypatch, tmp_path):
    assert isinstance(open_bundle(exported[1], 1)._network, _OwnNetwork)
    monkeypatch.setenv("PLAINFILM_HOME", str(tmp_path / "of somebody else"))
    foreign = open_bundle(exported[1], 1)._network
    assert isinstance(foreign, _FencedNetwork) and not (tmp_path / "of somebody else").exists()
    sandbox.use("off")
    assert isinstance(open_bundle(exported[1], 1)._network, _OwnNetwork)


def test_it_is_noted_once_and_needs_no_home(monkeypatch, tmp_path):
    monkeypatch.setenv("PLAINFILM_HOME", str(tmp_path / "home"))
    for sha256 in ("a" * 64, "b" * 64, "a" * 64):
        network.remember(sha256)
    assert (tmp_path / "home" / "exported_networks.txt").read_text() == "a" * 64 + "\n" + "b" * 64 + "\n"
    (tmp_path / "file").write_bytes(b"\xff")
    for home in (tmp_path / "file", "~nobody-of-this-name/x"):
        monkeypatch.setenv("PLAINFILM_HOME", str(home))
        network.remember("c" * 64)
        assert network._exported() == frozenset()


@pytest.mark.skipif(os.name == "nt", reason="modes and FIFOs of a POSIX system")
def test_what_it_notes_is_for_its_owner_and_a_fifo_in_its_place_holds_nobody(monkeypatch, tmp_path):
    home = tmp_path / "home"
    monkeypatch.setenv("PLAINFILM_HOME", str(home))
    before = os.umask(0)
    try:
        network.remember("a" * 64)
    finally:
        os.umask(before)
    record = home / "exported_networks.txt"
    assert [stat.S_IMODE(path.stat().st_mode) for path in (home, record)] == [0o700, 0o600]
    record.unlink()
    os.mkfifo(record)
    noting = threading.Thread(target=network.remember, args=("b" * 64,), daemon=True)
    noting.start()
    noting.join(30)
    assert not noting.is_alive()
    reader = os.open(record, os.O_RDONLY | os.O_NONBLOCK)  # with a reader it could be opened to write
    network.remember("b" * 64)
    assert os.read(reader, 99) == b""
    os.close(reader)


@pytest.mark.parametrize(("threads", "expected"), [(1, 1), (4, 4), (16, 4)])
def test_many_threads_share_four_processes(monkeypatch, threads, expected):
    """2 GB for each of 16 threads would be 32 GB for a bundle made to harm."""
    sizes = []
    monkeypatch.setattr(network, "ChildPool", lambda task, size, *about: sizes.append(size) or ChildPool(task, size))
    _FencedNetwork(b"", "", 224, threads).begun()
    assert sizes == [expected]


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("which", ["exported", "three_classes"])
def test_scores_are_the_same_bits_in_a_process(request, tmp_path, which, zipped):
    run, path = request.getfixturevalue(which)
    if zipped:
        path = tmp_path / "bundle.zip"
        path.write_bytes(pack({one.name: one.read_bytes() for one in request.getfixturevalue(which)[1].iterdir()}))
    images = list(read_table(run)["path"])[:20]
    here, there = (_opened(path, mode) for mode in ("off", "on"))
    pixels = np.stack([here.pixels(one) for one in images])
    assert isinstance(there._network, _FencedNetwork) and isinstance(here._network, _OwnNetwork)
    for n in (1, 7, 20):
        for a, b in zip(here._network.run(pixels[:n]), there._network.run(pixels[:n]), strict=True):
            assert a.dtype == b.dtype == np.float32 and a.shape == b.shape and a.tobytes() == b.tobytes()
    assert list(here.predict_many(images)) == list(there.predict_many(images))


def _opened(path: Path, mode: Any) -> Bundle:
    sandbox.use(mode)
    return open_bundle(path, 2)


def test_a_network_that_changes_after_the_check_is_not_run(exported, bundle_of):
    sandbox.use("on")
    folder = bundle_of(model())
    bundle = open_bundle(folder, 1)
    (folder / ONNX).write_bytes((exported[1] / ONNX).read_bytes())
    bundle._network.kill()
    with pytest.raises(BundleError, match="changed while it was loaded"):
        bundle.score(np.zeros((1, 1, SIZE, SIZE), np.uint8))


def test_a_forgotten_bundle_leaves_no_process(bundle_of):
    sandbox.use("on")
    before = set(psutil.Process().children())
    bundle = open_bundle(bundle_of(model()), 1)
    (child,) = set(psutil.Process().children()) - before
    del bundle
    psutil.wait_procs([child], timeout=30)
    assert not child.is_running()


# -- limits


@pytest.mark.campaign
def test_a_network_that_takes_long_to_open_is_one_error(bundle_of, strict):
    with pytest.raises(BundleError, match="E_LIMIT: the network of the bundle takes too long"):
        open_bundle(bundle_of(folding()), 1)


def test_an_image_on_which_the_network_takes_long_is_one_error_and_the_next_is_scored(bundle_of, strict, tmp_path):
    """As serve scores them; predict ends with the error's line."""
    predictor = Predictor(open_bundle(bundle_of(multiplying()), 1), None)
    files = [image(tmp_path / f"{grey}.png", grey).read_bytes() for grey in (255, 0)]
    white, black = (predictor.decode(data, quick=False) for data in files)
    error = predictor.predict(0, white, frozenset())["error"]
    assert error.startswith("E_LIMIT: the network of the bundle takes too long") and "\n" not in error
    assert predictor.predict(1, black, frozenset())["probs"] == pytest.approx({"NORMAL": 0.5, "PNEUMONIA": 0.5})


@pytest.mark.parametrize(("seconds", "expected"), [(1.0, [4, 80, 10]), (2.0, [4, 120, 20]), (0.001, [4, 3, 3])])
def test_the_first_image_is_the_measure_for_a_batch(monkeypatch, seconds, expected):
    """An image of 1 s: 8 of them may take 80 s, and one 10 s; no batch more than 120 s; a millisecond has the floor of 3 s."""
    asked = []

    class Pool:
        kills = 0

        def call(self, head: Any, body: bytes, cpu: int, since: int) -> Any:
            asked.append(cpu)
            shape = [head["images"][0], 2]
            return {"shapes": [shape] * 3, "seconds": seconds * shape[0]}, bytes(3 * 4 * 2 * shape[0])

    monkeypatch.setattr(_FencedNetwork, "_pool", lambda self: Pool())
    one = _FencedNetwork(b"", "", 224, 1)  # 3 s, and 1 more for 224 x 224 pixels
    for n in (1, 8, 1):
        one.run(np.zeros((n, 1, 2, 2), np.uint8))
    assert asked == expected


@pytest.mark.parametrize(("size_px", "seconds"), [(224, 4), (2048, 87), (8192, 120), (10**6, 120)])
def test_no_card_sets_its_own_limit_of_time(monkeypatch, size_px, seconds):
    """3 s, and 1 for each 224 x 224 pixels up to the largest size that training allows: (2048 / 224)^2 = 83.6."""
    asked = []
    monkeypatch.setattr(_FencedNetwork, "_asked", lambda self, head, body, cpu, since: asked.append(cpu) or ({}, b""))
    _FencedNetwork(b"", "", size_px, 1).facts()
    assert asked == [seconds]


def test_a_card_has_no_larger_image_than_training_allows(exported):
    card = open_bundle(exported[1]).card
    for size_px in (2048, 2049):
        one = card.model_copy(update={"decode": {**card.decode, "size_px": size_px}})
        with contextlib.nullcontext() if size_px == 2048 else pytest.raises(ValueError, match="size_px"):
            one.decode_spec()


# -- interrupted


def test_a_kill_ends_the_run_and_starts_no_other_process(bundle_of, tmp_path, monkeypatch):
    """Four batches wait for two processes; on Ctrl-C those end, and none begins."""
    sandbox.use("on")
    bundle = open_bundle(bundle_of(multiplying()), 2)
    starts, begun = [], child_process._begun
    monkeypatch.setattr(child_process, "_begun", lambda task: starts.append(task) or begun(task))
    white = image(tmp_path / "white.png", 255)

    def names() -> Iterator[Path]:
        yield from [white] * 30
        until = time.monotonic() + 30
        while not _busy() and time.monotonic() < until:
            time.sleep(0.02)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(bundle.predict_each(names()))
    after = len(starts)
    time.sleep(0.3)
    assert len(starts) == after
    monkeypatch.undo()
    assert bundle.score(np.zeros((1, 1, SIZE, SIZE), np.uint8))[0].label  # later work goes on
    bundle.stop()
    with pytest.raises(BundleError):
        bundle.score(np.zeros((1, 1, SIZE, SIZE), np.uint8))
    assert not _busy()


def test_a_run_in_this_process_ends_too(bundle_of):
    """400 products of seconds each; one ends, and no other begins."""
    sandbox.use("off")
    bundle = open_bundle(bundle_of(multiplying()), 1)
    white, since = np.full((1, 1, SIZE, SIZE), 255, np.uint8), bundle._network.begun()
    timer = threading.Timer(0.3, bundle._network.kill)
    timer.start()
    for _ in range(2):
        with pytest.raises(BundleError):
            bundle._run(white, since)
        timer.join()
    assert bundle._network.run(np.zeros_like(white))[0].shape == (1, 2)


def _busy() -> bool:
    """Whether a child of this process computes."""
    found = []
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.Error):
            found.append(child.memory_info().rss > 150e6)
    return any(found)


@pytest.mark.campaign
@pytest.mark.skipif(os.name == "nt", reason="signals of a POSIX system")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
@pytest.mark.parametrize("graph", [multiplying, folding])
@pytest.mark.parametrize("after", [0.2, 1.0])
def test_a_signal_ends_predict_in_the_middle_of_a_network(bundle_of, tmp_path, how, graph, after):
    white, folder = image(tmp_path / "white.png", 255), bundle_of(graph())
    running = subprocess.Popen(
        [sys.executable, "-m", "plainfilm", "predict", str(folder), *[str(white)] * 40], stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )  # fmt: skip
    until, children = time.monotonic() + 60, []
    while not children and time.monotonic() < until:
        time.sleep(0.02)
        children = psutil.Process(running.pid).children()
    time.sleep(after)
    children, began = psutil.Process(running.pid).children() or children, time.monotonic()
    peak = psutil.Process(running.pid).memory_info().rss
    running.send_signal(how)
    said = running.communicate(timeout=60)[1].decode()
    print(f"{graph.__name__} {how.name}: {time.monotonic() - began:.2f} s, {peak / 1e6:.0f} MB")
    assert running.returncode in (130, -how) and "Traceback" not in said and peak < 512e6
    psutil.wait_procs(children, timeout=30)
    assert children and not any(child.is_running() for child in children)


@pytest.mark.campaign
@pytest.mark.parametrize(("graph", "code"), [(folding, 2), (multiplying, 2), (looping, 2)])
def test_each_ends_with_one_line(bundle_of, tmp_path, graph, code):
    """At the real limits; the seconds of processor time are those of all children together."""
    import resource

    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    white = image(tmp_path / "white.png", 255)
    done = subprocess.run(
        [sys.executable, "-m", "plainfilm", "predict", str(bundle_of(graph())), str(white)], capture_output=True, text=True, timeout=120
    )  # fmt: skip
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(
        f"{graph.__name__}: {time.monotonic() - began:.1f} s, {used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime:.1f} s CPU"
    )
    assert done.returncode == code and done.stderr.startswith("plainfilm: E_LIMIT") and done.stderr.count("\n") == 1
