"""``bridge_nuisance``, ``_history``, ``_planner``: training side by side, the optima they name, one cell again."""

import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

import spectral_jepa as sj
from spectral_jepa.input_level import reduced_rank_regression
from spectral_jepa.pixels.diagnostics.spectrum import in_sequences, span
from spectral_jepa.pixels.environments.mdp_pictures import draw_world
from spectral_jepa.pixels.model.world_model import WorldModel
from spectral_jepa.pixels.presets import preset
from spectral_jepa.pixels.training.objective import Objective
from spectral_jepa.plotting.drawing import find_drawing
from spectral_jepa.sweep.experiment import load_experiment
from spectral_jepa.sweep.results import reference_table

NAMES = ("bridge_nuisance", "bridge_history", "bridge_planner")


@pytest.fixture(scope="module")
def modules():
    return {name: load_experiment(name).module for name in NAMES}


@pytest.fixture(scope="module")
def drawn(modules):
    return sys.modules[modules["bridge_nuisance"].play.__module__]


@pytest.fixture(scope="module")
def small(drawn):
    """A ring, its pictures, a log of two-frame clips and a configuration."""
    world = sj.make_ring(5, 0.4)
    states, actions = drawn.play(world, 300, 1, 0)
    blocks = drawn.one_hot_blocks(actions, world.n_actions, 1)
    return world, draw_world(world, 16), states, blocks, drawn.model_config(world.n_actions, 3, 16)


@pytest.mark.parametrize("kind", ["whitening", "sigreg"])
def test_numbers_for_pictures_and_the_loss_are_the_packages(drawn, small, kind):
    _, pictures, states, blocks, config = small
    numbered, plain = drawn.NumberedModel(config, 3, pictures).train(), WorldModel(config, 3).train()
    frames = torch.from_numpy(states[:64])
    latents, predicted = numbered(frames, blocks[:64])
    settings = replace(preset("tiny").objective, regularizer=kind, strength=drawn.STRENGTH[kind], n_slices=drawn.N_SLICES)
    both = torch.cat([blocks[:64], blocks[:64]], dim=1)
    want = Objective(settings, 3)(plain, torch.from_numpy(pictures)[frames], both, torch.Generator().manual_seed(4))["loss"]
    found = drawn.latent_loss(kind, latents[None], predicted[None], torch.Generator().manual_seed(4))
    assert found.item() == pytest.approx(want.item(), rel=1e-4)


def test_runs_side_by_side_do_not_touch(drawn, small):
    world, pictures, states, blocks, config = small

    def trained(seeds):
        models = [drawn.NumberedModel(config, seed, pictures).double() for seed in seeds]
        drawn.train(models, "whitening", [(states, blocks.double())] * len(seeds), 5, seeds)
        return [drawn.read_out(model.float(), [[0], [1], [2]], world.n_actions, world.weight) for model in models]

    # In float64: Adam makes the rounding of a gradient near 0 as large as any other step. Latents, not weights: a bias
    # before BatchNorm has no gradient but rounding. What is left is the rounding of the float32 that is read out.
    (alone,), (other, together) = trained([1]), trained([0, 1])
    assert np.abs(alone.target - together.target).max() < 1e-5
    assert np.abs(alone.predicted - together.predicted).max() < 1e-5
    # Controls: another run differs, and so does the start.
    assert np.abs(alone.target - other.target).max() > 0.1
    fresh = drawn.settle(drawn.NumberedModel(config, 1, pictures), torch.from_numpy(states), blocks)
    assert np.abs(alone.target - fresh.encode(torch.arange(5)).detach().double().numpy()).max() > 0.02


def autoencoding_loss(world, own, f):
    """E|o - C z|^2 + E|o+ - C g|^2 at the best decoder C by alternating least squares' fixed point: projections."""
    basis = np.linalg.qr(f)[0]
    ahead = np.einsum("axy,yd->axd", world.dense(), own)
    outside = np.eye(own.shape[1]) - basis @ basis.T
    spread = world.weight @ np.sum((own @ outside) ** 2, axis=1)
    return spread + np.einsum("x,axd->", world.weight / world.n_actions, (ahead @ outside) ** 2)


def test_optima_of_the_input_level_arms(modules):
    module = modules["bridge_nuisance"]
    world, pictures = module.make_world(0.6, 0.5, 3, 32)
    exact = sj.CoOccurrence.exact(world)
    flat = pictures.reshape(len(pictures), -1) / 255.0
    # Regression: the package's, from all pixels.
    known = reduced_rank_regression(exact, flat, shared=True).embedding(3).target
    found = module.optimum(world, pictures, "regression")
    assert np.linalg.svd(span(exact, found.target).T @ span(exact, known[:, 1:]))[1] == pytest.approx(1, abs=1e-6)
    # The autoencoder: no plane of pixel directions among many has less error.
    own = module.picture_coordinates(pictures, exact.pooled_column_weight)
    best = module.optimum(world, pictures, "autoencoder").target
    plane = np.linalg.lstsq(own, best, rcond=None)[0]
    least, rng = autoencoding_loss(world, own, plane), np.random.default_rng(0)
    for _ in range(200):
        assert autoencoding_loss(world, own, plane + 0.1 * rng.standard_normal(plane.shape)) > least
    # It is another plane than regression's.
    other = np.linalg.lstsq(own, found.target, rcond=None)[0]
    assert autoencoding_loss(world, own, other) > least + 1e-4


def test_the_latent_optimum_turns_where_persistence_passes_the_task(modules):
    module = modules["bridge_nuisance"]
    for kept, share in ((0.79, 1.0), (0.81, 0.0)):
        for loud in (0.1, 0.8):
            world, pictures = module.make_world(kept, loud, 3, 32)
            found = module.measures(world, module.optimum(world, pictures, "latent"), 3)
            assert found["task_share"] == pytest.approx(share, abs=1e-9)
            assert found["nuisance_share"] == pytest.approx(1 - share, abs=1e-9)


def test_predicting_h_steps_takes_powers_where_actions_commute():
    torus = sj.make_torus(5, 0.5)
    values = sj.CoOccurrence.exact(torus).stacked_decomposition[1]
    thrice = sj.CoOccurrence.exact(in_sequences(torus, 3)).stacked_decomposition[1]
    assert thrice == pytest.approx(values**3, abs=1e-9)
    # Control: in four rooms they do not, and the spectrum is no power.
    rooms = sj.make_four_rooms(5, 0.3)
    values = sj.CoOccurrence.exact(rooms).stacked_decomposition[1]
    assert np.abs(sj.CoOccurrence.exact(in_sequences(rooms, 3)).stacked_decomposition[1] - values**3).max() > 0.02


def test_regrets_of_the_exact_embedding_are_those_of_the_negatives_page(modules):
    module = modules["bridge_planner"]
    for name, bias in (("scatter 6", 0.1515), ("ring", 0.0), ("leap .5", 0.0)):
        world = module.make_world(name)
        exact = sj.spectral_embedding(sj.CoOccurrence.exact(world), world.n_states, shared=True)
        distance, score = module.both_regrets(world, exact)
        assert score == pytest.approx(0, abs=1e-9) and distance == pytest.approx(bias, abs=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_a_small_cell_of_the_kept_table_comes_out_again(modules, name):
    module, kept = modules[name], reference_table(name)
    small = [cell for cell in load_experiment(name).cells("quick") if cell["n_steps"] == 10]
    assert small
    for cell in small:
        part = kept[kept["n_steps"] == cell["n_steps"]]
        for label in ("arm", "regularizer"):
            part = part[part[label] == cell[label]] if label in cell else part
        rows = module.run_cell(**cell)
        assert len(rows) == len(part) > 0
        for row, (_, want) in zip(rows, part.iterrows(), strict=True):
            for column, value in row.items():
                if isinstance(value, float):
                    # Ten steps in float32: other processors differ in late digits, not more.
                    assert value == pytest.approx(want[column], abs=0.02), column


def test_exact_columns_of_the_kept_tables_come_out_again(modules):
    module, kept = modules["bridge_nuisance"], reference_table("bridge_nuisance")
    trained = kept[(kept["arm"] != "untrained") & (kept["seed"] == 0)]
    for row in trained.itertuples():
        world, pictures = module.make_world(row.kept, row.loud, row.n_values, row.image_size)
        again = module.measures(world, module.optimum(world, pictures, row.arm), row.n_values)
        assert again["task_share"] == pytest.approx(row.exact_task_share, abs=1e-6)
        assert again["regret"] == pytest.approx(row.exact_regret, abs=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_figures(name):
    figures = find_drawing(load_experiment(name))(reference_table(name))
    assert list(figures) == [name, f"{name}_talk"]
