"""Everything before the network: the positive class, the cache folder, and the result of prepare()."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import plainfilm
from plainfilm import __version__
from plainfilm.base.events import silent
from plainfilm.config import DataConfig, PhantomConfig, load_config
from plainfilm.data.cache.store import cache_folder
from plainfilm.data.image import sandbox
from plainfilm.errors import ConfigError, DataError
from plainfilm.pipeline.prepare import default_phantom, pick_positive, positive_note, prepare
from wording import lacking

Refusal = Callable[..., str]


@pytest.mark.parametrize(
    ("classes", "positive"),
    [
        (["NORMAL", "PNEUMONIA"], "PNEUMONIA"),
        (["ABNORMAL", "normal"], "ABNORMAL"),  # not the last by name
        (["covid", "Healthy"], "covid"),
        (["benign", "malignant"], "malignant"),
        (["No Finding", "Opacity"], "Opacity"),
        (["Aneurysm", "No_Finding"], "Aneurysm"),
        (["0", "1"], "1"),
        (["NO", "YES"], "YES"),
        (["Control", "Case"], "Case"),
        (["POSITIVE", "negative"], "POSITIVE"),
        (["bacteria", "virus"], "virus"),  # neither is a name for normal: the last
        (["healthy", "normal"], "normal"),  # both are: the last
        (["a", "b", "c"], None),
        (["NORMAL", "bacteria", "virus"], None),
    ],
)
def test_the_positive_class_is_by_default_the_one_that_is_not_normal(classes: list[str], positive: str | None) -> None:
    assert pick_positive(classes, DataConfig()) == positive


@pytest.mark.parametrize(
    ("classes", "named", "said"),
    [
        (["bacteria", "virus"], None, ["'virus' is the positive class by alphabet; --positive changes it."]),
        (["bacteria", "virus"], "bacteria", []),
        (["COVID", "NonCOVID"], None, []),
        (["a", "b", "c"], None, []),
        (["a"], None, []),
    ],
)
def test_a_positive_class_that_nothing_decides_is_noted(classes: list[str], named: str | None, said: list[str]) -> None:
    assert positive_note(classes, DataConfig(positive=named)) == said


def test_the_run_keeps_how_many_pixels_it_admits(tiny_cxr: Path) -> None:
    cfg = load_config(options={"data.path": str(tiny_cxr), "data.max_megapixels": 300})
    assert plainfilm.decode_spec(cfg, plainfilm.build_table(tiny_cxr, cfg.data)).as_dict()["megapixels"] == 300


def test_the_note_on_the_positive_class_is_in_every_output(tmp_path: Path, draw_cxr: Callable[..., Path]) -> None:
    note = "'virus' is the positive class by alphabet; --positive changes it."
    root = draw_cxr(tmp_path / "data", classes=("bacteria", "virus"))
    assert note in prepare(load_config(options={"data.path": str(root)}), silent).split.notes
    named = prepare(load_config(options={"data.path": str(root), "data.positive": "virus"}), silent)
    assert not [text for text in named.split.notes if "by alphabet" in text]


def test_a_named_positive_class_is_used() -> None:
    assert pick_positive(["NORMAL", "PNEUMONIA"], DataConfig(positive="NORMAL")) == "NORMAL"


@pytest.mark.parametrize("label", ["Normal", "benign", "1", "no finding"])
def test_of_one_label_the_label_is_positive_whatever_its_name(label):
    classes = sorted([label, f"no {label}"])
    assert pick_positive(classes, DataConfig(one_label=label)) == label
    assert positive_note(classes, DataConfig(one_label=label)) == []


@pytest.mark.parametrize("name", ["pneumonia", "1", "", "COVID"])
def test_an_unknown_positive_class_is_refused_with_the_known_ones(refusal: Refusal, name: str) -> None:
    message = refusal(lambda: pick_positive(["NORMAL", "PNEUMONIA"], DataConfig(positive=name)), ConfigError)
    assert f"--positive {name!r} is not a class" in message and lacking(message, "NORMAL, PNEUMONIA") == []


def test_a_positive_class_among_three_is_refused(refusal: Refusal) -> None:
    message = refusal(lambda: pick_positive(["a", "b", "c"], DataConfig(positive="b")), ConfigError)
    assert "--positive needs two classes; found 3" in message


def test_the_cache_folder_is_where_the_environment_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PLAINFILM_CACHE", "LOCALAPPDATA", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    assert cache_folder() == Path.home() / ".cache" / "plainfilm"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "plainfilm"
    monkeypatch.setenv("PLAINFILM_CACHE", str(tmp_path / "mine"))
    assert cache_folder() == tmp_path / "mine"
    monkeypatch.setenv("PLAINFILM_CACHE", "~/images")
    assert cache_folder() == Path.home() / "images"


def test_the_phantom_set_is_drawn_once_into_the_cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLAINFILM_CACHE", str(tmp_path))
    heard: list[tuple[str, dict[str, Any]]] = []
    cfg = PhantomConfig(images=12, size_px=32, seed=3)
    folder = default_phantom(cfg, lambda what, facts: heard.append((what, facts)))
    assert folder == tmp_path / f"phantom-{__version__}" / "12-32px-seed3"
    assert len(list(folder.rglob("*.png"))) == 12
    assert heard[0] == ("phantom", {"folder": str(folder), "drawn": False, "images": 12})
    assert sum(what == "draw" for what, _ in heard) == 12

    heard.clear()
    assert default_phantom(cfg, lambda what, facts: heard.append((what, facts))) == folder
    assert heard == [("phantom", {"folder": str(folder), "drawn": True, "images": 12})]
    assert default_phantom(PhantomConfig(images=12, size_px=32, seed=4), silent) != folder


def test_prepare_returns_table_split_counts_positive_and_spec(tiny_cxr: Path) -> None:
    heard: list[tuple[str, dict[str, Any]]] = []
    cfg = load_config(options={"data.path": str(tiny_cxr), "train.size_px": 16, "train.seed": 3})
    prepared = prepare(cfg, lambda what, facts: heard.append((what, facts)))
    assert prepared.vocab == ["NORMAL", "PNEUMONIA"]
    assert prepared.positive == "PNEUMONIA"
    assert (prepared.spec.size_px, prepared.spec.channels, prepared.spec.bits) == (16, 1, None)
    assert (prepared.counts.found, prepared.counts.used, prepared.counts.patients) == (32, 32, 16)
    assert prepared.counts.classes == {"NORMAL": 16, "PNEUMONIA": 16}
    assert sum(part.images for part in prepared.counts.splits.values()) == 32
    assert sum(part.patients or 0 for part in prepared.counts.splits.values()) == 16
    *scans, (last, facts) = heard
    assert (last, facts["positive"]) == ("data", "PNEUMONIA")  # once all images are read
    assert {what for what, _ in scans} == {"scan"} and {told["of"] for _, told in scans} == {32}
    done = [told["done"] for _, told in scans]
    assert done == sorted(set(done)) and done[-1] == 32
    assert prepare(cfg, silent).split.rows.equals(prepared.split.rows)


def test_prepare_writes_nothing_beside_the_data(tiny_cxr: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in tiny_cxr.parent.rglob("*")}
    prepare(load_config(options={"data.path": str(tiny_cxr)}), silent)
    assert {path: path.stat().st_mtime_ns for path in tiny_cxr.parent.rglob("*")} == before


def test_prepare_refuses_data_with_one_class(tmp_path: Path, draw_cxr: Callable[..., Path]) -> None:
    root = draw_cxr(tmp_path / "one", classes=("NORMAL",))
    with pytest.raises(DataError, match="Only one class"):
        prepare(load_config(options={"data.path": str(root)}), silent)


def test_the_spec_of_a_set_has_its_depth_from_python_too(tmp_path: Path, write_image: Callable[..., Path]) -> None:
    """Twelve bits stored in sixteen: 2000 of 4095 is 125 of 255 (124.54); read as sixteen bits it would be 8."""
    for label, value in (("A", 2000), ("B", 4000)):
        for k in range(3):
            write_image(tmp_path / label / f"p{value + k}.png", np.full((20, 20), value + k, np.uint16))
    cfg = load_config(options={"train.size_px": 16})
    table = plainfilm.build_table(tmp_path, cfg.data)
    pixels = plainfilm.decode_rows(table.rows, plainfilm.decode_spec(cfg, table))
    assert [int(row.max()) for row in pixels[:]] == [125, 125, 125, 249, 249, 249]


def test_the_sandbox_option_holds_for_the_scan_and_no_longer(tiny_cxr: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before, a Python program that had prepared a run with `off` decoded everything after it without limits."""
    modes, plain = set(), sandbox.facts_of

    def facts_of(data: bytes, **options: Any) -> Any:
        modes.add(sandbox.mode())
        return plain(data, **options)

    monkeypatch.setattr(sandbox, "facts_of", facts_of)
    options = {"data.path": str(tiny_cxr), "data.sandbox": "off", "data.cache": False}
    with sandbox.used("on"):
        prepare(load_config(options=options), silent)
        assert sandbox.mode() == "on" and modes == {"off"}
