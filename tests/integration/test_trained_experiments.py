"""``subspaces`` and ``sigreg_whitening``: one tiny cell of each method, against closed forms and scipy, and the figures."""

import itertools

import numpy as np
import pytest
import scipy.integrate
import scipy.stats
import torch

import spectral_jepa as sj
from spectral_jepa.plotting.drawing import find_drawing
from spectral_jepa.sweep.experiment import expand, load_experiment


@pytest.fixture(scope="module")
def subspaces(tmp_path_factory):
    experiment = load_experiment("subspaces")
    shared = {"families": ["block 5", "low rank 8"], "dim": 4, "samples": [0, 2000], "n_seeds": 1, "n_steps": 600}
    cells = [
        shared | {"regularizer": regularizer, "kind": kind, "n_subspaces": count}
        for regularizer, kind, count in (
            ("svd", "none", 1),
            ("subspace_whitening", "partition", 1),
            ("subspace_whitening", "partition", 2),
            ("subspace_whitening", "orthogonal", 2),
            ("subspace_whitening", "orthogonal", 4),
            ("subspace_sigreg", "partition", 1),
            ("subspace_sigreg", "partition", 2),
            ("subspace_sigreg", "orthogonal", 2),
        )
    ]
    cells[5:] = [cell | {"n_steps": 60} for cell in cells[5:]]
    return experiment, sj.run_sweep(experiment, cells, tmp_path_factory.mktemp("x2"), n_jobs=1, progress=False)


def test_whitened_partition_has_the_rank_and_the_risk_of_the_truncated_svd(subspaces):
    experiment, table = subspaces
    assert (table["status"] == "ok").all()
    whitened = table[table["regularizer"] == "subspace_whitening"]
    partition = whitened[whitened["kind"] == "partition"]
    assert len(partition) == 8
    assert partition["gap"].abs().max() < 1e-8
    assert (partition["rank"] == 4 // partition["n_subspaces"]).all()
    assert (partition["root_risk"] > 0.1).sum() >= 6
    # The leading d_s functions and the constant, from a decomposition that knows nothing of subspaces.
    for _, row in partition.iterrows():
        mdp = experiment.module.FAMILIES[row["family"]](0)
        exact = sj.CoOccurrence.exact(mdp)
        data = experiment.module.make_data(row["family"], 0, row["n_transitions"])
        left, values, right = np.linalg.svd(data.stacked, full_matrices=False)
        size = int(row["subspace_dim"]) + 1
        cut = ((left[:, :size] * values[:size]) @ right[:size]).reshape(mdp.n_actions, mdp.n_states, -1)
        q, rho = data.pooled_column_weight, data.pooled_weight
        seen = rho > 0
        model = np.zeros_like(cut)
        model[seen] = cut[seen] * np.sqrt(q) / np.sqrt(rho[seen])[:, None]
        truth = exact.pooled_weight[..., None] * (mdp.transition - model) ** 2 / exact.pooled_column_weight
        assert row["root_risk"] == pytest.approx(np.sqrt(truth.sum()), abs=1e-5)


def test_ranks_of_independent_subspaces_lie_within_the_bounds(subspaces):
    table = subspaces[1]
    own = table[(table["regularizer"] == "subspace_whitening") & (table["kind"] == "orthogonal")]
    two, four = (own[own["n_subspaces"] == count] for count in (2, 4))
    assert (two["rank"] == 2).all()  # two subspaces: d_s, docs/effective_dimension.md, section 5
    assert four["rank"].between(1, 2).all()  # r (r + 1) / 2 <= 4
    assert (own["effective_rank"] <= own["rank"] + 0.05).all()


def test_sigreg_in_subspaces_is_measured_and_everything_is_drawn(subspaces):
    experiment, table = subspaces
    real = table[table["regularizer"] == "subspace_sigreg"]
    columns = ["rank", "effective_rank", "root_risk_leading", "relative_regret_leading", "gradient_norm", "late_change"]
    assert np.isfinite(real[columns].to_numpy(float)).all()
    assert real["effective_rank"].between(1, 4).all()
    assert real["relative_regret_leading"].between(-1e-12, 1).all()
    drawn = set(find_drawing(experiment)(table))
    assert drawn >= {f"subspaces_{part}{talk}" for part in ("rank", "whitening", "sigreg") for talk in ("", "_talk")}
    lines = experiment.module.summary(table)
    assert (lines.loc[lines["regularizer"] == "subspace_whitening", "rank as predicted"] == 1).all()


@pytest.fixture(scope="module")
def whitening(tmp_path_factory):
    experiment = load_experiment("sigreg_whitening")
    moved = {"dims": [2], "sizes": [8], "penalties": [1e-3, 10.0], "few_slices": [4], "fixed_slices": [4], "knots": [5]}
    cells = expand(experiment.module.axes(12, 2, 16, n_seeds=1, n_steps=50, **moved))
    for cell in cells:
        if cell["axis"] in ("dim", "penalty"):
            cell["n_steps"] = 400 if cell["method"] == "hard_whitening" else 200
    return experiment, sj.run_sweep(experiment, cells, tmp_path_factory.mktemp("x2"), n_jobs=1, progress=False)


def test_sigreg_leaves_more_than_the_floor_and_hard_whitening_leaves_the_tail(whitening):
    experiment, table = whitening
    assert (table["status"] == "ok").all()
    base = table[table["axis"] == "dim"].set_index(["family", "method"])
    for family in experiment.module.FAMILIES:
        real, hard, floor = (base.loc[(family, method)] for method in ("sigreg", "hard_whitening", "floor"))
        assert 0 < floor["sigreg"] < real["sigreg"]
        assert hard["whitening_gap"] < 1e-10 < 0.05 < real["whitening_gap"]
        assert abs(hard["gap"]) < 1e-8
        assert abs(hard["excess_refit"]) < 1e-6
        assert abs(hard["excess_own"]) < 1e-6
        assert real["excess_own"] > real["excess_refit"] >= -1e-10
    moved = table[table["axis"] == "penalty"].set_index(["family", "penalty"])["whitening_gap"]
    for family in experiment.module.FAMILIES:
        assert moved[family, 1e-3] > 0.9 > 0.5 > moved[family, 10.0]
    drawn = set(find_drawing(experiment)(table))
    assert drawn >= {f"sigreg_whitening{part}{talk}" for part in ("", "_cost") for talk in ("", "_talk")} and len(drawn) == 7
    assert len(experiment.module.summary(table)) == 14


def test_distances_from_the_normal_law_are_those_of_scipy():
    distances = load_experiment("sigreg_whitening").module.normal_distances
    rng = np.random.default_rng(0)
    views, law = rng.standard_normal((9, 1)) * 1.3 + 0.2, rng.dirichlet(np.ones(9))
    wasserstein, _ = distances(views, law)
    atoms = np.sort(views[:, 0])

    def difference(x):
        return abs(law[views[:, 0] <= x].sum() - scipy.stats.norm.cdf(x))

    pieces = [-12.0, *atoms, 12.0]
    integral = sum(
        scipy.integrate.quad(difference, a + 1e-12, b - 1e-12, limit=200)[0] for a, b in itertools.pairwise(pieces)
    )
    assert wasserstein == pytest.approx(integral, abs=1e-7)
    _, kolmogorov = distances(views, np.full(9, 1 / 9))
    assert kolmogorov == pytest.approx(scipy.stats.kstest(views[:, 0], "norm").statistic, abs=1e-12)


def test_floor_and_shape_see_a_large_normal_sample_as_normal():
    shape = load_experiment("sigreg_whitening").module.shape
    drawn = torch.randn(4000, 3, generator=torch.Generator().manual_seed(3), dtype=torch.float64).numpy()
    row = shape(drawn, np.full(4000, 1 / 4000))
    assert row["gaussian_samples"] == pytest.approx(4000, rel=0.5)
    assert row["whitening_gap"] < 0.1
    assert row["wasserstein"] < 0.05
