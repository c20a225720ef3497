"""A config written with comments is read as what it was, whatever stands in names and comments."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plainfilm.config import ExperimentConfig, load_config
from plainfilm.config.commented import Remark, commented_yaml
from plainfilm.config.strict_yaml import parsed_yaml

WORDS = st.text(st.characters(blacklist_characters="\x00"), min_size=1, max_size=20)


def read(text: str) -> ExperimentConfig:
    return ExperimentConfig.model_validate(parsed_yaml(text.encode("utf-8"), Path("x.yaml")))


@settings(deadline=None)  # a busy machine is not an error
@given(path=WORDS, positive=WORDS, said=WORDS, other=WORDS)
def test_it_is_read_as_what_was_written(path: str, positive: str, said: str, other: str) -> None:
    cfg = load_config(options={"data.path": path, "data.positive": positive, "data.bits": 12, "train.lr": 1e-5})
    text = commented_yaml(cfg, [said], {"data.path": Remark(said, ((other, said),)), "train.epochs": Remark()})
    assert read(text) == cfg


@pytest.mark.parametrize("name", ["x\ntrain:\n  epochs: 99", "\u2028train: {epochs: 99}", "a\x85epochs: 99", "\r# y"])
def test_a_name_begins_no_line(name: str) -> None:
    cfg = load_config(options={"data.path": name})
    text = commented_yaml(cfg, [name], {"data.path": Remark(name, ((name, name),))})
    assert read(text) == cfg and len(text.splitlines()) == 5  # head, blank, section, key, proposal


def test_a_proposal_is_not_applied() -> None:
    text = commented_yaml(
        load_config(), [], {"data.split": Remark("how", (("official", "keeps it"),)), "train.seed": Remark()}
    )
    assert text == (
        "\ndata:\n  split: patient  # how\n  # split: official  # keeps it\n"
        "\ntrain:\n  seed: 0  # sets split, initial weights and order\n"
    )


def test_a_value_that_is_no_default_is_written_unasked() -> None:
    cfg = load_config(options={"data.under": "images", "evaluate.threshold": "youden"})
    text = commented_yaml(cfg, [], {})
    assert [line.partition("  # ")[0].strip() for line in text.splitlines() if ": " in line] == [
        "under: images", "threshold: youden",
    ]  # fmt: skip
    assert read(text) == cfg
