"""Worlds in the files of other tools."""

import numpy as np
import pytest

from spectral_jepa import InputError, optimal_values
from spectral_jepa.logs import read_model

TRA = "3 4 6\n0 0 1 0.5 go\n0 0 2 0.5 go\n0 1 0 1 stay\n1 0 1 1\n2 0 0 0.25\n2 0 2 0.75\n"
MDP = """
# a machine that wears out
discount: 0.9
values: cost
states: new worn
actions: run repair
start: new
T: run
0.8 0.2
0.0 1.0
T: repair : *
1 0
R: run : worn : * 5
R: repair : * : * 2.0
"""


def write(folder, name, text):
    (folder / name).write_text(text)
    return folder / name


def test_a_prism_model(tmp_path):
    world = read_model(write(tmp_path, "m.tra", TRA), rewards=write(tmp_path, "m.srew", "3 1\n1 4\n"), discount=0.5)
    assert world.is_sparse and world.discount == 0.5
    go, stay = world.dense()
    assert go.tolist() == [[0, 0.5, 0.5], [0, 1, 0], [0.25, 0, 0.75]]
    assert stay.tolist() == [[1, 0, 0], [0, 1, 0], [0.25, 0, 0.75]]  # what is not offered is the mean of what is
    assert world.reward.tolist() == [[0, 0], [4, 4], [0, 0]]
    world = read_model(tmp_path / "m.tra", rewards=write(tmp_path, "m.trew", "3 4 2\n0 0 1 6\n0 1 0 1\n"))
    assert world.reward.tolist() == [[3, 1], [0, 0], [0, 0]]


def test_a_prism_chain_with_a_state_that_goes_nowhere(tmp_path):
    world = read_model(write(tmp_path, "c.tra", "3 3\n0 1 0.5\n0 2 0.5\n1 0 1\n"))
    assert world.dense().tolist() == [[[0, 0.5, 0.5], [1, 0, 0], [0, 0, 1]]]


def test_a_cassandra_file(tmp_path):
    world = read_model(write(tmp_path, "m.mdp", MDP))
    assert world.discount == 0.9 and world.state_labels == ("new", "worn") and world.action_labels == ("run", "repair")
    assert world.dense().tolist() == [[[0.8, 0.2], [0, 1]], [[1, 0], [1, 0]]]
    assert world.reward.tolist() == [[0, -2], [-5, -2]] and world.start.tolist() == [1, 0]
    # Repair when worn: V(new) = .9 (.8 V(new) + .2 V(worn)), V(worn) = -2 + .9 V(new).
    new = np.linalg.solve([[1 - 0.72, -0.18], [-0.9, 1]], [0, -2])
    assert optimal_values(world).values == pytest.approx(new)
    words = MDP.replace("states: new worn", "states: 2").replace("start: new", "start: uniform").replace("worn", "1")
    world = read_model(write(tmp_path, "n.mdp", words.replace("0.8 0.2\n0.0 1.0", "identity")), discount=0.5)
    assert world.dense()[0].tolist() == [[1, 0], [0, 1]] and world.start.tolist() == [0.5, 0.5] and world.discount == 0.5


@pytest.mark.parametrize(
    ("name", "text", "pattern"),
    [
        ("m.tra", TRA.replace("3 4 6", "3 4 7"), "announces 7 lines and has 6"),
        ("m.tra", TRA.replace("0 0 1 0.5", "0 0 3 0.5"), "a state that is no whole number below 3"),
        ("m.tra", TRA.replace("0 0 1 0.5", "0 0 1 0.4"), "sums to 0.9"),
        ("m.tra", "hello\n", "no table of 3 or 4 numbers"),
        ("c.tra", "2 1\n0 5 1\n", "no whole number below 2"),
        ("m.mdp", MDP.replace("0.0 1.0", "0.0"), "where a number was expected"),
        ("m.mdp", MDP.replace("R: run : worn", "R: run : broken"), "names 'broken', expected one of its states"),
        ("m.mdp", MDP.replace("states: new worn\n", ""), "does not say its states"),
        ("m.mdp", MDP + "O: run : new : good 1\n", "has 'O' where T: or R: was expected"),
        ("m.mdp", MDP + "R: run : new :", "ends in the middle"),
        ("m.mdp", MDP.replace("0.8 0.2", "0.8 0.3"), "sums to 1.1"),
        ("m.txt", "", "'.txt', expected one of '.tra', '.mdp'"),
    ],
)
def test_wrong_models_give_one_sentence(tmp_path, name, text, pattern):
    with pytest.raises(InputError, match=pattern) as caught:
        read_model(write(tmp_path, name, text))
    assert "\n" not in str(caught.value)


def test_rewards_must_belong_to_the_model(tmp_path):
    with pytest.raises(InputError, match="has its own, expected None"):
        read_model(write(tmp_path, "m.mdp", MDP), rewards="m.srew")
    with pytest.raises(InputError, match="has 4 states, expected 3"):
        read_model(write(tmp_path, "m.tra", TRA), rewards=write(tmp_path, "m.srew", "4 1\n1 4\n"))
    with pytest.raises(InputError, match=r"nowhere.tra is not a file"):
        read_model(tmp_path / "nowhere.tra")
