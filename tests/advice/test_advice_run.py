"""Advice on a run's folder: what it reads, what it leaves, and that the run's page shows it; one cell of the table again."""

import json

import numpy as np
import pandas as pd
import pytest

from spectral_jepa.cli import main
from spectral_jepa.pixels.config import DataConfig
from spectral_jepa.pixels.data import ActionScaler
from spectral_jepa.pixels.data.collect import collect
from spectral_jepa.pixels.model.saved import make_model, save_model
from spectral_jepa.pixels.presets import changed, preset
from spectral_jepa.sweep.experiment import load_experiment
from spectral_jepa.sweep.results import reference_table


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """An untrained model of eight coordinates and its data."""
    root = tmp_path_factory.mktemp("run")
    config = changed(preset("tiny"), {"data.n_episodes": 60, "model.embedding_dim": 8, "objective.n_subspaces": 2})
    assert isinstance(config.data, DataConfig)
    data = collect(config.data, root / "data.h5", n_jobs=1, progress=False)
    save_model(make_model(config), root / "sigreg-0", config, ActionScaler((0.0, 0.0), (1.0, 1.0)), {"data": str(data)})
    return root / "sigreg-0"


def test_a_run_is_advised_and_reported(run, capsys):
    main(["advise", str(run), "--folds", "4"])
    shown = capsys.readouterr().out
    words = " ".join(shown.split())
    assert words.count("k = ") and "by the model's own predictor" in words and "above its collapse threshold" in words
    found, table = json.loads((run / "advice.json").read_text()), pd.read_csv(run / "advice.csv")
    assert found["known_episodes"] and found["n_groups"] == 12 and found["threshold"]["ratio"] > 1
    assert table["dim"].tolist() == list(range(9)) and (run / "figures" / "advice.png").is_file()
    # An untrained predictor knows less than least squares.
    assert found["unpredicted_by_model"]["value"] > found["unpredicted"]["value"]
    main(["report", str(run)])
    page = (run / "report.html").read_text()
    assert "Advice on the latent space" in page and found["findings"][0] in page


def test_what_a_run_says_itself_is_not_asked(run, capsys):
    for words, said in ((["--strength", "1"], "--strength was given"), (["--out", "new"], "--out was given")):
        with pytest.raises(SystemExit):
            main(["advise", str(run), *words])
        assert said in capsys.readouterr().err


@pytest.mark.parametrize("world", ["linear, hidden", "block", "noise"])
def test_the_table_comes_out_again(world):
    table = reference_table("advice")
    kept = table[(table["world"] == world) & (table["n_transitions"] == 400) & (table["seed"] == 3)]
    again = pd.DataFrame(load_experiment("advice")(world=world, n_transitions=400, seed=3))
    for name in ("true", "estimate", "low", "high", "in_sample", "recommended", "clear"):
        np.testing.assert_allclose(again[name], kept[name], rtol=1e-6, atol=1e-9)
