"""Own parts without forking: the examples run, and what one brings does what the built-in of the same formula does."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import spectral_jepa as sj
from spectral_jepa import losses
from spectral_jepa._streams import torch_generator
from spectral_jepa._validation import InputError
from spectral_jepa.jepa import JepaConfig, Run, train_jepa
from spectral_jepa.pixels.config import ObjectiveConfig, PixelConfig, PlanningConfig
from spectral_jepa.pixels.planning.latent import latent_cost, plan
from spectral_jepa.pixels.presets import changed, preset, unread_settings
from spectral_jepa.pixels.runs import run_name
from spectral_jepa.pixels.training.objective import Objective
from spectral_jepa.sweep.results import reference_table

EXAMPLES = Path(sj.__file__).resolve().parents[1] / "examples"
PRINTS = {
    "own_regularizer": "directions alive of 3: 3",
    "own_world": "goal_pointwise",
    "own_environment": "moved by [1.5, 0.0]",
    "own_cost": "first block: [2.0, -1.0]",
}
EXACT = sj.CoOccurrence.exact(sj.make_block(n_states=12, n_blocks=3, n_actions=2, seed=0))


@pytest.mark.skipif(not EXAMPLES.is_dir(), reason="not a clone")
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name == "own_world" else name for name in PRINTS]
)
def test_an_example_is_short_and_runs(name, tmp_path):
    path = EXAMPLES / f"{name}.py"
    assert len([line for line in path.read_text().splitlines() if line.strip()]) < 20
    places = os.pathsep.join([str(EXAMPLES.parent), os.environ.get("PYTHONPATH", "")])
    run = subprocess.run(
        [sys.executable, str(path)], cwd=tmp_path, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": places}
    )
    assert run.returncode == 0, run.stderr
    assert PRINTS[name] in run.stdout
    assert (tmp_path / "bounds.png").is_file() == (name == "own_world")


@pytest.mark.skipif(not EXAMPLES.is_dir(), reason="not a clone")
def test_there_is_no_example_that_nobody_runs():
    assert {path.stem for path in EXAMPLES.glob("*.py")} == set(PRINTS)


@pytest.mark.skipif(not EXAMPLES.is_dir(), reason="not a clone")
def test_the_page_shows_the_examples():
    page = (EXAMPLES.parent / "docs" / "own_parts.md").read_text()
    assert page.count("```python") == len(PRINTS)
    assert all(f"```python\n{(EXAMPLES / f'{name}.py').read_text()}```" in page for name in PRINTS)


def whitening(values, weight=None):
    return losses.whitening_penalty(values, weight, centered=False)


def half(values, weight=None):
    return values.square().mean()


def gone(values, weight=None):
    raise AssertionError("not to be called")


class TestRegularizer:
    RUNS = (Run(dim=2, strength=0.4), Run(dim=3, strength=1.0))

    def test_it_trains_as_the_built_in_of_the_same_formula(self):
        # Runs of two dimensions: the built-in takes off what padding adds, one's own never sees padding.
        both = [train_jepa(EXACT, self.RUNS, JepaConfig(regularizer=r, n_steps=40)) for r in ("whitening", whitening)]
        np.testing.assert_allclose(both[1].encoded, both[0].encoded, atol=1e-10)
        assert both[1].config.to_dict()["regularizer"] == f"{__name__}:whitening"
        plain = train_jepa(EXACT, self.RUNS, JepaConfig(regularizer="none", n_steps=40))
        assert np.abs(plain.encoded - both[1].encoded).max() > 1e-2  # it does something

    def test_minibatches_too(self):
        data = sj.sample_transitions(sj.make_block(n_states=12, n_blocks=3, n_actions=2, seed=0), n_per_action=200, seed=0)
        both = [
            train_jepa(data, self.RUNS, JepaConfig(regularizer=r, n_steps=20, batch_size=16))
            for r in ("whitening", whitening)
        ]
        np.testing.assert_allclose(both[1].encoded, both[0].encoded, atol=1e-10)

    def test_its_optimum_is_unknown(self):
        trained = train_jepa(EXACT, self.RUNS, JepaConfig(regularizer=whitening, n_steps=2))
        assert trained.table["optimum"].isna().all()

    def test_another_shape_is_refused(self):
        with pytest.raises(InputError, match=r"regularizer half gave \(\).*one value a run"):
            train_jepa(EXACT, self.RUNS, JepaConfig(regularizer=half, n_steps=2))

    def test_names_that_end_as_built_in_ones_do_are_ones_own(self):
        with pytest.raises(InputError, match="cannot be imported"):
            train_jepa(EXACT, self.RUNS, JepaConfig(regularizer="subspace_of_mine:my_sigreg", n_steps=2))

    def test_from_pixels(self):
        values = torch.randn(3, 8, 4, generator=torch.Generator().manual_seed(0))
        own = Objective(ObjectiveConfig(regularizer=half, strength=0.5), 4)
        regularizer, penalty = own.regularize(values, torch.Generator())
        assert float(regularizer) == pytest.approx(float(values.square().mean()))
        assert float(penalty) == pytest.approx(0.5 * float(values.square().mean()))
        with pytest.raises(InputError, match=r"gave \(3, 8\)"):
            Objective(ObjectiveConfig(regularizer=f"{__name__}:each"), 4).regularize(values, torch.Generator())

    def test_a_configuration_travels_as_text(self):
        config = changed(preset("tiny"), {"objective.regularizer": f"{__name__}:half"})
        assert PixelConfig.from_dict(config.to_dict()) == config and run_name(config) == "half-0"
        unread = unread_settings(config)
        assert "objective.n_slices" in unread and "objective.strength" not in unread
        with pytest.raises(InputError, match="nearest: 'sigreg'"):
            ObjectiveConfig(regularizer="sigregg")


def each(values):
    return values.square().mean(-1)


def total(predicted, goal):
    return (predicted - goal).square().sum((-1, -2))


def too_many(predicted, goal):
    return (predicted - goal).square().sum(-1)


class Adder:
    def rollout(self, latents, blocks):
        return latents[:, -1:] + blocks.cumsum(1)


class TestCost:
    PLANS = torch.randn(2, 5, 3, 2, generator=torch.Generator().manual_seed(1))
    STARTS, GOALS = torch.zeros(2, 2), torch.tensor([[1.0, 0.0], [0.0, 2.0]])

    def test_it_ranks_as_the_built_in_of_the_same_formula(self):
        own, built_in = (latent_cost(Adder(), self.STARTS, self.GOALS, kind=kind) for kind in (total, "sum"))
        torch.testing.assert_close(own(self.PLANS), built_in(self.PLANS))
        end = latent_cost(Adder(), self.STARTS, self.GOALS, kind="end")
        assert not torch.allclose(own(self.PLANS), end(self.PLANS))

    def test_a_plan_follows_it(self):
        found = [
            plan(
                Adder(),
                PlanningConfig(cost=cost),
                self.STARTS,
                self.GOALS,
                [torch_generator(0), torch_generator(1)],
                block_dim=2,
            )
            for cost in (total, "sum")
        ]
        torch.testing.assert_close(found[0], found[1])

    def test_mistakes(self):
        with pytest.raises(InputError, match=r"gave \(1, 5, 3\).*one cost a plan, \(1, 5\)"):
            latent_cost(Adder(), self.STARTS, self.GOALS, kind=too_many)(self.PLANS)
        with pytest.raises(InputError, match="nearest: 'closest'"):
            PlanningConfig(cost="closset")
        with pytest.raises(InputError, match="each ranks plans"):
            latent_cost(Adder(), self.STARTS, self.GOALS, score=lambda p, g: p.sum(-1), kind=total)

    def test_exact_plans_take_a_score(self):
        mdp = sj.make_low_rank(n_states=10, rank=3, n_actions=3, seed=0)
        fitted = sj.spectral_embedding(sj.CoOccurrence.exact(mdp), 2)
        own = sj.plan_goals(mdp, fitted, horizon=2, score=lambda latent, goals: latent @ np.swapaxes(goals, 1, 2))
        dot = sj.plan_goals(mdp, fitted, horizon=2, score="dot")
        assert (own.planned == dot.planned).all() and own.score == "own:<lambda>"
        assert (own.planned != sj.plan_goals(mdp, fitted, horizon=2).planned).any()
        with pytest.raises(InputError, match="expected finite scores"):
            sj.plan_goals(mdp, fitted, score=lambda latent, goals: latent)

    def test_a_name_borrowed_from_a_built_in_score_gains_none_of_its_bounds(self):
        def transition(latent, goals):
            return latent @ np.swapaxes(goals, 1, 2)

        mdp = sj.make_low_rank(n_states=10, rank=3, n_actions=3, seed=0)
        exact = sj.CoOccurrence.exact(mdp)
        fitted = sj.spectral_embedding(exact, 2)
        assert sj.pointwise_single_step_bound(exact, fitted, sj.plan_goals(mdp, fitted)).holds
        assert not sj.pointwise_single_step_bound(exact, fitted, sj.plan_goals(mdp, fitted, score=transition)).holds


def block(seed):
    return sj.make_block(seed=seed)


class TestSweepBounds:
    def test_it_is_the_headline_experiment(self):
        # The committed table, which the experiment made: the same worlds, seeds and samples give the same rows.
        table = sj.sweep_bounds({"block 5": block}, n_transitions=[1000], n_seeds=2, progress=False)
        kept = reference_table("bound_vs_dim").query("family == 'block 5' and n_transitions == 1000 and seed < 2")
        columns = ["seed", "dim", "root_risk", "root_tail", "goal_regret", "goal_pointwise", "reward_regret", "reward_tight"]
        pd.testing.assert_frame_equal(table[columns], kept[columns].reset_index(drop=True), check_dtype=False, rtol=1e-9)

    def test_a_fit_of_ones_own_is_what_is_measured(self):
        settings = {"dims": [1, 3], "n_transitions": [500], "n_seeds": 1, "progress": False}
        optimum = sj.sweep_bounds({"block": block}, **settings)
        same = sj.sweep_bounds({"block": block}, fit=lambda s, k, seed: sj.spectral_embedding(s, k, shared=True), **settings)
        np.testing.assert_allclose(same["root_risk"], optimum["root_risk"], rtol=1e-12)
        worse = sj.sweep_bounds(
            {"block": block}, fit=lambda s, k, seed: sj.spectral_embedding(s, 1, shared=True), **settings
        )
        assert worse["root_risk"].nunique() == 1
        assert (worse["goal_regret"] <= worse["goal_pointwise"] + 1e-12).all()

    def test_a_folder_resumes_and_refuses_another_function(self, tmp_path):
        settings = {"dims": [2], "n_transitions": [200], "n_seeds": 1, "folder": tmp_path, "progress": False}
        assert sj.sweep_bounds({"w": block}, **settings).attrs["summary"]["computed"] == 1
        assert sj.sweep_bounds({"w": block}, **settings).attrs["summary"]["cached"] == 1
        with pytest.raises(InputError, match="holds results of version"):
            sj.sweep_bounds({"w": lambda seed: sj.make_block(seed=seed + 1)}, **settings)

    def test_mistakes_are_one_sentence(self):
        with pytest.raises(InputError, match="families is empty"):
            sj.sweep_bounds({})
        with pytest.raises(InputError, match="function of a seed"):
            sj.sweep_bounds({"w": 3})
        with pytest.raises(InputError, match=r"1 of 1 cells failed.*ZeroDivisionError"):
            sj.sweep_bounds({"w": lambda seed: 1 // 0}, n_seeds=1, n_transitions=[100], progress=False)
