"""The command is shown without paths, names, or any word not known to be harmless."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plainfilm.config import load_config
from plainfilm.report.redact import _FLAGS, _VALUES, redacted_command, redacted_config

SELF = "/home/mueller/.venv/bin/plainfilm"


@pytest.mark.parametrize(
    ("argv", "shown"),
    [
        ([SELF, "train"], "plainfilm train"),
        (
            [SELF, "train", "/home/mueller/xrays", "--epochs", "5", "--seed=3"],
            "plainfilm train DATA --epochs 5 --seed 3",
        ),
        ([SELF, "train", "anna", "--out", "anna/run"], "plainfilm train DATA --out OUT"),
        ([SELF, "train", "--freeze", "anna"], "plainfilm train --freeze DATA"),
        ([SELF, "train", "d", "--split", "official"], "plainfilm train DATA --split official"),
        ([SELF, "train", "d", "--split", "anna.csv"], "plainfilm train DATA --split SPLIT.csv"),
        ([SELF, "train", "d", "--weights", "imagenet"], "plainfilm train DATA --weights imagenet"),
        ([SELF, "train", "d", "--weights", "anna.pth"], "plainfilm train DATA --weights WEIGHTS"),
        (
            [SELF, "train", "d", "--threshold", "sensitivity>=0.95"],
            "plainfilm train DATA --threshold 'sensitivity>=0.95'",
        ),
        ([SELF, "train", "d", "--model", "timm/vit_tiny"], "plainfilm train DATA --model timm/vit_tiny"),
        ([SELF, "train", "d", "--model", "/home/anna"], "plainfilm train DATA --model VALUE"),
        ([SELF, "train", "d", "--patient-pattern", "^(anna)"], "plainfilm train DATA --patient-pattern REGEX"),
        ([SELF, "train", "d", "--from-2031", "anna"], "plainfilm train DATA --OPTION VALUE"),
        ([SELF, "train", "d", "--epochs", "anna"], "plainfilm train DATA --epochs VALUE"),
        (
            [SELF, "train", "d", "--norm", "hold", "--threads", "auto"],
            "plainfilm train DATA --norm hold --threads auto",
        ),
        ([SELF, "train", "d", "--norm", "anna"], "plainfilm train DATA --norm VALUE"),
        ([SELF, "train", "d", "--freeze-lr", "0.01"], "plainfilm train DATA --freeze-lr 0.01"),
        ([SELF, "train", "d", "--exclude", "anna.csv"], "plainfilm train DATA --exclude LIST.csv"),
        ([SELF, "train", "d", "--positive", "anna"], "plainfilm train DATA --positive CLASS"),
        (
            ["/x/__main__.py", "experiments", "run", "r1.yaml", "--data", "/d"],
            "plainfilm experiments run EXPERIMENT.yaml --data DATA",
        ),
        (
            [SELF, "experiments", "run", "r1.yaml", "--only", "anna", "--jobs", "2", "--device", "cpu"],
            "plainfilm experiments run EXPERIMENT.yaml --only NAME --jobs 2 --device cpu",
        ),
        ([SELF, "train", "--without", "fused", "--device", "anna"], "plainfilm train --without fused --device VALUE"),
        ([SELF, "train", "a", "b"], "plainfilm train DATA WORD"),
        (["/usr/bin/pytest", "tests/anna"], None),
        (["-c"], None),
    ],
)
def test_a_command_is_redacted(argv: list[str], shown: str | None):
    assert redacted_command(argv) == shown


OPTIONS = sorted(_FLAGS | _VALUES.keys() | {"--new-option", "-x"})
SECRET = st.sampled_from(
    ["/home/Mueller_Anna/x", "Mueller_Anna", "C:\\Mueller_Anna\\y", "Mueller_Anna.csv", "../Mueller_Anna"]
)


@given(
    st.lists(st.one_of(SECRET, st.sampled_from(OPTIONS), st.builds("{}={}".format, st.sampled_from(OPTIONS), SECRET)))
)
def test_no_word_of_a_path_is_ever_shown(words: list[str]):
    for start in (["train"], ["experiments", "run"], ["resume"]):
        shown = redacted_command(["plainfilm", *start, *words])
        assert shown is not None
        assert "Mueller" not in shown and "/home" not in shown and ".." not in shown


def test_the_settings_hide_paths_and_patterns():
    cfg = load_config(options={
        "data.path": "/home/anna/xrays", "data.split": "/home/anna/s.csv", "model.weights": "/home/anna/w.pth",
        "data.patient_pattern": "^(anna)", "train.epochs": 7,
    })  # fmt: skip
    settings = dict(redacted_config(cfg, names=False))
    assert settings["train.epochs"] == "7"
    assert settings["model.name"] == "paper"
    hidden = {key for key, text in settings.items() if text == "(in config.yaml)"}
    assert hidden == {"data.path", "data.split", "model.weights", "data.patient_pattern"}
    assert "anna" not in str(settings)
    assert dict(redacted_config(cfg, names=True))["data.path"] == "/home/anna/xrays"
