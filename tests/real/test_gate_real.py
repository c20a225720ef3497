"""The input gate on chest X-rays: each kind of foreign picture by itself, and the false alarms among other patients.

The official test folder stays closed: films are those valid ones that set nothing. With -s the shares are printed.
"""

from __future__ import annotations

from typer.testing import CliRunner

from foreign_pictures import CHOSEN_LAST, DESIGNED_WITH, foreign
from plainfilm.cli import app
from plainfilm.data.cache.rows import decode_rows
from plainfilm.data.image.decode import DecodeSpec
from plainfilm.data.split.valid_roles import untouched
from plainfilm.data.table.saved_table import read_table
from plainfilm.evaluate.ood.ood_gate import read_gate
from plainfilm.evaluate.predictions import predict
from plainfilm.models.from_card import kept_network
from plainfilm.runs.card import read_card
from plainfilm.runs.folder import RunDir


def test_each_kind_is_marked_and_few_other_patients_are(kermany, tmp_path):
    options = ["--split", "official", "--model", "compact", "--size", "128", "--epochs", "6", "--seed", "100"]
    trained = CliRunner().invoke(app, ["train", str(kermany), *options, "--no-audit", "--out", str(tmp_path / "run")])
    assert trained.exit_code == 0, trained.stderr
    run = RunDir(tmp_path / "run")
    card, rows = read_card(run), read_table(run)
    films = decode_rows(rows[untouched(rows)], DecodeSpec(**card.decode))[:]
    gate, (model, device) = read_gate(run, card), kept_network(run, card, "cpu")

    def marked(pictures):
        return float((gate.score(pictures, predict(model, pictures, device)[1])[0] > 1).mean())

    shares = {kind: marked(foreign(kind, films)) for kind in (*DESIGNED_WITH, *CHOSEN_LAST, "upside down")}
    print(f"\n{len(films)} films of other patients: {marked(films):.3f} marked")
    print(*(f"{kind}: {share:.3f}" for kind, share in shares.items()), sep="\n")
    assert marked(films) <= 0.05
    for kind in (*DESIGNED_WITH, *CHOSEN_LAST):
        assert shares[kind] >= 0.95, kind
    assert shares["upside down"] >= 0.5  # neither designed for nor held out; 0.7 is usual
