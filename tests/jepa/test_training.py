import dataclasses
import warnings

import numpy as np
import pytest
import torch

import spectral_jepa as sj
from spectral_jepa import InputError
from spectral_jepa.jepa import JepaConfig, Run, encoder_angle, optimal_loss, refit, train_jepa

FAMILIES = {
    "block": lambda: sj.make_block(n_states=24, n_blocks=5, n_actions=2, seed=0),
    "low rank": lambda: sj.make_low_rank(n_states=24, rank=8, n_actions=2, seed=0),
    "dirichlet": lambda: sj.make_dirichlet(24, 2, concentration=0.1, seed=0),
    "torus": lambda: sj.make_torus(5, slip=0.5),
    "garnet": lambda: sj.make_garnet(24, 2, branching=4, seed=0),
}


@pytest.fixture(scope="module")
def exact():
    return sj.CoOccurrence.exact(FAMILIES["block"]())


def independent_losses(exact, encoded, predicted):
    """E||g - f+||^2 and -2 E g.f+ + E (g.f')^2, entry by entry from the joint law, and E f f^T."""
    law = exact.dense_joint() * exact.action_frequency[:, None, None]
    rho, q = law.sum(2), law.sum((0, 1))
    squared = np.square(predicted[:, :, None] - encoded[None, None]).sum(-1)
    inner = np.einsum("axk,yk->axy", predicted, encoded)
    spectral = -2 * np.sum(law * inner) + np.einsum("ax,y,axy->", rho, q, inner**2)
    return np.sum(law * squared), spectral, np.einsum("y,yk,yl->kl", q, encoded, encoded)


# Worlds of one size train as one batch.
@pytest.mark.parametrize("families", [["block", "low rank", "dirichlet", "garnet"], ["torus"]], ids=", ".join)
@pytest.mark.parametrize(("loss", "strength"), [("spectral", 0.0), ("prediction", 0.3)])
def test_training_reaches_the_closed_form_at_every_dimension(families, loss, strength):
    exact = [sj.CoOccurrence.exact(FAMILIES[family]()) for family in families]
    runs = [Run(dim, seed=3, strength=strength, data=number) for number in range(len(exact)) for dim in (1, 4, 16)]
    config = JepaConfig(loss=loss, regularizer="none" if loss == "spectral" else "whitening", n_steps=2000)
    trained = train_jepa(exact, runs, config)
    for number, run in enumerate(runs):
        of, dim = f"{families[run.data]}, dim {run.dim}", run.dim
        squares = np.linalg.svd(exact[run.data].stacked, compute_uv=False) ** 2
        embedding = trained.embedding(number)
        prediction, spectral, moment = independent_losses(exact[run.data], embedding.target, embedding.predicted)
        if loss == "spectral":
            reached, least = spectral, -squares[:dim].sum()
        else:
            scale = np.maximum(0, 1 - (1 - squares[:dim]) / (2 * strength))
            least = np.sum(scale * (1 - squares[:dim]) + strength * (scale - 1) ** 2)
            reached = prediction + strength * np.square(moment - np.eye(dim)).sum()
            assert np.sum(np.linalg.eigvalsh(moment) > 1e-5) == np.sum(scale > 1e-5), of
        assert -1e-9 <= reached - least <= 1e-6, of
        assert trained.table["loss"][number] == pytest.approx(reached, abs=1e-10), of
        assert trained.table["optimum"][number] == pytest.approx(least, abs=1e-10), of


def test_hard_whitening_reaches_its_value_and_needs_the_right_directions(exact):
    # 500 steps reach the value to 4e-11.
    config = JepaConfig(regularizer="hard_whitening", n_steps=1000)
    trained = train_jepa(exact, [Run(dim, seed) for dim in (2, 4) for seed in (0, 1)], config)
    squares = np.linalg.svd(exact.stacked, compute_uv=False) ** 2
    for number, run in enumerate(trained.runs):
        embedding = trained.embedding(number)
        prediction, _, moment = independent_losses(exact, embedding.target, embedding.predicted)
        assert np.allclose(moment, np.eye(run.dim), atol=1e-10)
        assert prediction == pytest.approx(np.sum(1 - squares[: run.dim]), abs=1e-8)
    # White, but with the last directions: far above the value.
    right = np.linalg.svd(exact.stacked)[2][-2:].T / np.sqrt(exact.pooled_column_weight)[:, None]
    assert independent_losses(exact, right, refit(exact, right).predicted @ np.eye(2))[0] > np.sum(1 - squares[:2]) + 0.5


def test_blocks_of_a_partition_learn_the_same_functions():
    exact = sj.CoOccurrence.exact(FAMILIES["dirichlet"]())
    values = np.linalg.svd(exact.stacked, compute_uv=False)
    assert values[2] - values[3] > 0.01
    config = JepaConfig(
        regularizer="subspace_whitening", n_subspaces=2, subspace_kind="partition", n_steps=3000, learning_rate=0.05
    )
    trained = train_jepa(exact, [Run(dim=6, seed=seed, strength=3.0) for seed in (0, 1, 2)], config)
    scale = np.maximum(0, 1 - (1 - values[:3] ** 2) / 6)
    least = 2 * np.sum(scale * (1 - values[:3] ** 2) + 3 * (scale - 1) ** 2)
    for number in range(3):
        assert trained.table["loss"][number] == pytest.approx(least, abs=1e-6)
        moment = independent_losses(exact, trained.embedding(number).target, trained.embedding(number).predicted)[2]
        assert np.sum(np.linalg.eigvalsh(moment) > 1e-4) == 3


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"loss": "spectral", "regularizer": "none"},
        {"regularizer": "hard_whitening"},
        {"regularizer": "sigreg", "n_slices": 16},
        *(
            pytest.param(settings, marks=pytest.mark.slow)
            for settings in (
                {"regularizer": "vicreg", "encoder": "features", "predictor": "mlp"},
                {"encoder": "mlp", "predictor": "film", "centered": True},
                {"predictor": "linear", "target": "ema"},
                {"target": "stop_gradient", "optimizer": "sgd"},
            )
        ),
    ],
    ids=str,
)
def test_a_batch_trains_each_run_as_if_alone(exact, settings):
    config = JepaConfig(n_steps=200, **settings)
    runs = [Run(1, 0, 0.3), Run(4, 1, 1.0), Run(6, 2, 0.5)]
    together = train_jepa(exact, runs, config)
    assert np.abs(together.encoded[0, :, 1:]).max() == 0
    for number, run in enumerate(runs):
        alone = train_jepa(exact, [run], config)
        assert np.abs(alone.encoded).max() > 1e-4
        assert np.abs(together.encoded[number, :, : run.dim] - alone.encoded[0]).max() < 1e-9
        assert np.abs(together.predicted[number, :, :, : run.dim] - alone.predicted[0]).max() < 1e-9
        assert together.table["loss"][number] == pytest.approx(alone.table["loss"][0], abs=1e-9)


def test_a_batch_of_samples_and_minibatches_trains_each_run_as_if_alone():
    mdp = FAMILIES["block"]()
    data = [sj.sample_transitions(mdp, n_transitions=n, seed=n) for n in (300, 2000)]
    config = JepaConfig(n_steps=200, batch_size=64, regularizer="subspace_sigreg", n_subspaces=2, n_slices=8)
    runs = [Run(4, seed, data=number) for number in (0, 1) for seed in (0, 5)]
    together = train_jepa(data, runs, config)
    for number, run in enumerate(runs):
        alone = train_jepa(data[run.data], [dataclasses.replace(run, data=0)], config)
        assert np.abs(together.encoded[number] - alone.encoded[0]).max() < 1e-9
    assert np.abs(together.encoded[0] - together.encoded[1]).max() > 0.1


def test_minibatch_losses_average_to_the_empirical_one():
    mdp = FAMILIES["block"]()
    data = sj.sample_transitions(mdp, n_transitions=5000, seed=0)
    population = train_jepa(data, [Run(3, strength=1.0)], JepaConfig(n_steps=1500))
    minibatch = train_jepa(data, [Run(3, strength=1.0)], JepaConfig(n_steps=1500, batch_size=512))
    assert population.table["gap"][0] < 1e-9
    assert 0 < minibatch.table["gap"][0] < 0.02
    wrong = train_jepa(data, [Run(3, strength=1.0)], JepaConfig(n_steps=5, batch_size=512))
    assert wrong.table["gap"][0] > 0.1


def test_restricted_predictors_stay_above_the_free_optimum(exact):
    for predictor in ("linear", "mlp", "film"):
        table = train_jepa(exact, [Run(3, strength=1.0)], JepaConfig(predictor=predictor)).table
        assert -1e-9 < table["gap"][0] < 0.2


def test_without_a_regulariser_the_loss_vanishes_and_so_does_the_embedding(exact):
    trained = train_jepa(exact, [Run(4)], JepaConfig(regularizer="none", n_steps=2000))
    moment = independent_losses(exact, trained.embedding(0).target, trained.embedding(0).predicted)[2]
    assert trained.table["loss"][0] < 1e-10
    # What survives is constant over states, a direction with s = 1.
    assert np.linalg.eigvalsh(moment)[-2] < 1e-8


def test_a_run_without_finite_loss_stops_alone():
    exact = sj.CoOccurrence.exact(FAMILIES["block"]())
    config = JepaConfig(n_steps=300, optimizer="sgd", learning_rate=0.05, record_every=20)
    runs = [Run(3, 0, 0.5), Run(3, 0, 1e6), Run(2, 1, 0.5)]
    with pytest.warns(UserWarning, match=r"run 1 \(dim 3, seed 0, strength 1e\+06, data 0\) has no finite loss at step \d+"):
        trained = train_jepa(exact, runs, config)
    assert trained.table["status"].tolist() == ["all steps done", "failed", "all steps done"]
    assert np.isfinite(trained.encoded).all()
    for number in (0, 2):
        alone = train_jepa(exact, [runs[number]], config)
        dim = runs[number].dim
        assert np.abs(trained.encoded[number, :, :dim] - alone.encoded[0]).max() < 1e-9


def test_converged_runs_stop_by_themselves(exact):
    config = JepaConfig(n_steps=3000, tolerance=1e-6, record_every=50)
    trained = train_jepa(exact, [Run(2, 0, 1.0), Run(5, 1, 1.0)], config)
    assert set(trained.table["status"]) == {"converged"}
    assert (trained.table["gradient_norm"] <= 1e-6).all()
    assert trained.history["step"].max() < 3000
    alone = train_jepa(exact, [Run(2, 0, 1.0)], config)
    assert np.abs(alone.encoded[0] - trained.encoded[0, :, :2]).max() < 1e-9


def test_optimum_without_a_formula_is_nan(exact):
    assert np.isnan(optimal_loss(exact, JepaConfig(regularizer="sigreg"), 3, 1.0))


def test_an_encoder_with_no_function_to_hold_pays_the_penalty():
    # Every step leads to state 0: of one reached state a centred encoder knows nothing, and ||0 - I||^2 = 2 at k = 2.
    exact = sj.CoOccurrence.exact(sj.TabularMDP([[[1.0, 0.0], [1.0, 0.0]]]))
    config = JepaConfig(regularizer="whitening", centered=True, n_steps=3000)
    assert optimal_loss(exact, config, 2, 0.3) == pytest.approx(0.6)
    trained = train_jepa(exact, [Run(dim=2, strength=0.3)], config)
    assert 0.6 <= float(trained.table["loss"][0]) < 0.6 + 1e-4


def test_refit_and_angle(exact):
    right = exact.stacked_decomposition[2] / np.sqrt(exact.pooled_column_weight)[:, None]
    squares = np.linalg.svd(exact.stacked, compute_uv=False) ** 2
    mixed = right[:, [0, 2]] @ np.array([[2.0, 0.1], [0.3, 1.0]])
    assert sj.pooled_risk(exact, refit(exact, mixed)) == pytest.approx(squares.sum() - squares[0] - squares[2], abs=1e-10)
    assert encoder_angle(exact, right[:, :2] @ np.array([[1.0, 2.0], [0.0, 0.1]]), gap=1e-6) < 1e-6
    assert encoder_angle(exact, mixed, gap=1e-6) == pytest.approx(np.pi / 2)
    assert np.isnan(encoder_angle(exact, mixed, gap=1.0))
    collapsed = np.ones((24, 2))
    assert sj.pooled_risk(exact, refit(exact, collapsed)) == pytest.approx(squares.sum() - 1, abs=1e-10)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda e: JepaConfig(regularizer="ridge"), "expected one of 'none', 'whitening'"),
        (lambda e: train_jepa(e, []), "runs is empty"),
        (lambda e: train_jepa([], [Run(2)]), "data is empty"),
        (lambda e: train_jepa(e, [Run(2, data=1)]), "expected a data set between 0 and 0"),
        (lambda e: train_jepa(e, [Run(2)], JepaConfig(batch_size=8)), "expected Transitions"),
        (
            lambda e: train_jepa(e, [Run(12)], JepaConfig(regularizer="subspace_sigreg", n_subspaces=5)),
            "expected one of 1, 2, 3, 4, 6, 12",
        ),
        (
            lambda e: train_jepa(e, [Run(2), Run(4)], JepaConfig(regularizer="subspace_whitening")),
            r"runs have dimensions \[2, 4\]",
        ),
        (lambda e: JepaConfig(loss="spectral", target="ema"), "others need loss='prediction'"),
        (
            lambda e: train_jepa(e, [Run(8, s) for s in range(64)], JepaConfig(regularizer="sigreg", n_slices=10_000_000)),
            "GiB",
        ),
    ],
)
def test_bad_input_is_one_sentence(exact, call, message):
    with pytest.raises(InputError, match=message) as caught:
        call(exact)
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_gpu_equals_cpu(exact):
    config = JepaConfig(n_steps=200, regularizer="sigreg")
    runs = [Run(3, 0), Run(5, 1)]
    # Other orders of summation: rounding, amplified over 200 steps.
    assert (
        np.abs(train_jepa(exact, runs, config).encoded - train_jepa(exact, runs, config, device="cuda").encoded).max() < 1e-8
    )


def test_global_random_state_is_left_alone(exact):
    before = torch.random.get_rng_state()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        train_jepa(exact, [Run(2)], JepaConfig(regularizer="sigreg", n_steps=3))
    assert torch.equal(before, torch.random.get_rng_state())
