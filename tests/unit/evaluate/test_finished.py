"""A finished run is read once, gives its rows and scores by split, and is read again where its files were written since."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from plainfilm.data.synthetic.corruptions import CORRUPTIONS
from plainfilm.errors import DataError
from plainfilm.evaluate import finished as room
from plainfilm.evaluate.finished import SHIFTED, FinishedRun
from plainfilm.runs.scaling import Scaling


def test_parts_are_the_rows_of_a_split_and_the_valid_rows_under_each_corruption(save_run):
    run = FinishedRun.open(save_run("r", patients=3, images=2).root)
    assert {split: len(run.part(split)) for split in ("train", "valid", "test")} == {"train": 0, "valid": 6, "test": 6}
    shifted = run.part(SHIFTED)
    names = ["none", *CORRUPTIONS]
    assert list(shifted["change"]) == [name for name in names for _ in range(6)]
    assert list(shifted["path"][:6]) == list(shifted["path"][-6:]) == list(run.part("valid")["path"])


@pytest.mark.parametrize(("vocab", "positive", "index"), [(("A", "B"), "A", 0), (("A", "B"), "B", 1), (("A", "B", "C"), None, None)])  # fmt: skip
def test_the_positive_class_is_an_index_or_none(save_run, vocab, positive, index):
    run = FinishedRun.open(save_run("r", vocab=vocab, positive=positive))
    assert run.positive == index == run.card.positive_index


def test_predictions_are_those_saved_for_the_split_and_refused_with_other_rows(save_run):
    run = FinishedRun.open(save_run("r", looked=True))
    valid, test = run.predictions("valid"), run.predictions("test")
    assert list(valid.frame["path"]) == list(run.part("valid")["path"]) != list(test.frame["path"])
    with pytest.raises(DataError, match="does not belong to the table.csv"):
        run.read_predictions("valid", run.part("test"), has_patients=True)
    with pytest.raises(DataError, match="valid-shifted.csv is not there"):
        run.predictions(SHIFTED)


def test_external_rows_have_their_own_patient_keys_or_none(save_run):
    run = FinishedRun.open(save_run("r"))
    assert run.predictions("valid").patients is not None
    assert run.read_predictions("valid", run.part("valid"), has_patients=False).patients is None


def test_a_run_whose_files_are_unchanged_is_not_read_again(save_run, monkeypatch):
    run = FinishedRun.open(save_run("r"))
    monkeypatch.setattr(room, "read_card", lambda _: pytest.fail("read again"))
    assert run.up_to_date() is run


def test_what_another_process_wrote_since_is_read(save_run):
    folder = save_run("r")
    run = FinishedRun.open(folder)
    card = json.loads(folder.card.read_text())
    folder.card.write_text(json.dumps({**card, "threshold": 0.25}))
    assert (run.card.threshold, run.up_to_date().card.threshold) == (0.5, 0.25)
    # replaced by a file of the same size and time: its inode tells
    table, run = folder.table.stat(), FinishedRun.open(folder)
    other = folder.table.with_suffix(".new")
    other.write_text(folder.table.read_text().replace("p0001", "p9001"))
    os.utime(other, ns=(table.st_atime_ns, table.st_mtime_ns))
    os.replace(other, folder.table)
    assert folder.table.stat().st_size == table.st_size and folder.table.stat().st_mtime_ns == table.st_mtime_ns
    assert "p9001" not in set(run.rows["patient"]) and "p9001" in set(run.up_to_date().rows["patient"])


def test_a_run_that_stopped_being_finished_or_lost_its_weights_is_refused(save_run):
    folder = save_run("r")
    run = FinishedRun.open(folder.root)
    folder.weights.unlink()
    with pytest.raises(DataError, match=r"model.safetensors cannot be read \(No such file"):
        run.up_to_date()
    folder.write_status("running")
    with pytest.raises(DataError, match="is 'interrupted', not 'done'"):
        run.up_to_date()


def test_a_sample_is_built_once_from_scores_and_has_any_other_threshold(save_run):
    """Sensitivity and specificity at 0.5 and 0.9 by counting; the order of the images stays."""
    predictions = FinishedRun.open(save_run("r")).predictions("valid")
    scores, truth = predictions.probs[:, 1], predictions.targs
    sample = predictions.sample(1, 0.5)
    for threshold in (0.5, 0.9, None):
        found = sample.at(threshold)
        expected = scores >= (0.5 if threshold is None else threshold)
        assert (found.predicted == expected[found.order]).all() and (found.targs == truth[found.order]).all()
        assert found.order is sample.order and found.clusters is sample.clusters
    assert (sample.at(0.9).predicted != sample.predicted).any()
    assert predictions.sample(0, 0.5).classes == (0,)


def test_another_threshold_must_fit_the_classes(save_run):
    three = (
        FinishedRun.open(save_run("r", vocab=("A", "B", "C"), positive=None)).predictions("valid").sample(None, None)
    )
    with pytest.raises(DataError, match="expected None with 3 classes"):
        three.at(0.5)
    with pytest.raises(DataError, match="threshold is NaN"):
        FinishedRun.open(save_run("s")).predictions("valid").sample(1, 0.5).at(float("nan"))


def test_scores_are_taken_from_the_table_once(save_run):
    predictions = FinishedRun.open(save_run("r")).predictions("valid")
    assert predictions.probs is predictions.probs and predictions.targs is predictions.targs
    before = predictions.probs.copy()
    assert np.abs(predictions.at(Scaling(2.0)).probs - before).max() > 0.01 and (predictions.probs == before).all()


def test_a_config_that_cannot_be_read_names_the_version_that_wrote_the_run(save_run):
    folder = save_run("r")
    folder.config.write_text(folder.config.read_text() + "from_later: 1\n")
    with pytest.raises(DataError, match="was made by plainfilm 0.1.0"):
        FinishedRun.open(folder.root)


def put_images(run: FinishedRun, data: Path) -> None:
    """The images of a drawn run, whose content is their name."""
    for relative in run.rows["relative"]:
        (data / relative).parent.mkdir(parents=True, exist_ok=True)
        (data / relative).write_bytes((data / relative).name.encode())


def test_moved_images_stay_found_when_the_run_is_read_again(save_run, tmp_path):
    folder, data, notes = save_run("r", patients=2, images=1), tmp_path / "new", []
    put_images(FinishedRun.open(folder), data)
    run = FinishedRun.open(folder, data, lambda what, facts: notes.append((what, facts)))
    assert run.part(SHIFTED)["file"].str.startswith(str(data)).all() and run.part("test")["path"].str.startswith("/data").all()  # fmt: skip
    assert [facts["text"] for what, facts in notes if what == "note"][1:] == [
        f"DATA is now {data}: the 2 images of train and valid are unchanged; the 2 of test are there, and are compared in a test-set access."
    ]
    folder.table.touch()
    again = run.up_to_date()
    assert again is not run and list(again.rows["file"]) == list(run.rows["file"]) and again.data == data


def test_the_table_that_was_moved_is_named_itself_or_by_its_folder(save_run, tmp_path):
    folder, data = save_run("r", patients=2, images=1, options={"data.path": "/data/list.csv"}), tmp_path / "new"
    put_images(FinishedRun.open(folder), data)
    assert FinishedRun.open(folder).data == Path("/data/list.csv")
    assert FinishedRun.open(folder, data).data == data  # without its table
    (data / "list.csv").write_text("path,label\n")
    assert FinishedRun.open(folder, data).data == FinishedRun.open(folder, data / "list.csv").data == data / "list.csv"
