"""The bridge experiments: trained as the package trains, tables measured again on small cells, figures, predictions."""

import numpy as np
import pandas as pd
import pytest
import torch

import spectral_jepa as sj
from spectral_jepa.pixels.diagnostics.latent_table import latent_table
from spectral_jepa.pixels.diagnostics.spectrum import match_spectrum
from spectral_jepa.pixels.environments import environment_class
from spectral_jepa.pixels.model.saved import load_model
from spectral_jepa.pixels.training.loop import train
from spectral_jepa.plotting.drawing import find_drawing
from spectral_jepa.sweep.experiment import load_experiment
from spectral_jepa.sweep.results import reference_table

ORDER, DIMENSION, REGULARIZER = (load_experiment(f"bridge_{name}") for name in ("order", "dimension", "regularizer"))


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A tiny cell of each kind of method, beside closed forms."""
    methods = {"SIGReg": 4, "autoencoder": 4, "beside": 200}
    cells = [{"world": "torus 5 x 5", "method": m, "seed": 0, "n_steps": n} for m, n in methods.items()]
    return sj.run_sweep(ORDER, cells, tmp_path_factory.mktemp("order"), n_jobs=1, progress=False)


def test_the_experiments_train_as_the_command_does(tmp_path):
    config = ORDER.module.settings("torus 5 x 5", "whitening", 8, 0, 5, n_episodes=20, training__batch_size=64)
    ((_, model, scaler),) = ORDER.module.train(config, {5})
    run = train(config, ORDER.module.episodes(config.data), tmp_path, device="cpu", progress=False)
    again, _, same = load_model(run.folder)
    assert same == scaler
    for name, value in model.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name


def test_the_kept_curves_are_measured_again():
    table = reference_table("bridge_order")
    kept = table[(table["world"] == "torus 5 x 5") & (table["method"] == "whitening") & (table["seed"] == 1)]
    module = ORDER.module
    config = module.settings("torus 5 x 5", "whitening", module.DIM, 1, int(kept["n_steps"].iloc[0]), **module.SMALL)
    environment = environment_class(config.data.environment)
    exact = sj.CoOccurrence.exact(environment.world)
    for step, model, scaler in module.train(config, {0, 10, 20}):
        match = match_spectrum(exact, latent_table(model, environment, scaler).target, module.N_SHOWN)
        own = kept[(kept["step"] == step) & (kept["group"] > 0)].sort_values("group")
        assert own["value"].to_numpy() == pytest.approx(match.group_values, abs=1e-9)
        # Float32 on another processor drifts apart as training goes on.
        assert own["share"].to_numpy() == pytest.approx(match.group_shares, abs=1e-3 if step else 1e-4)
        if step == 20:
            break


def test_a_cell_holds_what_it_promises_and_is_drawn(small):
    assert (small["status"] == "ok").all()
    whole = small[small["group"] == 0].set_index("arm")
    assert {"SIGReg", "SIGReg, untrained", "autoencoder", "SVD, exact", "SVD, same data", "PCA of pixels"} <= set(
        whole.index
    )
    assert whole.loc["SVD, exact", "correlation"] == pytest.approx(1, abs=1e-9)
    assert whole.loc["SVD, exact", "readout_risk"] == pytest.approx(whole.loc["SVD, exact", "tail"], abs=1e-9)
    # No span of eight functions and the constant does better than the tail.
    assert (whole["readout_risk"] >= whole["tail"] - 1e-9).all() and whole["correlation"].between(0, 1).all()
    # A table trained on the counts stands near their decomposition, a few steps of pixels do not.
    assert whole.loc["tabular JEPA, whitening", "correlation"] > 0.95
    assert whole.loc["SIGReg", "correlation"] < 0.8
    assert set(find_drawing(ORDER)(small)) == {"bridge_order", "bridge_order_tables", "bridge_order_talk"}
    assert len(ORDER.module.summary(small)) == len(whole)


def test_half_steps_are_read_between_looks():
    rows = [
        {"world": "w", "method": "m", "seed": 0, "group": 1, "step": step, "share": share, "value": 0.9}
        for step, share in ((0, 0.1), (10, 0.3), (20, 0.7))
    ] + [{"world": "w", "method": "m", "seed": 0, "group": 2, "step": 0, "share": 0.2, "value": 0.5}]
    half = ORDER.module.half_steps(pd.DataFrame(rows)).set_index("group")["half_step"]
    assert half[1] == pytest.approx(15) and np.isnan(half[2])


def test_error_and_regret_over_dimensions(tmp_path):
    cells = [{"world": "torus 5 x 5", "dim": dim, "n_episodes": 14, "seed": 0, "n_steps": 2} for dim in (2, 8)]
    table = sj.run_sweep(DIMENSION, cells, tmp_path, n_jobs=1, progress=False)
    assert (table["status"] == "ok").all() and set(table["transitions"]) == {300}
    exact = table[table["method"] == "SVD, exact"]
    assert exact["risk"].to_numpy() == pytest.approx(exact["tail"].to_numpy(), abs=1e-9)
    assert (table["bound"] >= table["corrected_regret"] - 1e-9).all()
    assert set(find_drawing(DIMENSION)(table)) == {f"bridge_dimension_torus_5_x_5{end}" for end in ("", "_more", "_talk")}


def test_the_kept_decompositions_are_measured_again(tmp_path):
    kept = reference_table("bridge_dimension")
    cell = {"world": "torus 5 x 5", "dim": 4, "n_episodes": 14, "seed": 2, "n_steps": 1}
    table = sj.run_sweep(DIMENSION, [cell], tmp_path, n_jobs=1, progress=False).set_index("method")
    same = kept[(kept["dim"] == 4) & (kept["n_episodes"] == 14) & (kept["seed"] == 2)].set_index("method")
    for column in ("risk", "bound", "regret", "ahead_regret", "reward_regret"):
        for method in ("SVD, same data", "SVD, exact"):
            assert table.loc[method, column] == pytest.approx(same.loc[method, column], abs=1e-9)


def test_regularisers_and_what_is_predicted_of_them(tmp_path):
    module = REGULARIZER.module
    squares = np.array([0.684] * 4 + [0.428] * 4 + [0.3] * 4)
    # A direction stays under whitening iff s^2 > 1 - 2 lambda (docs/theory.md, 2.6); by hand: .8, .56, negative.
    assert [module.predictions(f"whitening {s}", squares)[0] for s in (0.1, 0.22, 1)] == [0, 4, 8]
    # c is about 1.53 at this batch: collapse is stable up to lambda = .316 / 1.53 = .207 where training means over k.
    assert [module.predictions(f"SIGReg {s}", squares)[0] for s in (0.1, 0.2, 0.215, 11.52)] == [0, 0, 8, 8]
    assert module.predictions("Sub-JEPA K=2", squares)[1:] == (4, 4) and module.predictions("Sub-JEPA K=4", squares)[1] == 2
    cells = [{"arm": arm, "world": "torus 5 x 5", "seed": 0, "n_steps": 2} for arm in ("VICReg (PLDM)", "Sub-JEPA K=4")]
    table = sj.run_sweep(REGULARIZER, cells, tmp_path, n_jobs=1, progress=False)
    assert (table["status"] == "ok").all() and table["effective_rank"].between(1, 8).all()
    assert set(find_drawing(REGULARIZER)(table)) == {f"bridge_regularizer_torus_5_x_5{end}" for end in ("", "_talk")}
