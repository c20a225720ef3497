"""The note that the best epoch was the last one."""

from plainfilm.config import load_config
from plainfilm.pipeline.train import _last_epoch_note


def test_the_last_epoch_is_noted_where_the_best_was_to_be_kept():
    ten = load_config(options={"train.epochs": 10})
    assert _last_epoch_note(ten, (0, 9)) == [
        "The best epoch was the last of 10: more may score higher. Try about --epochs 20."
    ]
    assert _last_epoch_note(ten, (0, 8)) == []
    assert _last_epoch_note(load_config(options={"train.epochs": 10, "train.keep": "last"}), (0, 9)) == []
    assert _last_epoch_note(load_config(options={"train.epochs": 1}), (0, 0)) == []  # nothing to compare it with
