"""YAML that is no config: each is one short line that names the file and the line."""

from __future__ import annotations

from pathlib import Path

import pytest

from plainfilm.base.sanitize import found_value
from plainfilm.config import load_config
from plainfilm.config.strict_yaml import read_yaml, yaml_texts
from plainfilm.errors import ConfigError

BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a: " + "[" * 200_000, "more than 20 levels"),
        ("".join(" " * i + "a:\n" for i in range(300)), "more than 20 levels"),
        ("train:\n  lr: " + "9" * 5000, "line 2: a number of 5000 digits"),
        ("train: {lr: 1e999}", "infinite"),
        ("train: {lr: !!float x}", "the tag"),
        ("train: {lr: !!int x}", "the tag"),
        ("train: {lr: !!bool x}", "the tag"),
        ("train: {lr: !!timestamp x}", "the tag"),
        ("train: {lr: !!binary '?'}", "the tag"),
        ("train: !!python/object/apply:os.getcwd []", "the tag"),
        ("train: !!set {a}", "the tag"),
        (BOMB + "train: {lr: *i}", "anchor or alias 'a'"),
        ("a: *b", "anchor or alias 'b'"),
        ("? [a, b]\n: 1", "a key that is no word"),
        ("a: 1\na: 2", "'a' is given twice"),
        ("a: \x1b", "not valid YAML"),
        ("train: {<<: {lr: 1}}", "unknown key"),
        ("#" * 1_100_000, "larger than"),
    ],
)
def test_is_one_short_line(tmp_path, text, why):
    path = tmp_path / "odd.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    message = str(caught.value)
    assert str(path) in message and why in message and "\n" not in message
    assert len(message) < 300 + len(str(path))


def test_many_keys_take_no_time_and_few_words(tmp_path):
    path = tmp_path / "many.yaml"
    path.write_text("".join(f"k{i}: 1\n" for i in range(60_000)), encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert "and 59970 more" in str(caught.value) and len(str(caught.value)) < 5000


def test_a_long_value_and_key_are_cut(tmp_path):
    path = tmp_path / "long.yaml"
    path.write_text(f"train: {{lr: {'x' * 5000}, {'y' * 900}: 1}}", encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert "xxx\u2026" in str(caught.value) and len(str(caught.value)) < 1000 + len(str(path))


def test_plain_values_stay_what_they_are(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("a: 1e-3\nb: NO\nc: !!str 5\nd: -7\ne: 007\nf: '<<'\n", encoding="utf-8")
    assert read_yaml(path) == {"a": 0.001, "b": "NO", "c": "5", "d": -7, "e": "007", "f": "<<"}


def test_found_values_have_eighty_characters():
    assert found_value("a" * 78) == f"'{'a' * 78}'"
    assert found_value("a" * 79) == f"'{'a' * 79}\u2026"
    assert len(found_value({"a": "b" * 1000})) == 81


def test_texts_are_the_scalars_by_dotted_key():
    text = b"task: single\ndata:\n  path: /x\n  shares: [1, 2]\n  none: null\n  'word': 'null'\n  deep: {a: 1e-3}\nlist:\n- {a: 1}\nafter: no\n"
    assert yaml_texts(text, Path("c.yaml")) == {
        "task": "single", "data.path": "/x", "data.word": "null", "data.deep.a": "1e-3", "after": "no",
    }  # fmt: skip


@pytest.mark.parametrize("text", ["a: &x 1", "a: !!int '1'", "? {a: 1}\n: 2", "a: [", "a: " + "[" * 30, "- {a: [*b]}"])
def test_texts_refuse_what_a_config_never_needs(text: str):
    with pytest.raises(ConfigError, match="c.yaml"):
        yaml_texts(text.encode(), Path("c.yaml"))
