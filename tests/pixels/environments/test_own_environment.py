"""A new environment is one file, named module:Class, and works with every command."""

import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from spectral_jepa._validation import InputError
from spectral_jepa.cli import main
from spectral_jepa.pixels.environments import environment_class, make_environment
from spectral_jepa.pixels.presets import preset

BALL = '''
import numpy as np

from spectral_jepa.pixels.environments.base import PixelEnvironment


class Ball(PixelEnvironment):
    """A ball on a square table, drawn as a square of 5 pixels; actions of three numbers, of which the last does nothing."""

    name, state_dim, action_dim, action_low, action_high = "ball", 2, 3, -2.0, 2.0
    settings = {"tiny": {"data.n_episodes": 11, "planning.n_samples": 30}}

    def __init__(self, image_size):
        super().__init__(image_size)
        self.place, self.color = np.full(2, 0.5), 255

    def _start(self, rng):
        self.place, self.color = rng.uniform(0.2, 0.8, 2), 255

    def _advance(self, action):
        self.place = np.clip(self.place + 0.05 * action[:2], 0, 1)

    def _scripted_policy(self, rng):
        direction = rng.uniform(-1, 1, 2)
        return lambda: np.array([*(direction + rng.normal(0, 0.3, 2)), 0.0], dtype=np.float32)

    def render(self):
        picture = np.zeros((self.image_size, self.image_size, 3), np.uint8)
        row, column = (self.place * (self.image_size - 5)).round().astype(int)
        picture[row : row + 5, column : column + 5] = (self.color, 200, 0)
        return picture

    def get_state(self):
        return self.place.copy()

    def set_state(self, state):
        self.place = np.array(state, dtype=np.float64)

    def quantities(self):
        return {"ball_position": self.place.copy()}

    def goal_distance(self, state, goal):
        return float(np.linalg.norm(np.asarray(state) - np.asarray(goal)) / 0.1)

    def recolor(self):
        self.color = 50

    def teleport(self, rng):
        self.place = 1 - self.place
'''


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "my_world.py").write_text(BALL)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    sys.modules.pop("my_world", None)


def test_its_settings_and_dimensions_enter_the_preset(folder):
    config = preset("tiny", "my_world:Ball")
    assert (config.model.action_dim, config.data.n_episodes, config.planning.n_samples) == (3, 11, 30)
    assert preset("small", "my_world:Ball").data.n_episodes == 600
    environment = make_environment("my_world:Ball", 32)
    environment.reset(seed=0, options={"state": [0.5, 0.5]})
    assert environment.step([1.0, 9.0, 0.0])[0] == pytest.approx([0.55, 0.6])  # clipped to 2
    # The planner's true distance, by stepping: 3 steps of (2, 0) end at (.8, .5), .3 from the goal.
    plans = np.tile([2.0, 0.0, 0.0], (1, 1, 3, 1))
    start, goal = np.array([[0.5, 0.5]]), np.array([[0.8, 0.2]])
    assert environment.plan_distances(start, goal, plans) == pytest.approx(np.array([[3.0]]))
    again = pickle.loads(pickle.dumps(environment))
    assert type(again) is type(environment) and again.image_size == 32


@pytest.mark.slow  # those on a world that is drawn from a table stay, in test_rendered_mdp.py
def test_every_command_runs_on_it(folder):
    tiny = ["--environment", "my_world:Ball", "--preset", "tiny"]
    run = "results/pixels/ball-tiny/sigreg-0"
    # The script itself, which has to find the module in the current folder, as have the processes that collect.
    script = [str(Path(sys.executable).with_name("spectral-jepa")), "pixels", "collect", *tiny, "--n-jobs", "2"]
    done = subprocess.run(script, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stderr
    for arguments in (
        ["train", *tiny, "--set", "training.n_steps", "5"],
        ["plan", run],
        ["evaluate", run, "--n-pairs", "3", "--simulator", "--set", "planning.n_iterations", "1"],
        ["probe", run],
        ["surprise", run, "--n-trajectories", "2"],
    ):
        main(["pixels", *arguments])
    rows = pd.read_csv("results/pixels/ball-tiny/evaluation.csv")
    assert set(rows["environment"]) == {"ball"} and rows.groupby("policy").size().eq(3).all()
    assert set(pd.read_csv(f"{run}/probe.csv")["quantity"]) == {"ball_position"}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("my_world:Bat", "expected a subclass of"),
        ("no_such_world:Ball", "cannot be imported (No module named 'no_such_world')"),
        ("maze", "expected one of 'two_room', 'push_t', 'reacher', 'cube' or 'module:Class'"),
    ],
)
def test_a_wrong_name_is_one_sentence(folder, name, message):
    with pytest.raises(InputError) as caught:
        environment_class(name)
    assert message in str(caught.value)


def test_a_package_that_its_module_wants_is_named(folder):
    (folder / "needy.py").write_text("import no_such_simulator\n")
    with pytest.raises(InputError, match="needs the package 'no_such_simulator'"):
        environment_class("needy:World")
