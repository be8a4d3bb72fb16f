"""Where episodes end: no row leads across an end."""

import warnings

import gymnasium
import numpy as np
import pytest

from spectral_jepa import InputError, TabularMDP, optimal_values
from spectral_jepa.logs import log_to_mdp, read_log

pytestmark = pytest.mark.filterwarnings("error::UserWarning")


def write(folder, rows, header):
    path = folder / "log.csv"
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def triples(data):
    labels = data.state_labels
    return [(labels[x], labels[y]) for x, y in zip(data.state, data.next_state, strict=True)]


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    """A random walk over FrozenLake whose log holds the next start where an episode ended (auto-reset)."""
    env = gymnasium.make("FrozenLake-v1", is_slippery=False)
    rng = np.random.default_rng(0)
    rows, state = [], env.reset(seed=0)[0]
    for _ in range(20_000):
        action = int(rng.integers(4))
        following, reward, terminated, truncated, _ = env.step(action)
        following = env.reset()[0] if terminated or truncated else following
        rows.append(f"{state},{action},{reward},{following},{terminated},{truncated}")
        state = following
    folder = tmp_path_factory.mktemp("lake")
    path = write(folder, rows, "state,action,reward,next_state,terminated,truncated")
    world = TabularMDP.from_gymnasium(env)
    return path, float(world.start @ optimal_values(world, 0.9).values)


@pytest.mark.parametrize("next_state", ["next_state", None])
def test_values_of_a_log_with_automatic_resets(lake, next_state):
    path, true = lake
    assert true == pytest.approx(0.9**5)
    data = read_log(path, next_state=next_state, terminated="terminated", truncated="truncated")
    values = optimal_values(log_to_mdp(data, discount=0.9)).values
    assert values[data.state_labels.index(0)] == pytest.approx(true, abs=1e-9)
    assert data.state_labels[-1] == "(end)" and values[-1] == 0


def test_columns_of_ends_that_are_not_used_are_told(lake):
    path, true = lake
    with pytest.warns(
        UserWarning, match=r"'terminated' and 'truncated', which are not used.*terminated='terminated' \(--term"
    ):
        data = read_log(path)
    values = optimal_values(log_to_mdp(data, discount=0.9)).values
    assert values[data.state_labels.index(0)] > 2 * true  # the control: without them an episode never ends
    with pytest.warns(UserWarning, match="'truncated', which is not used"):
        read_log(path, terminated="terminated")


ROWS = ["a,go,b,0,0,1", "b,go,c,0,1,1", "x,go,y,0,0,2", "y,go,z,1,1,2"]
NAMES = "state,action,next_state,terminated,done,episode"


def test_a_state_where_nothing_starts_is_the_end_itself(tmp_path):
    path = write(tmp_path, ROWS, NAMES)
    data = read_log(path, terminated="terminated", done="done")
    assert triples(data) == [("a", "b"), ("b", "c"), ("x", "y"), ("y", "z")]
    data = read_log(path, terminated="terminated", done="done", episode="episode")
    assert "(end)" not in data.state_labels and len(data) == 4


def test_done_because_cut_off_is_left_out_and_the_last_row_of_an_episode_too(tmp_path):
    path = write(
        tmp_path, [f"{row},{row.split(',')[4] if i < 3 else 0}" for i, row in enumerate(ROWS)], NAMES + ",truncated"
    )
    data = read_log(path, done="done", truncated="truncated", terminated="terminated")
    assert triples(data) == [("a", "b"), ("x", "y"), ("y", "z")]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert triples(read_log(path, episode="episode")) == [("a", "b"), ("x", "y")]
        assert triples(read_log(path, episode="episode", next_state=None)) == [("a", "b"), ("x", "y")]
        assert triples(read_log(path, episode="episode", next_state=None, terminated="terminated")) == [
            ("a", "b"),
            ("x", "y"),
            ("y", "(end)"),
        ]


def test_the_end_has_a_label_that_no_state_has(tmp_path):
    path = write(tmp_path, ["(end),go,0", "b,go,1"], "state,action,done")
    assert read_log(path, next_state=None, done="done").state_labels == ("(end)", "b", "((end))")
    path = write(tmp_path, ["0,1,go,0", "2,1,go,1"], "x,y,action,done")
    assert read_log(path, state=["x", "y"], next_state=None, done="done").state_labels == (
        (0, 1),
        (2, 1),
        ("(end)", "(end)"),
    )


def test_a_count_column_repeats_rows(tmp_path):
    path = write(tmp_path, ["a,go,b,3", "b,go,a,0", "b,go,b,2"], "state,action,next_state,n")
    assert triples(read_log(path, count="n")) == [("a", "b")] * 3 + [("b", "b")] * 2
    for bad in ("-1", "1.5", "x"):
        path = write(tmp_path, ["a,go,b,3", f"a,go,b,{bad}"], "state,action,next_state,n")
        with pytest.raises(InputError, match="no whole number >= 0 in row 2"):
            read_log(path, count="n")
    path = write(tmp_path, ["a,go,b,3", "a,go,b,1e12"], "state,action,next_state,n")
    with pytest.raises(InputError, match="sums to 1e\\+12"):
        read_log(path, count="n")


@pytest.mark.parametrize(
    "rows, options, pattern",
    [
        (["a,go,b,maybe,1"], {"terminated": "terminated"}, "holds 'maybe' in row 1 .*expected true or false"),
        (["a,go,b,,1"], {"terminated": "terminated"}, "row 1 .*expected true or false"),
        (
            ["a,go,b,0,1", "a,go,b,0,2", "a,go,b,0,1"],
            {"episode": "episode", "terminated": "terminated"},
            "episode 1 .*sort the",
        ),
        (["a,go,b,0,1"], {"episode": "episode", "terminated": "terminated"}, "no row left"),
        (["a,go,b,0,1"], {"episode": "run"}, "no column 'run'"),
    ],
)
def test_wrong_ends(tmp_path, rows, options, pattern):
    path = write(tmp_path, rows, "state,action,next_state,terminated,episode")
    with pytest.raises(InputError, match=pattern):
        read_log(path, **options)
