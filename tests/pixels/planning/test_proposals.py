"""Where a search begins: cloned policies and inverse dynamics, on worlds whose best guess is known in closed form."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge

from spectral_jepa._streams import torch_generator
from spectral_jepa._validation import InputError
from spectral_jepa.pixels.config import ModelConfig, PlanningConfig
from spectral_jepa.pixels.data import ActionScaler, EpisodeDataset
from spectral_jepa.pixels.data.collect import collect
from spectral_jepa.pixels.interfaces import Observation
from spectral_jepa.pixels.model.cloning import GoalConditionedPolicy
from spectral_jepa.pixels.model.saved import load_model, make_model, save_model
from spectral_jepa.pixels.planning.latent import check_settings
from spectral_jepa.pixels.planning.policies import PlannerPolicy
from spectral_jepa.pixels.planning.proposals import ClonedProposal, InverseDynamics, proposed_mean
from spectral_jepa.pixels.planning.simulator import SimulatorPolicy
from spectral_jepa.pixels.presets import changed, preset
from spectral_jepa.pixels.runs import open_run, sampled_starts

SCALER = ActionScaler((0.0, 0.0), (1.0, 1.0))


class Adder(torch.nn.Module):
    """z_{t+1} = z_t + a_t, read off the first pixel; keeps the first candidate of every call, which is the search's mean."""

    def __init__(self):
        super().__init__()
        self.config = ModelConfig(image_size=28, action_dim=2, action_block=1, history=3)
        self.weight, self.means, self.encoded = torch.nn.Parameter(torch.zeros(())), [], 0

    def encode(self, frames):
        self.encoded += len(frames)
        return frames[:, 0, 0, :2].float()

    def rollout(self, latents, blocks, past_blocks=None):
        self.means.append(blocks[0].clone())
        return latents[:, -1:] + blocks.cumsum(1)


def pictures(*places):
    frames = np.zeros((len(places), 4, 4, 3), np.uint8)
    frames[:, 0, 0, :2] = places
    return frames


def observe(*places):
    return Observation(pictures(*places)[:, None], np.zeros((len(places), 2)), np.zeros((len(places), 0, 2)))


def windows(n=400, horizon=3, seed=0):
    """Latents, goals and the blocks between them in a world that turns and adds."""
    rng = np.random.default_rng(seed)
    start, blocks = rng.normal(size=(n, 2)), rng.normal((0.5, -1.0), 1.0, (n, horizon, 2))
    place = start
    for step in range(horizon):
        place = place @ np.array([[0.0, 1.0], [-1.0, 0.0]]) + blocks[:, step]
    return tuple(map(torch.from_numpy, (start, place, blocks)))


def test_the_fit_is_ridge_regression():
    start, goal, blocks = windows()
    found = InverseDynamics.fit(None, start, goal, blocks, ridge=0.05)
    inputs = torch.cat([start, goal], 1).numpy()
    # scikit-learn adds alpha |w|^2 to the sum of squares, this one ridge times the mean variance to their mean.
    alpha = 0.05 * inputs.var(0).mean() * len(inputs)
    other = Ridge(alpha=alpha).fit(inputs, blocks.flatten(1).numpy())
    np.testing.assert_allclose(found.blocks(start, goal).flatten(1), other.predict(inputs), atol=1e-10)
    assert found.blocks(start.float(), goal.float()).dtype == torch.float32
    weak = InverseDynamics.fit(None, start, goal, blocks, ridge=1e3).blocks(start, goal)
    # So strong a penalty leaves the mean plan.
    np.testing.assert_allclose(weak, blocks.mean(0).expand(400, 3, 2), atol=0.01)


def test_collapsed_latents_give_the_mean_plan():
    _, _, blocks = windows()
    flat = torch.zeros(400, 2)
    found = InverseDynamics.fit(None, flat, flat, blocks).blocks(flat, flat)
    np.testing.assert_allclose(found, blocks.mean(0).expand(400, 3, 2).float(), atol=1e-6)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"latents": torch.zeros(1, 2), "goals": torch.zeros(1, 2), "blocks": torch.zeros(1, 3, 2)}, "at least 2"),
        ({"goals": torch.zeros(3, 2)}, "400 latents, 3 goals and 400 plans"),
        ({"blocks": torch.full((400, 3, 2), torch.nan)}, "not finite"),
        ({"ridge": 0.0}, "ridge is 0"),
    ],
)
def test_windows_that_do_not_fit(change, message):
    start, goal, blocks = windows()
    with pytest.raises(InputError, match=message):
        InverseDynamics.fit(None, **({"latents": start, "goals": goal, "blocks": blocks} | change))


def test_a_search_begins_at_the_inverse_dynamics():
    # Equal shares of the way: what least squares finds in a world that adds.
    model, weight = Adder(), torch.zeros(5, 3, 2).double()
    weight[:2] = -torch.eye(2)[:, None] / 3
    weight[2:4] = torch.eye(2)[:, None] / 3
    inverse = InverseDynamics(model, weight, {"windows": 7})
    config = PlanningConfig(horizon=3, execute=3, n_samples=5, n_elites=2, n_iterations=1, proposal="inverse")
    policy = PlannerPolicy(model, SCALER, config, proposal=inverse)
    goals = policy.prepare(pictures([9, 3], [30, 60]), np.zeros((2, 2)))
    before = model.encoded
    policy.act(observe([3, 6], [0, 0]), goals, [torch_generator(0), torch_generator(1)])
    assert torch.allclose(model.means[0], torch.tensor([2.0, -1.0]).expand(3, 2), atol=1e-6)
    assert torch.allclose(model.means[1], torch.tensor([10.0, 20.0]).expand(3, 2), atol=1e-5)
    # The model's own latents are not made twice.
    assert model.encoded - before == 2
    assert policy.describe()["proposal"] == {"proposal": "inverse", "horizon": 3, "windows": 7}


class Clone(torch.nn.Module):
    """Reads the third colour: an encoder of its own."""

    def __init__(self, n_blocks=1):
        super().__init__()
        self.weight, self.n_blocks = torch.nn.Parameter(torch.zeros(())), n_blocks

    def encode(self, frames):
        return 2 * frames[:, 0, 0, :2].float()

    def forward(self, latents, goals):
        return (goals - latents)[:, None].repeat(1, self.n_blocks, 1) / 2


@pytest.mark.parametrize("n_blocks", [1, 4])
def test_a_search_begins_at_the_cloned_policy_and_at_0_behind_it(n_blocks):
    model, config = (
        Adder(),
        PlanningConfig(horizon=3, n_samples=5, n_elites=2, n_iterations=1, execute=1, proposal="cloning"),
    )
    policy = PlannerPolicy(model, SCALER, config, proposal=ClonedProposal(Clone(n_blocks)))
    goals = policy.prepare(pictures([9, 3]), np.zeros((1, 2)))
    assert goals.tolist() == [[9, 3, 18, 6]]
    policy.act(observe([3, 6]), goals, [torch_generator(0)])
    expected = torch.zeros(3, 2)
    expected[:n_blocks] = torch.tensor([6.0, -3.0])
    assert torch.equal(model.means[0], expected)


def test_a_proposal_does_not_depend_on_its_company():
    torch.manual_seed(0)
    network = GoalConditionedPolicy(preset("tiny").model).eval()
    latents, goals = torch.randn(2, 6, 16, generator=torch_generator(1)).unbind(0)
    together = proposed_mean(ClonedProposal(network), latents, goals, 5)
    assert together.shape == (6, 5, 10) and (together[0, 0] - together[1, 0]).abs().max() > 1e-3
    assert torch.equal(proposed_mean(ClonedProposal(network), latents[2:3], goals[2:3], 5), together[2:3])


def test_proposals_that_are_not_asked_for():
    inverse = InverseDynamics(None, torch.zeros(5, 3, 2), {})
    with pytest.raises(InputError, match=r"proposal is 'inverse' but planning.proposal is 'none'"):
        PlannerPolicy(Adder(), SCALER, PlanningConfig(), proposal=inverse)
    with pytest.raises(InputError, match=r"proposal is 'none' but planning.proposal is 'inverse'"):
        PlannerPolicy(Adder(), SCALER, PlanningConfig(proposal="inverse"))
    with pytest.raises(InputError, match="each says where the search begins"):
        check_settings(PlanningConfig(warm_start=True, proposal="inverse"))
    with pytest.raises(InputError, match="proposal is 'oracle'"):
        PlanningConfig(proposal="oracle")
    with pytest.raises(InputError, match=r"planning.proposal is 'inverse' for the simulator"):
        SimulatorPolicy(None, SCALER, PlanningConfig(proposal="inverse"))


def test_a_run_opens_its_proposals(tmp_path):
    config = changed(preset("tiny"), {"data.n_episodes": 6})
    data = collect(config.data, tmp_path / "data.h5", n_jobs=1, progress=False)
    scaler = ActionScaler((0.0, 0.0), (1.0, 1.0))
    for name, own, kept in (
        ("model", config, scaler),
        ("clone", replace(config, kind="cloning"), scaler),
        ("units", replace(config, kind="cloning"), ActionScaler((0.5, 0.0), (2.0, 1.0))),
        ("other", changed(config, {"kind": "cloning", "model.action_block": 4}), scaler),
    ):
        save_model(make_model(own), tmp_path / name, own, kept, {"data": str(data)})
    run = open_run(
        tmp_path / "model", overrides={"planning.proposal": "inverse", "planning.horizon": "4", "planning.execute": "4"}
    )
    inverse = run.policy.proposal
    # By hand: all windows of the training episodes, as they are fewer than the sample.
    rows = [run.dataset.rows(int(e))[:-20] for e in run.dataset.split()["train"]]
    starts = np.concatenate(rows)
    assert 0 < len(starts) < 4000 and inverse.source["windows"] == len(starts)
    with torch.inference_mode():
        latents, goals = (run.policy.model.encode(torch.from_numpy(run.dataset.pixels[r])) for r in (starts, starts + 20))
    actions = np.stack([run.dataset.columns["action"][s : s + 20].reshape(4, 10) for s in starts])
    inputs = np.hstack([latents, goals]).astype(np.float64)
    ridge = Ridge(alpha=1e-3 * inputs.var(0).mean() * len(inputs)).fit(inputs, actions.reshape(len(starts), -1))
    expected = ridge.predict(inputs[:5]).reshape(5, 4, 10)
    np.testing.assert_allclose(inverse.blocks(latents[:5], goals[:5]), expected, atol=1e-3)
    assert list((tmp_path / "model").rglob("*.npy"))
    again = open_run(
        tmp_path / "model", overrides={"planning.proposal": "inverse", "planning.horizon": "4", "planning.execute": "4"}
    )
    assert torch.equal(again.policy.proposal.weight, inverse.weight) and again.policy.describe() == run.policy.describe()
    cloning = {"planning.proposal": "cloning"}
    cloned = open_run(tmp_path / "model", overrides=cloning, proposal=tmp_path / "clone").policy
    assert cloned.describe()["proposal"]["proposal"] == "cloning" and cloned.proposal.network.n_blocks == 1
    # Recordings of another processor have other units: the same raw actions come out.
    other = ClonedProposal(cloned.proposal.network, load_model(tmp_path / "units")[2], scaler)
    given, converted = cloned.proposal.blocks(latents[:3], goals[:3]), other.blocks(latents[:3], goals[:3])
    raw = given.unflatten(-1, (5, 2)) * torch.tensor([2.0, 1.0]) + torch.tensor([0.5, 0.0])
    torch.testing.assert_close(converted, raw.flatten(-2))
    assert (converted - given).abs().max() > 0.1
    opened = open_run(tmp_path / "model", overrides=cloning, proposal=tmp_path / "units").policy
    assert opened.describe()["proposal"]["units"] == {"mean": [0.5, 0.0], "std": [2.0, 1.0]}
    assert "units" not in cloned.describe()["proposal"]
    for overrides, folder, message in (
        (cloning, None, "the folder of a cloned policy missing"),
        ({}, tmp_path / "clone", "the folder of a cloned policy given"),
        (cloning, tmp_path / "model", "holds a world_model, expected a run of --kind cloning"),
        (cloning, tmp_path / "other", "was trained with action_block 4, expected 5 as .*model"),
    ):
        with pytest.raises(InputError, match=message):
            open_run(tmp_path / "model", overrides=overrides, proposal=folder)


def test_windows_lie_within_their_episodes():
    lengths = (5, 2, 9)
    data = EpisodeDataset.from_episodes(
        [{"pixels": np.zeros((n, 2, 2, 3), np.uint8), "action": np.zeros((n, 2))} for n in lengths]
    )
    assert sampled_starts(data, [0, 1, 2], 3, 100).tolist() == [0, 1, *range(7, 13)]
    few = sampled_starts(data, [0, 1, 2], 3, 4)
    assert len(few) == 4 and set(few) < {0, 1, *range(7, 13)} and np.array_equal(few, sampled_starts(data, [0, 1, 2], 3, 4))
    with pytest.raises(InputError, match="no episode has 10 rows"):
        sampled_starts(data, [0, 1, 2], 9, 100)
