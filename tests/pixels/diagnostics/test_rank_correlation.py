from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.linear_model import LinearRegression
from torch import nn

from spectral_jepa import InputError
from spectral_jepa.pixels.data import ActionScaler, EpisodeDataset
from spectral_jepa.pixels.diagnostics.distance_shares import CONSTANT, distance_shares
from spectral_jepa.pixels.diagnostics.rank_correlation import (
    candidate_plans,
    frame_pairs,
    mean_rank_correlation,
    plan_distances,
    rank_correlation,
)

LENGTH, STEP = 12, 4.0


def test_rank_correlation_is_scipy_s_and_its_interval_fisher_s():
    rng = np.random.default_rng(0)
    for n, noise in ((6, 9.0), (30, 5.0), (500, 3.0)):
        x = rng.integers(0, 12, n).astype(float)  # with ties
        y = x**3 + noise * rng.normal(size=n) * 100
        found = rank_correlation(x, y)
        r = stats.spearmanr(x, y).statistic
        assert found.value == pytest.approx(r, abs=1e-10) and found.n == n
        half = 1.959964 * np.sqrt(1.06 / (n - 3))
        assert (found.low, found.high) == pytest.approx(
            (np.tanh(np.arctanh(r) - half), np.tanh(np.arctanh(r) + half)), abs=1e-5
        )
    # Only ranks are read, and a constant has none.
    assert rank_correlation([1, 2, 3, 4, 5], np.exp([1, 2, 3, 5, 4])).value == pytest.approx(0.9)
    assert rank_correlation([1, 2, 3, 4], [4, 3, 2, 1]).value == -1
    assert np.isnan(rank_correlation([1, 2, 3, 4], [7, 7, 7, 7]).value)
    assert np.isnan(rank_correlation([1, 2, 3], [1, 2, 3]).value)
    with pytest.raises(InputError, match="second has 3 values, expected 4"):
        rank_correlation([1, 2, 3, 4], [1, 2, 3])


def test_the_interval_holds_the_true_correlation_about_as_often_as_it_says():
    rng, rho = np.random.default_rng(1), 0.6
    true = 6 / np.pi * np.arcsin(rho / 2)  # Spearman's of a bivariate normal law
    hits = 0
    for _ in range(400):
        x = rng.normal(size=60)
        found = rank_correlation(x, rho * x + np.sqrt(1 - rho**2) * rng.normal(size=60))
        hits += found.low <= true <= found.high
    assert 0.91 <= hits / 400 <= 0.985


def test_groups_are_ranked_apart_and_averaged():
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(2, 6, 9))
    each = [stats.spearmanr(a, b).statistic for a, b in zip(x, y, strict=True)]
    found = mean_rank_correlation(x, y)
    assert found.value == pytest.approx(np.mean(each), abs=1e-10) and found.n == 6
    interval = stats.t.interval(0.95, 5, np.mean(each), stats.sem(each))
    assert (found.low, found.high) == pytest.approx(interval)
    # Levels of groups do not count, and a group in which nothing differs is left out.
    shifted = mean_rank_correlation(x + 100 * np.arange(6)[:, None], y)
    assert shifted.value == pytest.approx(found.value)
    x[0] = 3.0
    assert mean_rank_correlation(x, y).n == 5
    assert mean_rank_correlation(x, y).value == pytest.approx(np.mean(each[1:]))
    nothing = mean_rank_correlation(np.zeros((2, 5)), y[:2, :5])
    assert np.isnan(nothing.value) and nothing.n == 0
    with pytest.raises(InputError, match="groups x values"):
        mean_rank_correlation(x, y[:, :3])


def test_shares_are_those_of_a_distance_that_is_made_of_them():
    rng = np.random.default_rng(3)
    arm, cube, table = rng.normal(size=(400, 3)) * [1, 2, 5], rng.normal(size=(400, 1)), rng.normal(size=(400, 1))
    parts = {"arm": 0.5 * (arm**2) @ [1, 2, 3], "cube": 7 * cube[:, 0] ** 2, "constant": np.full(400, 2.0)}
    latent = sum(parts.values())
    found = distance_shares(latent, {"cube": cube, "table": table, "arm": arm, "still": np.zeros((400, 2))})
    share = found.set_index("quantity")["share"]
    assert share["arm"] == pytest.approx(parts["arm"].mean() / latent.mean(), abs=1e-8)
    assert share["cube"] == pytest.approx(parts["cube"].mean() / latent.mean(), abs=1e-8)
    assert share[CONSTANT] == pytest.approx(2 / latent.mean(), abs=1e-8)
    assert share["table"] == pytest.approx(0, abs=1e-8) and share["still"] == 0
    assert found["r2"].to_numpy() == pytest.approx(1) and found["quantity"][0] == "arm"
    # With noise: sklearn's non-negative regression.
    latent = latent + rng.exponential(5, 400)
    found = distance_shares(latent, {"arm": arm, "cube": cube, "table": table}).set_index("quantity")
    squares = np.hstack([arm, cube, table, np.ones((400, 1))]) ** 2
    fit = LinearRegression(positive=True, fit_intercept=False).fit(squares, latent)
    whole = fit.coef_ * squares.mean(0) / latent.mean()
    assert found.loc[["arm", "cube", "table", CONSTANT], "share"].to_numpy() == pytest.approx(
        [whole[:3].sum(), *whole[3:]], abs=1e-6
    )
    assert found["r2"].iloc[0] == pytest.approx(fit.score(squares, latent), abs=1e-8)
    # No share is negative, also where more of a quantity goes with less of the distance.
    assert (distance_shares(9 - table[:, 0] ** 2 / 9, {"table": table})["share"] >= 0).all()
    with pytest.raises(InputError, match="nothing differs"):
        distance_shares(np.zeros(5), {"arm": np.zeros((5, 1))})
    with pytest.raises(InputError, match="of 4 pairs, expected 5"):
        distance_shares(np.ones(5), {"arm": np.ones((4, 1))})


class Line:
    """A place on a line, moved by the action (at most 1 a step); its picture is as bright as it is far to the right."""

    name, image_size, action_dim, state_dim = "line", 2, 1, 1

    def set_state(self, state):
        self.state = np.array(state, dtype=float)

    def get_state(self):
        return self.state.copy()

    def step(self, action):
        self.state = self.state + STEP * np.clip(action, -1, 1)
        return self.state, 0.0, False, False, {}

    def render(self):
        return np.full((2, 2, 3), round(self.state[0]), np.uint8)

    def goal_distance(self, state, goal):
        return float(abs(state[0] - goal[0]))


class Reads(nn.Module):
    """The brightness; where plans lead it says by a rule of its own."""

    config = SimpleNamespace(action_block=2, action_dim=1, history=1)

    def __init__(self, sign=1.0):
        super().__init__()
        self.sign = sign

    def encode(self, frames):
        return frames[:, 0, 0, :1].float()

    def rollout(self, latents, blocks, past_blocks=None):
        assert latents.shape[1] == 1 and past_blocks is None
        return latents[:, -1:] + self.sign * STEP * blocks.sum(-1, keepdim=True).cumsum(1)


def make_dataset(n=3):
    rng = np.random.default_rng(0)
    actions = rng.integers(-1, 2, (n, LENGTH)).astype(float)
    state = 100 + STEP * np.hstack([np.zeros((n, 1)), actions.cumsum(1)[:, :-1]])
    actions[:, -1] = np.nan
    return EpisodeDataset.from_episodes(
        {"pixels": np.tile(s.astype(np.uint8)[:, None, None, None], (1, 2, 2, 3)), "action": a[:, None], "state": s[:, None]}
        for s, a in zip(state, actions, strict=True)
    )


def test_pairs_of_frames_use_each_frame_once_and_only_the_given_episodes():
    data = make_dataset()
    pairs = frame_pairs(Reads(), data, [0, 2], Line(), n_pairs=100, seed=1)
    rows = np.concatenate([pairs.first, pairs.second])
    assert sorted(rows) == [*range(LENGTH), *range(2 * LENGTH, 3 * LENGTH)] and len(pairs.true) == LENGTH
    state = data.columns["state"][:, 0]
    assert np.array_equal(pairs.true, np.abs(state[pairs.first] - state[pairs.second]))
    assert np.allclose(pairs.latent, pairs.true**2)
    assert not np.array_equal(pairs.first, frame_pairs(Reads(), data, [0, 2], Line(), seed=2).first)
    with pytest.raises(InputError, match="expected at least 4"):
        frame_pairs(Reads(), data, [0], Line(), n_pairs=2)
    near = frame_pairs(Reads(), data, [0, 2], Line(), steps=3, n_pairs=100, seed=1)
    assert sorted(near.first) == sorted(rows) and np.allclose(near.latent, near.true**2)
    away = near.second - near.first
    assert set(np.abs(away)) == {1, 2, 3} and (near.first // LENGTH == near.second // LENGTH).all()
    assert (away > 0).sum() > 5 and (away < 0).sum() > 5


def test_plans_mix_what_was_recorded_with_noise_of_their_own_start():
    data, scaler = make_dataset(), ActionScaler((0.5,), (2.0,))
    sizes = {"horizon": 3, "action_block": 2}
    exact = candidate_plans(data, [1, 8], scaler, n_plans=4, recorded_weight=1.0, **sizes)
    scaled = (data.columns["action"][1:7, 0] - 0.5) / 2
    assert np.allclose(exact[0, 2].flatten(), scaled)
    # The second start has 3 actions left; then there is nothing to repeat.
    assert torch.equal(exact[1, 0].flatten()[3:], torch.zeros(3)) and exact[1, 0].flatten()[:3].any()
    many = candidate_plans(data, [1], scaler, n_plans=4000, std=0.5, recorded_weight=0.6, seed=3, **sizes)[0].flatten(1)
    assert np.allclose(many.mean(0), 0.6 * scaled, atol=0.03) and np.allclose(many.std(0), 0.8 * 0.5, atol=0.02)
    # A start's plans do not depend on the other starts; another seed draws others.
    alone = candidate_plans(data, [8], scaler, n_plans=4, seed=3, **sizes)
    both = candidate_plans(data, [1, 8], scaler, n_plans=4, seed=3, **sizes)
    assert torch.equal(alone[0], both[1]) and not torch.equal(both[0], both[1])
    assert not torch.equal(alone, candidate_plans(data, [8], scaler, n_plans=4, seed=4, **sizes))
    with pytest.raises(InputError, match="n_plans is 1"):
        candidate_plans(data, [8], scaler, n_plans=1, **sizes)
    with pytest.raises(InputError, match="recorded_weight is 2"):
        candidate_plans(data, [8], scaler, n_plans=4, recorded_weight=2, **sizes)


def test_plans_end_where_the_simulator_says_and_seem_to_end_where_the_model_says():
    data, scaler = make_dataset(), ActionScaler((0.0,), (1.0,))
    plans = candidate_plans(data, [0, LENGTH], scaler, n_plans=6, horizon=3, action_block=2, std=0.3)
    starts, goals = np.array([0, LENGTH]), np.array([5, LENGTH + 5])
    state = data.columns["state"][:, 0]
    found = plan_distances(Reads(), data, starts, goals, Line(), scaler, plans)
    ends = state[starts][:, None] + STEP * plans.clamp(-1, 1).flatten(2).sum(2).numpy()
    assert np.allclose(found.true, np.abs(ends - state[goals][:, None]), atol=1e-5)
    # Pictures know the place to a whole number, and the model does not clip.
    assert np.allclose(found.seen, (np.round(ends) - state[goals][:, None]) ** 2)
    said = state[starts][:, None] + STEP * plans.flatten(2).sum(2).numpy()
    assert np.allclose(found.predicted, (said - state[goals][:, None]) ** 2, rtol=1e-4, atol=1e-3)
    # A model that has left and right the wrong way round: the metric still ranks, the prediction does not.
    wrong = plan_distances(Reads(-1.0), data, starts, goals, Line(), scaler, plans)
    assert np.array_equal(wrong.seen, found.seen) and not np.allclose(wrong.predicted, found.predicted)
    assert mean_rank_correlation(wrong.seen, wrong.true).value > 0.9
