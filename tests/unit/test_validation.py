"""Arguments of the wrong kind, refused in one place, and memory that is counted before it is taken."""

import subprocess
import sys
import textwrap

import numpy as np
import pytest
import scipy.sparse as sp

import spectral_jepa as sj
from spectral_jepa import _validation, factorizers
from spectral_jepa._signatures import checked
from spectral_jepa._validation import (
    MEMORY_SHARE,
    as_array,
    as_float,
    as_model,
    as_number,
    check_count,
    check_seed,
    free_memory,
    require_memory,
)
from spectral_jepa.sweep import results as sweep_results


@pytest.mark.parametrize(
    ("value", "fragment"),
    [
        (np.ones(3) + 1j, "complex numbers"),
        (np.ma.masked_array([1.0, -999.0, 0.5], mask=[0, 1, 0]), "masked array"),
        (np.zeros(3, "datetime64[s]"), "dates"),
        (np.zeros(3, "timedelta64[s]"), "time spans"),
        (np.array([None, 1, 2]), "objects"),
        (["1", "2", "3"], "text"),
        ("123", "'123'"),
        (np.zeros(3, [("x", float)]), "structured"),
        ([[1.0], [1.0, 2.0]], "ragged"),
        (sp.csr_array(np.ones((1, 3))), "sparse matrix"),
        (None, "None"),
        ({"a": 1.0}, "a dict"),
        (10**40, "a whole number of 133 bits"),
    ],
)
def test_what_is_no_array_of_numbers(refused, value, fragment):
    """Each of these numpy converts in silence, or refuses in words of its own."""
    with refused("reward", fragment, "expected"):
        as_float("reward", value, (3,))


def test_what_is_an_array_of_numbers_stays_what_it_is():
    given = np.arange(3.0)
    assert as_float("x", given, (3,)) is given
    assert as_array("x", [True, False]).dtype == bool and as_array("x", [1, 2]).dtype == np.int64
    assert as_float("x", [1, 2], (2,)).dtype == np.float64


@pytest.mark.parametrize("value", ["3", True, None, 1j, np.datetime64("2020"), [1.0], float("nan"), np.nan, 10**400])
def test_what_is_no_number(refused, value):
    with refused("scale is", "expected a number"):
        as_number("scale", value)
    assert as_number("scale", np.float32(0.5)) == as_number("scale", np.array(0.5)) == 0.5


@pytest.mark.parametrize("value", [None, "0", True, 1.0, -1, np.random.default_rng(0)])
def test_what_is_no_seed(refused, value):
    with refused("seed is", "expected a whole number >= 0", "pass seed=0"):
        check_seed("seed", value)
    with refused("dim is", "expected"):
        check_count("dim", "2" if value is None else value, 2)


def test_a_model_is_finite_and_of_its_world(refused):
    model = np.full((2, 3, 3), 1 / 3)
    assert as_model("model", model, 2, 3) is model
    model[1, 2, 0] = np.nan
    with refused("model[1, 2, 0] is nan"):
        as_model("model", model, 2, 3)
    with refused("model of action 1, entry [2] is nan"):
        as_model("model", [sp.csr_array(np.eye(3)), sp.csr_array(np.diag([1.0, 1.0, np.nan]))], 2, 3)
    with refused("model has 1 sparse matrices", "expected 2"):
        as_model("model", (sp.csr_array(np.eye(3)),), 2, 3)
    with refused("model has shape (2, 3, 2)", "expected (..., 2, 3, 3)"):
        as_model("model", np.ones((2, 3, 2)), 2, 3)


def test_a_signature_is_kept_by_name_and_by_position(refused):
    @checked(infinite=("limit",))
    def measure(dim: int, *rest: int, shared: bool = False, limit: float | None = None, seed: int = 0) -> tuple:
        return dim, rest, shared, limit, seed

    assert measure(np.int64(2), 3, limit=np.inf) == (2, (3,), False, np.inf, 0)
    for arguments, options, fragment in [
        ((2.0,), {}, "dim is 2.0"),
        ((2, 2.5), {}, "rest is 2.5"),
        ((2,), {"shared": "no"}, "shared is 'no', expected True or False"),
        ((2,), {"limit": np.nan}, "limit is nan"),
        ((2,), {"seed": None}, "seed is None"),
    ]:
        with refused(fragment):
            measure(*arguments, **options)
    with pytest.raises(TypeError, match="unexpected keyword"):
        measure(2, other=1)


# What a bound must not be given.


@pytest.fixture(scope="module")
def world():
    mdp = sj.make_block(6, 3, 2, seed=0).with_unit_reward()
    return mdp, sj.CoOccurrence.exact(mdp)


def test_a_model_with_nan_is_refused_not_bounded(world, refused):
    mdp, exact = world
    good = np.array(mdp.dense())
    plan = sj.plan_rewards(mdp, good, horizon=5)
    bad = good.copy()
    bad[0, 0, 0] = np.nan
    with refused("model[0, 0, 0] is nan"):
        sj.plan_rewards(mdp, bad, horizon=5)
    for bound in (sj.reward_bounds, sj.reward_bound_values):
        with refused("model[0, 0, 0] is nan"):
            bound(mdp, exact, bad, plan)
    with refused("transition[0, 0, 0] is nan"):
        sj.transition_risk(exact, bad)
    with refused("transition has shape ()"):
        sj.transition_risk(exact, 1.0)


def test_a_plan_of_another_world_bounds_nothing(world, refused):
    mdp, exact = world
    other = sj.make_block(6, 3, 2, seed=7).with_unit_reward()
    embedding = sj.spectral_embedding(exact, 2)
    for horizon in (1, 3):
        own, foreign = (sj.plan_goals(w, embedding, horizon=horizon) for w in (mdp, other))
        for bound in (sj.multi_step_bound, sj.pointwise_single_step_bound, sj.averaged_single_step_bound):
            bound(exact, embedding, own)
            with refused("the plan reaches goal", "from start", "with probability"):
                bound(exact, embedding, foreign)
    small = sj.make_block(5, 3, 2, seed=0)
    with refused("the plan has 2 actions", "states up to 5"):
        sj.printed_spurious_constant(sj.CoOccurrence.exact(small), own)


def test_a_reward_plan_of_another_world_or_model_bounds_nothing(world, refused):
    mdp, exact = world
    other = sj.make_block(6, 3, 2, seed=7).with_unit_reward()
    model = sj.spectral_embedding(exact, 2).transition()
    plan = sj.plan_rewards(mdp, model, horizon=4)
    sj.reward_bounds(mdp, exact, model, plan)
    with refused("exact differs from the MDP"):
        sj.reward_bounds(mdp, sj.CoOccurrence.exact(other), model, plan)
    with refused("the plan's best return"):
        sj.reward_bounds(other, sj.CoOccurrence.exact(other), model, plan)
    with refused("the plan believes in other values"):
        sj.reward_bounds(mdp, exact, np.array(mdp.dense()), plan)
    with refused("the plan holds policies of shape"):
        sj.reward_bound_values(mdp, exact, model[None], plan)


def test_a_co_occurrence_is_checked_when_made(world, refused):
    exact = world[1]
    good = dict(
        joint=exact.joint, row_weight=exact.row_weight, column_weight=exact.column_weight, action_frequency=[0.5, 0.5]
    )
    sj.CoOccurrence(**good)
    for name, value, fragment in [
        ("joint", "abc", "joint is 'abc'"),
        ("row_weight", None, "row_weight is None"),
        ("column_weight", 3, "column_weight has shape ()"),
        ("action_frequency", {}, "action_frequency is a dict"),
        ("joint", exact.joint * np.nan, "joint[0, 0, 0] is nan"),
        ("row_weight", -exact.row_weight, "row_weight holds -0.1"),
        ("n_samples", [1.5, 2.0], "n_samples holds float64"),
        ("normalization", "plugin", "normalization is 'plugin'"),
    ]:
        with refused(fragment):
            sj.CoOccurrence(**good | {name: value})


@pytest.mark.parametrize(
    ("arguments", "fragment"),
    [
        (dict(reward=sp.csr_array(np.ones((2, 3)))), "reward has shape (2, 3), expected (3, 2)"),
        (dict(reward=sp.csr_array(np.ones((3, 2)) + 1j)), "reward holds complex numbers"),
        (dict(reward=sp.csr_array(np.full((3, 2), np.nan))), "reward[0, 0] is nan"),
        (dict(reward=[sp.csr_array(np.eye(3) + 1j)] * 2), "reward of action 0 holds complex numbers"),
        (dict(reward=[sp.csr_array(np.full((3, 3), np.inf))] * 2), "reward of action 0, entry [0] is inf"),
        (dict(reward=[sp.csr_array(np.eye(3)), np.eye(3)]), "reward mixes dense with sparse matrices"),
        (dict(reward=[np.eye(3), sp.csr_array(np.eye(3))]), "reward mixes dense with sparse matrices"),
        (dict(reward=["a", "b", "c"]), "reward holds text"),
        (dict(reward=np.ma.masked_array(np.ones(3), mask=[0, 1, 0])), "reward is a masked array"),
        (dict(state_labels=[[0, 1], [0, 2], [1, 1]]), "state_labels holds a label of type list"),
        (dict(state_labels=5), "state_labels is 5"),
        (dict(state_labels="abc"), "state_labels is 'abc'"),
        (dict(name=None), "name is None"),
        (dict(discount="0.9"), "discount is '0.9'"),
        (dict(discount=np.nan), "discount is nan"),
    ],
)
@pytest.mark.parametrize("sparse", [False, True])
def test_sparse_and_list_rewards_and_labels(refused, arguments, fragment, sparse):
    transition = [np.eye(3), np.eye(3)[::-1]]
    with refused(fragment):
        sj.TabularMDP([sp.csr_array(rows) for rows in transition] if sparse else transition, **arguments)


def test_complex_transitions_and_labels_of_a_log(refused):
    with refused("transition holds complex numbers"):
        sj.TabularMDP(np.eye(2)[None] + 0j)
    with refused("transition of action 0 holds complex numbers"):
        sj.TabularMDP([sp.csr_array(np.eye(2) + 0j)])
    ids = [0, 1, 2], [0, 0, 0], [1, 2, 0]
    with refused("state_labels has 1 entries, expected 3"):
        sj.Transitions(*ids, state_labels=("a",))
    assert sj.Transitions(*ids, state_labels=["a", "b", "c"]).state_labels == ("a", "b", "c")


# Memory before the fact.


def sparse_world(n):
    return sj.TabularMDP([sp.csr_array(sp.eye_array(n))])


def make_paying():
    return sj.make_block(6, 3, 2, seed=0).with_unit_reward()


@pytest.mark.parametrize(
    "ask",
    [
        lambda: sj.Transitions([0], [0], [999_999]).counts(),
        lambda: sj.CoOccurrence.from_transitions(sj.Transitions([0], [0], [999_999]), sparse=False),
        lambda: sj.spectrum(sj.CoOccurrence.exact(sparse_world(500_000)), 250_000),
        lambda: sj.with_nuisance(sj.make_ring(50), 100_000),
        lambda: sj.with_nuisance(sj.make_ring(50).as_sparse(), 100_000),
        lambda: sj.nuisance_singular_values(np.ones(1000), 10**9),
        lambda: sj.product_observations(np.ones((10**5, 10)), np.ones((10**6, 10)), nuisance_scale=1.0),
        lambda: sj.sample_transitions(sj.make_ring(5), 10**12, seed=0),
        lambda: sj.plan_goals(
            sparse_world(300_000),
            sj.Embedding(np.ones((300_000, 1)), np.ones((1, 300_000, 1)), np.full(300_000, 1 / 300_000)),
        ),
        lambda: (
            sj.plan_rewards(sj.make_ring(5).with_unit_reward(), sj.make_ring(5).dense(), horizon=10**12)
            if False
            else sj.simulation_bound_values(0.1, 0.9, 10**12)
        ),
        lambda: sj.rademacher_complexity(np.full(1000, 1e-3), 10**16, 1.0),
        lambda: sj.empirical_risk(
            sj.CoOccurrence.exact(sj.make_ring(4)),
            sj.spectral_embedding(sj.CoOccurrence.exact(sj.make_ring(4)), 1),
            np.zeros(10**6, dtype=int),
        ),
        lambda: sj.make_dirichlet(200_000, 4),
        lambda: sj.autoregressive_singular_values(10**12, 0.5),
        lambda: sj.sigreg_slope(10**12),
    ],
)
def test_what_would_not_fit_is_refused_before(refused, ask):
    with refused("GiB but only", "GiB are free, of which 80% may be taken"):
        ask()


@pytest.mark.parametrize("n_actions", [1, 2, 3])
@pytest.mark.parametrize("horizon", [10_001, 20_000, 10**10, 10**400])
def test_horizons_that_no_plan_can_have(refused, horizon, n_actions):
    """Once an error about digits, or for ever in A**T."""
    mdp = sj.make_ring(4, n_actions=n_actions)
    with refused(f"{n_actions} actions over", "expected at most 2000000 of at most 10000 steps"):
        sj.plan_goals(mdp, sj.spectral_embedding(sj.CoOccurrence.exact(mdp), 2), horizon=horizon)


def test_one_action_may_be_held_for_more_steps_than_an_array_has_axes():
    mdp = sj.make_ring(4, n_actions=1)
    plan = sj.plan_goals(mdp, sj.spectral_embedding(sj.CoOccurrence.exact(mdp), 4), horizon=100)
    assert plan.actions(plan.planned_sequence).shape == (4, 4, 100) and plan.mean_regret == 0
    mdp = sj.make_ring(4, n_actions=3)
    plan = sj.plan_goals(mdp, sj.spectral_embedding(sj.CoOccurrence.exact(mdp), 4), horizon=3)
    expected = np.stack(np.unravel_index(plan.planned_sequence, (3, 3, 3)), axis=-1)
    assert (plan.actions(plan.planned_sequence) == expected).all()


def test_a_reward_that_is_summed_step_by_step_has_a_limit(refused):
    with refused("n_steps is 10000000000, expected between 1 and 100000", "step by step"):
        sj.with_horizon(sj.make_block(6, 3, 2, seed=0), 10**10)


def test_the_share_is_kept_to_the_byte(monkeypatch, refused):
    monkeypatch.setattr(_validation, "free_memory", lambda: 2**30)
    fits = int(MEMORY_SHARE * 2**30) // 8
    require_memory((fits,), "a vector", "use less")
    for shape, copies in (((fits + 1,), 1), ((fits // 2 + 1,), 2)):
        with refused("a vector of shape", "0.8 GiB but only 1.0 GiB are free", "use less"):
            require_memory(shape, "a vector", "use less", copies=copies)


def test_a_ulimit_counts():
    script = """
        import resource, numpy as np
        from spectral_jepa._validation import InputError, free_memory, require_memory
        import psutil
        used = psutil.Process().memory_info().vms
        resource.setrlimit(resource.RLIMIT_AS, (used + 2**29, resource.getrlimit(resource.RLIMIT_AS)[1]))
        assert free_memory() <= 2**29
        try:
            require_memory((2**27,), "a vector", "use less")
        except InputError as error:
            print(error)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, check=True)
    assert "needs 1.0 GiB but only" in done.stdout


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("in_container", [False, True])
def test_a_cgroup_counts(tmp_path, version, in_container):
    """A limit of 3 GiB of which 1 are used, half of those as cache that can be dropped: 2.5 are left."""
    top = tmp_path if version == 2 else tmp_path / "memory"
    names = ("memory.max", "memory.current") if version == 2 else ("memory.limit_in_bytes", "memory.usage_in_bytes")
    group = top if in_container else top / "jobs" / "mine"
    group.mkdir(parents=True, exist_ok=True)
    (group / names[0]).write_text(f"{3 * 2**30}\n")
    (group / names[1]).write_text(f"{2**30}\n")
    (group / "memory.stat").write_text(f"anon 5\ninactive_file {2**29}\nactive_file 7\n")
    membership = tmp_path / "cgroup"
    membership.write_text("0::/jobs/mine\n" if version == 2 else "5:cpu:/other\n4:memory:/jobs/mine\n")
    assert _validation._cgroup_bounds(tmp_path, membership) == [int(2.5 * 2**30)]
    (group / names[0]).write_text("max\n" if version == 2 else f"{2**63 - 4096}\n")
    assert not [bound for bound in _validation._cgroup_bounds(tmp_path, membership) if bound < 2**60]
    assert _validation._cgroup_bounds(tmp_path, tmp_path / "missing") == []


def test_free_memory_is_at_most_the_machines():
    import psutil

    assert 0 < free_memory() <= psutil.virtual_memory().total


def test_a_warning_points_at_the_users_line(tmp_path):
    """Also through @checked, closures and several functions of the package."""
    log = tmp_path / "log.csv"
    log.write_text("state,action,next_state,done\na,x,b,1\nb,x,a,0\n")
    broken = tmp_path / "cells"
    broken.mkdir()
    sj.run_sweep(lambda x: {"y": x}, [{"x": 1}], broken, experiment="own", n_jobs=1, progress=False)
    (broken / "table.parquet").write_bytes(b"none")
    rng = np.random.default_rng(0)
    matrix, weight = rng.standard_normal((36, 8)), rng.dirichlet(np.ones(8), size=3)
    off = np.full((1, 3, 3), 1 / 3)
    off[0, 0, 0] += 1e-7
    for warn in (
        lambda: sj.read_log(log),
        lambda: sweep_results.read_table(broken),
        lambda: factorizers.AlternatingLeastSquares(3, 3, max_iter=2).fit(matrix, column_weight=weight),
        lambda: sj.TabularMDP(off),
        lambda: sj.TabularMDP.from_gymnasium("FrozenLake-v0"),
    ):
        with pytest.warns(UserWarning) as caught:
            warn()
        # Gymnasium warns of old ids itself, at a line of its own.
        assert __file__ in {warning.filename for warning in caught}, [str(warning) for warning in caught]


@pytest.mark.parametrize("missing", [False, True])
def test_free_memory_without_psutil_is_what_the_system_says(monkeypatch, missing):
    import psutil

    before = psutil.virtual_memory().available
    monkeypatch.setitem(sys.modules, "psutil", None)  # an import of it fails
    if missing:  # and neither does the system say anything, as in a browser
        monkeypatch.setattr(_validation, "_system_memory", lambda: sys.maxsize)
        monkeypatch.setattr(_validation, "_process_memory", lambda: (0, 0))
        monkeypatch.setattr(_validation, "_cgroup_bounds", lambda root: [])
        monkeypatch.setattr(_validation, "resource", None)
        assert free_memory() == sys.maxsize
    else:
        # What is free changes while we ask, but not by a quarter.
        assert free_memory() <= 1.25 * before
        monkeypatch.undo()
        assert _validation._system_memory() == pytest.approx(psutil.virtual_memory().available, rel=0.25)
        assert _validation._process_memory()[0] == pytest.approx(psutil.Process().memory_info().vms, rel=0.25)


def test_the_system_is_asked_in_two_ways(tmp_path, monkeypatch):
    (tmp_path / "meminfo").write_text("MemTotal:       9 kB\nMemFree:        2 kB\nMemAvailable:   5 kB\n")
    assert _validation._system_memory(tmp_path / "meminfo") == 5 * 1024
    pages = {"SC_AVPHYS_PAGES": 7, "SC_PAGE_SIZE": 4096}
    monkeypatch.setattr(_validation.os, "sysconf", pages.__getitem__)
    assert _validation._system_memory(tmp_path / "none") == 7 * 4096
    (tmp_path / "statm").write_text("10 3 2 1 0 6 0\n")
    assert _validation._process_memory(tmp_path / "statm") == (10 * 4096, 6 * 4096)

    def unknown(name):
        raise ValueError("unrecognized configuration name")

    monkeypatch.setattr(_validation.os, "sysconf", unknown)
    assert _validation._system_memory(tmp_path / "none") == sys.maxsize
    assert _validation._process_memory(tmp_path / "none") == (0, 0)


def near_misses():
    """A call with a name that is nearly right, and the name that was meant: every place that knows a list of names."""
    import pandas as pd

    import spectral_jepa as sj
    from spectral_jepa import cli
    from spectral_jepa.sweep.experiment import load_experiment
    from spectral_jepa.sweep.results import mean_band

    world = sj.make_two_state()
    fit = sj.spectral_embedding(sj.CoOccurrence.exact(world), 2)
    frame = pd.DataFrame({"state": [0], "action": [0], "nextstate": [0]})
    run = cli.commands.run
    yield "a choice", lambda: sj.plan_goals(world, fit, score="transitions"), "transition"
    yield "a choice in capitals", lambda: sj.plan_goals(world, fit, rollout="Operator"), "operator"
    yield "a kind", lambda: sj.with_nuisance(world, 2, kind="markow"), "markov"
    yield "a column", lambda: sj.read_log(frame), "nextstate"
    yield "a column of a table", lambda: mean_band(pd.DataFrame({"dim": [1], "risk": [1.0]}), by="dims", value="risk"), "dim"
    yield "an experiment", lambda: load_experiment("bound_vs_dims"), "bound_vs_dim"
    yield "a preset", lambda: load_experiment("spectra").cells("quik"), "quick"
    yield "a world", lambda: run(["spectrum", "fourrooms"]), "four_rooms"
    yield "a Gymnasium id", lambda: run(["spectrum", "FrozenLake-v"]), "FrozenLake-v1"
    yield "an option of a world", lambda: run(["spectrum", "block", "--set", "n_state", "3"]), "n_states"
    yield "a command", lambda: run(["spectum", "block"]), "spectrum"
    yield "an option", lambda: run(["spectrum", "block", "--dims", "3"]), "--dim"


@pytest.mark.parametrize("case", range(12))
def test_every_unknown_name_says_which_is_nearest(case, refused):
    _, call, meant = list(near_misses())[case]
    with refused(f"(nearest: {meant!r})", "expected"):
        call()


def test_nothing_is_near_what_is_far(refused):
    from spectral_jepa._validation import check_choice, nearest

    assert nearest("zebra", ["dot", "euclidean"]) == nearest(3, ["dot"]) == nearest(None, ["dot"]) == ""
    with refused("kind is 'zebra', expected one of 'dot', 'euclidean': choose one of these"):
        check_choice("kind", "zebra", ("dot", "euclidean"))
