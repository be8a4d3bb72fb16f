"""An encoder against the spectrum: exact where the answer is known, blind to the gauge, low for random tables."""

from itertools import product

import numpy as np
import pytest
import torch
from sklearn.kernel_ridge import KernelRidge
from torch import nn

import spectral_jepa as sj
from spectral_jepa._validation import InputError
from spectral_jepa.jepa import refit
from spectral_jepa.pixels.data import ActionScaler
from spectral_jepa.pixels.diagnostics.latent_table import latent_table, picture_components
from spectral_jepa.pixels.diagnostics.spectrum import (
    PENALTIES,
    corrected_embedding,
    in_sequences,
    kernel_shares,
    leading_groups,
    match_spectrum,
    place_regret,
    spectrum_row,
)
from spectral_jepa.pixels.environments import environment_class
from spectral_jepa.pixels.environments.mdp_pictures import Nuisance
from spectral_jepa.pixels.presets import changed, preset

WORLDS = {
    "torus": lambda: sj.make_torus(5, 0.5),
    "four rooms": lambda: sj.make_four_rooms(7, 0.3),
    "dirichlet": lambda: sj.make_dirichlet(14, 3, concentration=0.2, seed=1),  # its weight is not stationary
}


def centred(cooc, dim):
    """The exact embedding without its constant."""
    best = sj.spectral_embedding(cooc, dim + 1, shared=True)
    return sj.Embedding(best.target[:, 1:], best.predicted[:, :, 1:], best.column_weight)


@pytest.mark.parametrize("name", WORLDS)
def test_the_exact_functions_score_one_and_the_tail(name):
    world = WORLDS[name]()
    exact = sj.CoOccurrence.exact(world)
    n = match_spectrum(exact, np.ones((world.n_states, 1)), 8).values.size
    row = spectrum_row(world, centred(exact, n), 8)
    assert row["correlation"] == pytest.approx(1, abs=1e-9) and row["share"] == pytest.approx(1, abs=1e-9)
    assert row["n_functions"] == n
    # The read-out and the corrected model are the truncated SVD; as they are, the constant (value 1) is missing.
    tail = sj.tail(exact, n + 1, shared=True)
    assert [row[name] for name in ("readout_risk", "tail", "corrected_risk")] == pytest.approx([tail] * 3, abs=1e-9)
    assert row["risk"] == pytest.approx(tail + 1, abs=1e-9)
    assert row["whitening_gap"] == pytest.approx(0, abs=1e-9) and row["effective_rank"] == pytest.approx(n)
    # 1 - the mean of the squared singular values is unpredicted (docs/theory.md, 2.5).
    values = sj.spectrum(exact, shared=True)[1 : n + 1]
    assert row["unpredicted"] == pytest.approx(1 - (values**2).mean(), abs=1e-9)


@pytest.mark.parametrize("name", WORLDS)
def test_what_is_measured_of_the_span_is_blind_to_the_gauge(name):
    world = WORLDS[name]()
    exact, rng = sj.CoOccurrence.exact(world), np.random.default_rng(0)
    encoded = rng.normal(size=(world.n_states, 5))
    fitted = refit(exact, np.column_stack([np.ones(world.n_states), encoded]))
    matrix, shift = 2 * np.eye(5) + 0.3 * rng.normal(size=(5, 5)), rng.normal(size=5)
    rows = []
    for target in (encoded, encoded @ matrix + shift):
        joint = exact.dense_joint() / exact.row_weight[:, :, None]
        rows.append(spectrum_row(world, sj.Embedding(target, joint @ target, fitted.column_weight), 8))
        # An independent route: the refitted model's own risk.
        assert rows[-1]["readout_risk"] == pytest.approx(sj.pooled_risk(exact, fitted), abs=1e-9)
    for key in ("correlation", "share", "readout_risk", "corrected_risk", "corrected_regret"):
        assert rows[0][key] == pytest.approx(rows[1][key], abs=1e-8), key
    assert rows[0]["risk"] != pytest.approx(rows[1]["risk"], rel=1e-3)  # as they are, the gauge matters
    assert rows[0]["corrected_risk"] == pytest.approx(rows[0]["readout_risk"], abs=1e-9)  # g is the conditional mean


def test_shares_are_those_of_least_squares_and_a_random_table_scores_low():
    world = WORLDS["four rooms"]()
    exact = sj.CoOccurrence.exact(world)
    law = exact.pooled_column_weight
    functions = exact.stacked_decomposition[2] / np.sqrt(law)[:, None]
    encoded = np.random.default_rng(3).normal(size=(world.n_states, 8))
    match = match_spectrum(exact, encoded, 8)
    inputs = np.column_stack([np.ones(world.n_states), encoded]) * np.sqrt(law)[:, None]
    for first, stop in match.groups:
        outputs = np.sqrt(law)[:, None] * functions[:, 1 + first : 1 + stop]
        missed = outputs - inputs @ np.linalg.lstsq(inputs, outputs, rcond=None)[0]
        assert match.shares[first:stop] == pytest.approx(1 - (missed**2).sum() / (outputs**2).sum(), abs=1e-9)
    # Of 39 dimensions a random span of 8 holds 8 in the mean: canonical correlations of about sqrt(8 / 39) = .45.
    drawn = [match_spectrum(exact, np.random.default_rng(s).normal(size=(40, 8)), 8) for s in range(40)]
    assert np.mean([m.shares.mean() for m in drawn]) == pytest.approx(8 / 39, abs=0.03)
    assert np.mean([m.mean_correlation for m in drawn]) < 0.5
    assert np.mean([kernel_shares(exact, np.random.default_rng(s).normal(size=(40, 8)), 8).mean() for s in range(10)]) < 0.1
    assert match_spectrum(exact, np.full((40, 3), 7.3), 8).mean_correlation == 0


def test_groups_are_never_cut():
    values = sj.spectrum(sj.CoOccurrence.exact(sj.make_torus(5, 0.5)), shared=True)[1:]
    assert leading_groups(values, 8) == ((0, 4), (4, 8)) == leading_groups(values, 11)
    assert leading_groups(values, 24)[-1] == (20, 24)
    with pytest.raises(InputError, match="expected at least 4"):
        leading_groups(values, 3)
    # In a group the functions are any rotation of one another: shares and correlations do not see which.
    exact = sj.CoOccurrence.exact(sj.make_torus(5, 0.5))
    white = sj.spectral_embedding(exact, 5, shared=True).target[:, 1:]
    turned = white @ np.linalg.qr(np.random.default_rng(0).normal(size=(4, 4)))[0]
    one, other = (match_spectrum(exact, part[:, :2], 4) for part in (white, turned))
    assert one.shares == pytest.approx(other.shares, abs=1e-9) and one.shares == pytest.approx(np.full(4, 0.5), abs=1e-9)


def test_states_are_left_out_as_if_one_by_one():
    exact = sj.CoOccurrence.exact(sj.make_ring(9, 0.5))
    encoded = np.random.default_rng(1).normal(size=(9, 2))
    functions = exact.stacked_decomposition[2][:, 1:3] * 3
    distances = ((encoded[:, None] - encoded) ** 2).sum(-1)
    gamma = 0.5 / np.median(distances[~np.eye(9, dtype=bool)])
    best = np.full(2, np.inf)
    for penalty in PENALTIES:
        missed = np.zeros((9, 2))
        for out in range(9):
            kept = np.arange(9) != out
            # Ridge regression with a free intercept, by brute force: a constant kernel of huge weight.
            kernel = np.exp(-gamma * distances) + 1e6
            model = KernelRidge(alpha=penalty * 9, kernel="precomputed").fit(kernel[np.ix_(kept, kept)], functions[kept])
            missed[out] = functions[out] - model.predict(kernel[np.ix_([out], kept)])[0]
        best = np.minimum(best, (missed**2).mean(axis=0))
    expected = np.maximum(1 - best / (functions**2).mean(axis=0), 0).mean()
    assert kernel_shares(exact, encoded, 2) == pytest.approx(np.full(2, expected), abs=1e-4)


def test_corrected_latents_are_probabilities_where_the_encoder_tells_all():
    for world in (WORLDS["torus"](), WORLDS["dirichlet"]()):
        exact, rng = sj.CoOccurrence.exact(world), np.random.default_rng(2)
        target = rng.normal(size=(world.n_states, world.n_states + 3)) + 4
        bent = sj.Embedding(target, world.transition @ target, exact.pooled_column_weight)
        assert corrected_embedding(exact, bent, floor=0).transition() == pytest.approx(world.transition, abs=1e-6)
        assert place_regret(world, corrected_embedding(exact, bent, floor=0), score="transition") < 1e-9
    with pytest.raises(InputError, match="one encoder an action"):
        corrected_embedding(exact, sj.spectral_embedding(exact, 3))


def test_sequences_are_products():
    world = WORLDS["dirichlet"]()
    thrice = in_sequences(world, 3)
    for number, label in ((0, (0, 0, 0)), (5, (0, 1, 2)), (26, (2, 2, 2))):
        assert thrice.action_labels[number] == label
        expected = world.transition[label[0]] @ world.transition[label[1]] @ world.transition[label[2]]
        assert thrice.transition[number] == pytest.approx(expected)
    # The exact plan of three steps, as plan_goals rolls it out.
    exact = sj.CoOccurrence.exact(world)
    full = sj.spectral_embedding(exact, world.n_states)
    ahead = sj.plan_goals(world, full, horizon=3).best
    one_choice = sj.plan_goals(thrice, sj.spectral_embedding(sj.CoOccurrence.exact(thrice), world.n_states))
    assert one_choice.best == pytest.approx(ahead) and one_choice.mean_regret < 1e-9


def test_regret_counts_places_not_backgrounds():
    task = sj.make_ring(5, 0.2)
    world = Nuisance("iid", values=3).beside(task)
    rng = np.random.default_rng(0)
    table = sj.Embedding(rng.normal(size=(15, 2)), rng.normal(size=(3, 15, 2)), world.next_weight)
    chosen = -((table.predicted[:, :, None] - table.target) ** 2).sum(-1)
    regret = 0.0
    for start, goal in product(range(15), range(15)):
        reach = task.transition[:, start // 3, goal // 3]
        regret += (reach.max() - reach[chosen[:, start, goal].argmax()]) / 225
    assert place_regret(world, table, n_values=3) == pytest.approx(regret, abs=1e-12)
    assert place_regret(world, table) == pytest.approx(sj.goal_regret(world, table, score="euclidean"), abs=1e-12)
    with pytest.raises(InputError, match="n_values is 4 for 15 states"):
        place_regret(world, table, n_values=4)


class Numbered(nn.Module):
    """A model whose latent is the agent's place in the picture, and whose prediction adds the numbers of its actions."""

    def __init__(self, config):
        super().__init__()
        self.config, self.nothing = config, nn.Parameter(torch.zeros(1))

    def encode(self, frames):
        red = (frames.float() - torch.tensor([255.0, 0, 0])).abs().sum(-1) == 0
        weight = red.float() / red.sum((-1, -2), keepdim=True)
        down, right = torch.arange(red.shape[-2]).float(), torch.arange(red.shape[-1]).float()
        return torch.stack([(weight.sum(-1) * down).sum(-1), (weight.sum(-2) * right).sum(-1)], -1)

    def rollout(self, latents, blocks):
        numbers = (blocks.unflatten(-1, (self.config.action_block, -1)) * torch.arange(4.0)).sum(-1)
        digits = torch.tensor([10.0 ** -(i + 1) for i in range(self.config.action_block)])
        moved = (numbers * digits).sum(-1)
        return latents[:, -1:] + moved.cumsum(1)[..., None]


def test_a_model_becomes_a_table_in_the_order_of_sequences():
    torus = environment_class("mdp_torus")
    scaler = ActionScaler((0.0,) * 4, (1.0,) * 4)
    model = Numbered(changed(preset("tiny", "mdp_torus"), {"model.action_block": 2}).model)
    table = latent_table(model, torus, scaler)
    places = np.array(torus.task.state_labels)
    assert np.diff(table.target.reshape(5, 5, 2)[:, 0, 0]) == pytest.approx(np.full(4, 6.0))  # cells of 6 px
    assert np.corrcoef(table.target[:, 1], places[:, 1])[0, 1] == pytest.approx(1)
    labels = in_sequences(torus.world, 2).action_labels
    for number in (0, 6, 15):
        first, second = labels[number]
        moved = table.predicted[number] - table.target
        assert moved == pytest.approx(np.full((25, 2), first / 10 + second / 100), abs=1e-5)
    twice = latent_table(
        Numbered(changed(preset("tiny", "mdp_torus"), {"model.action_block": 1}).model), torus, scaler, n_blocks=2
    )
    assert (twice.predicted[7] - twice.target) == pytest.approx(np.full((25, 2), (1 + 3) / 10), abs=1e-5)
    with pytest.raises(InputError, match="expected 3, one an action of mdp_ring"):
        latent_table(model, environment_class("mdp_ring"), scaler)


def test_components_of_the_pictures_know_no_dynamics():
    torus = environment_class("mdp_torus")
    exact = sj.CoOccurrence.exact(torus.world)
    # Pictures of the torus are 25 equal and disjoint squares: all directions are alike, and 8 of 24 hold a third of all.
    full = picture_components(torus, 30, 24)
    assert match_spectrum(exact, full, 8).mean_correlation == pytest.approx(1, abs=1e-9)
    assert match_spectrum(exact, picture_components(torus, 30, 8), 24).shares.mean() == pytest.approx(8 / 24, abs=1e-9)
