"""From a world to figures, through every stage, on the worlds that the issue names."""

import time
from pathlib import Path

import numpy as np
import pytest

import spectral_jepa as sj
from spectral_jepa import cli
from spectral_jepa.plotting.drawing import find_drawing
from spectral_jepa.sweep import experiment as experiments
from spectral_jepa.sweep import results
from spectral_jepa.sweep.experiment import known_experiments, load_experiment


@pytest.mark.parametrize(
    ("name", "options", "size"),
    [
        ("FrozenLake-v1", {"map_name": "4x4", "is_slippery": False}, (16, 4)),
        ("FrozenLake-v1", {"map_name": "8x8"}, (64, 4)),
        ("CliffWalking-v1", {}, (48, 4)),
        ("Taxi-v4", {}, (500, 6)),
    ],
)
def test_gymnasium_worlds_go_through_the_whole_pipeline(name, options, size):
    import gymnasium

    mdp = sj.TabularMDP.from_gymnasium(gymnasium.make(name, **options), discount=0.95).with_unit_reward()
    assert (mdp.n_states, mdp.n_actions) == size
    exact = sj.CoOccurrence.exact(mdp)
    data = sj.sample_transitions(mdp, n_per_action=20 * mdp.n_states, seed=0)
    sampled = sj.CoOccurrence.from_transitions(data)
    dim = mdp.n_states // 4
    full, truncated = (sj.spectral_embedding(sampled, k) for k in (mdp.n_states, dim))
    assert np.all(sj.spectral_risk(exact, sj.spectral_embedding(exact, dim)) <= sj.spectral_risk(exact, truncated) + 1e-9)
    plan = sj.plan_goals(mdp, truncated, starts=mdp.weight)
    assert sj.goal_regret(mdp, full, starts=mdp.weight) < plan.mean_regret
    bound = sj.pointwise_single_step_bound(exact, truncated, plan)
    assert 0 < plan.mean_regret <= bound.value + 1e-10
    shared = sj.spectral_embedding(sampled, dim, shared=True)
    model = shared.transition()
    reward_plan = sj.plan_rewards(mdp, model, horizon=30)
    tight, _ = sj.reward_bounds(mdp, exact, model, reward_plan)
    assert 0 < float(reward_plan.regret) <= tight.value + 1e-10


def test_every_shipped_experiment_has_presets_and_a_figure():
    experiments = {name: load_experiment(name) for name in known_experiments()}
    assert {"bound_vs_dim", "spectra", "solvers", "claims"} <= set(experiments)
    for name, experiment in experiments.items():
        assert {"quick", "paper"} <= set(experiment.presets), name
        assert experiment.title.endswith("."), name
        assert name == "claims" or find_drawing(experiment) is not None, name


@pytest.fixture
def small_table(tmp_path):
    experiment = load_experiment("bound_vs_dim")
    cells = [
        {"family": family, "n_transitions": n, "seed": seed}
        for family in ("low rank 8", "torus 8 x 8")
        for n in (3000, 32_000)
        for seed in (0, 1)
    ]
    return experiment, sj.run_sweep(experiment, cells, tmp_path, n_jobs=1, progress=False)


def test_headline_rows_obey_the_corrected_bounds_and_draw(small_table):
    experiment, table = small_table
    assert (table["status"] == "ok").all()
    assert len(table) == 4 * 18 + 4 * 19
    for measured, bound in (
        ("goal_regret", "goal_pointwise"),
        ("goal_pointwise", "goal_averaged"),
        ("reward_regret", "reward_tight"),
        ("reward_tight", "reward_loose"),
        ("root_tail", "root_risk"),
        ("root_risk_known", "oracle_measured"),
    ):
        assert (table[measured] <= table[bound] + 1e-10).all(), (measured, bound)
        assert (table[measured] < 0.999 * table[bound]).any()
    figures = find_drawing(experiment)(table)
    names = {"bound_vs_dim", "bound_vs_dim_low_rank_8", "bound_vs_dim_torus_8_x_8"}
    assert set(figures) == names | {f"{name}_talk" for name in names}
    pretraining = figures["bound_vs_dim_low_rank_8"].axes[0]
    drawn = next(line for line in pretraining.lines if line.get_label() == "N = 32,000")
    expected = (
        table[(table["family"] == "low rank 8") & (table["n_transitions"] == 32_000)].groupby("dim")["root_risk"].mean()
    )
    np.testing.assert_allclose(drawn.get_ydata(), expected)


def test_commands(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    cli.main(["demo"])
    shown = capsys.readouterr().out
    assert "least at k = " in shown
    assert (tmp_path / "results/demo/demo.png").stat().st_size > 10_000
    cli.main(["spectrum", "two_state", "--set", "p", "0.3", "q", "0.2"])
    # |1 - p - q| sqrt(w1 w2 / (w1+ w2+)) with w+ = (.45, .55)
    assert f"{0.5 * 0.5 / np.sqrt(0.45 * 0.55):.4f}" in capsys.readouterr().out
    cli.main(["sweep", "spectra", "--n-jobs", "1"])
    assert (tmp_path / "results/spectra/quick/figures/spectra.pdf").is_file()
    capsys.readouterr()
    cli.main(["status", "spectra"])
    assert "20 done, 0 failed, 0 missing" in capsys.readouterr().out
    before = (tmp_path / "results/spectra/quick/figures/spectra.pdf").read_bytes()
    time.sleep(1.1)
    cli.main(["figures", "spectra"])
    assert (tmp_path / "results/spectra/quick/figures/spectra.pdf").read_bytes() == before


EXPERIMENT = '''"""Squares."""
PRESETS = {"quick": {"x": [1, 2]}, "paper": {"x": [3]}}


def run_cell(x):
    return {"y": 1 / (x - 3) if x == FAILS else x * x}


FAILS = 0
'''
KEEP = """

def keep(table, folder):
    (folder / "own").mkdir()
    (folder / "own/total.txt").write_text(str(table["y"].sum()))
    return folder / "own"
"""


@pytest.fixture
def clone(tmp_path, monkeypatch):
    """A clone of its own: the folders in which experiments are found and tables are kept."""
    for module in (experiments, results, cli):
        monkeypatch.setattr(module, "shipped_folder", lambda name: tmp_path / "clone" / name)
    (tmp_path / "clone/experiments").mkdir(parents=True)
    (tmp_path / "clone/pyproject.toml").touch()
    (tmp_path / "clone/experiments/squares.py").write_text(EXPERIMENT)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    return tmp_path / "clone"


def sweep_squares(*arguments):
    cli.main(["sweep", "squares", "--n-jobs", "1", "--no-figures", *arguments])


def test_keep_writes_the_table_where_claims_read_it(clone, capsys):
    sweep_squares()
    assert not (clone / "reference").exists()
    sweep_squares("--keep")
    sweep_squares("--preset", "paper", "--keep")
    kept = sorted(path.relative_to(clone).as_posix() for path in (clone / "reference").iterdir())
    assert kept == ["reference/squares-paper.parquet", "reference/squares-quick.parquet"]
    assert f"Kept: {clone}/reference/squares-quick.parquet" in capsys.readouterr().out
    assert (clone / kept[1]).read_bytes() == Path("results/squares/quick/table.parquet").read_bytes()
    assert results.reference_table("squares")["y"].tolist() == [1, 4]
    assert results.reference_table("squares", "paper")["y"].tolist() == [9]


def test_an_experiment_may_keep_another_form(clone):
    (clone / "experiments/squares.py").write_text(EXPERIMENT + KEEP)
    sweep_squares("--keep")
    assert [path.name for path in (clone / "reference").iterdir()] == ["own"]
    assert (clone / "reference/own/total.txt").read_text() == "5"


def test_a_sweep_with_failures_is_not_kept(clone, capsys):
    (clone / "experiments/squares.py").write_text(EXPERIMENT.replace("FAILS = 0", "FAILS = 3"))
    with pytest.raises(SystemExit) as stop:
        sweep_squares("--preset", "paper", "--keep")
    assert stop.value.code == 1 and "1 rows are failures" in capsys.readouterr().err
    assert not (clone / "reference").exists()


@pytest.mark.parametrize("case", ["no clone", "a file elsewhere"])
def test_keeping_is_refused_before_anything_runs(clone, capsys, case):
    if case == "no clone":
        (clone / "pyproject.toml").unlink()
        arguments, sentence = ["squares"], f"{clone} holds no pyproject.toml, expected a clone of the repository"
    else:
        Path("mine.py").write_text(EXPERIMENT)
        arguments, sentence = ["mine.py"], f"mine.py is no experiment of the clone, expected a file in {clone}/experiments"
    with pytest.raises(SystemExit) as stop:
        cli.main(["sweep", *arguments, "--keep"])
    error = capsys.readouterr().err.strip()
    assert stop.value.code == 2 and sentence in error and len(error.splitlines()) == 1
    assert not Path("results").exists() and not (clone / "reference").exists()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["sweep", "nope"], "experiment 'nope' is unknown, expected one of advice, bound_vs_dim"),
        (["sweep", "spectra", "--preset", "huge"], "no preset 'huge', expected one of 'quick', 'paper'"),
        (["figures", "spectra"], "results"),
        (["spectrum", "nope"], "world 'nope' is unknown, expected"),
        (["spectrum", "block", "--set", "colour", "3"], "block has no option 'colour', expected one of n_states"),
        (["spectrum", "FrozenLake-v1", "--set", "nonsense", "5"], "FrozenLake-v1 cannot be made with nonsense 5"),
        (["repro", "--check"], "paper_repro.md does not exist, expected the clone's"),
        (["analyze", "missing.csv"], "missing.csv"),
    ],
)
def test_a_mistake_is_one_sentence(arguments, sentence, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        cli.main(arguments)
    assert stop.value.code == 2
    error = capsys.readouterr().err.strip()
    assert sentence in error
    assert len(error.splitlines()) == 1
