import functools
import os
import subprocess
import sys
import warnings
from contextlib import closing
from importlib.util import find_spec

import joblib
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from spectral_jepa._validation import InputError
from spectral_jepa.pixels.environments import make_environment
from spectral_jepa.pixels.environments.push_t_policy import clearance, scripted_pusher

PACKAGE = {"push_t": "gym_pusht", "reacher": "dm_control", "cube": "ogbench"}
SIZE = 32


# One for the whole module: Cube takes seconds to build.
@functools.cache
def build(name):
    if find_spec(PACKAGE[name]) is None:
        return f"{PACKAGE[name]} is not installed: pip install 'spectral-jepa[pixels]'"
    try:
        made = make_environment(name, SIZE)
        made.reset(seed=0)
        made.render()
    except InputError as error:
        return str(error)
    return made


def get(name):
    made = build(name)
    if isinstance(made, str):
        pytest.skip(made)
    return made


@pytest.fixture(params=PACKAGE)
def environment(request):
    return get(request.param)


@pytest.fixture
def push_t():
    return get("push_t")


@pytest.fixture
def reacher():
    return get("reacher")


@pytest.fixture
def cube():
    return get("cube")


def play(environment, seed, n_steps, kind="scripted"):
    state, _ = environment.reset(seed=seed)
    policy = environment.policy(kind, np.random.default_rng([17, seed]))
    states, actions = [state], []
    for _ in range(n_steps):
        actions.append(policy())
        states.append(environment.step(actions[-1])[0])
    return np.array(states), np.array(actions)


def test_gymnasium_accepts_it(environment):
    with warnings.catch_warnings():
        # The base class's choice: states have no bounds, and native actions need not be symmetric.
        warnings.simplefilter("ignore")
        check_env(environment, skip_render_check=True)
    assert environment.render().shape == (SIZE, SIZE, 3)
    assert environment.render().dtype == np.uint8


@pytest.mark.parametrize("kind", ["scripted", "random"])
def test_the_seed_decides_the_episode(environment, kind):
    states, actions = play(environment, 4, 8, kind)
    picture = environment.render()
    again, again_actions = play(environment, 4, 8, kind)
    assert states.tobytes() == again.tobytes() and actions.tobytes() == again_actions.tobytes()
    np.testing.assert_array_equal(environment.render(), picture)
    assert np.abs(states[-1] - play(environment, 5, 8, kind)[0][-1]).max() > 0.01
    assert actions.dtype == np.float32
    assert (np.abs(actions) <= 1).all() and actions.std() > 0.05


def test_a_state_restores_future_and_picture(environment):
    n_steps = 70  # long enough for contacts: the block is pushed, the cube grasped
    states, actions = play(environment, 1, n_steps)
    picture = environment.render()
    moved = np.abs(states[-1] - states[35]).max()
    assert moved > 0.1
    environment.reset(seed=9)
    environment.set_state(states[35])
    assert environment.get_state().tobytes() == states[35].tobytes()
    replay = [environment.step(action)[0] for action in actions[35:]]
    assert np.array(replay).tobytes() == states[36:].tobytes()
    np.testing.assert_array_equal(environment.render(), picture)


def test_reset_at_a_state(environment):
    states, _ = play(environment, 2, 5)
    state, quantities = environment.reset(options={"state": states[3]})
    assert state.tobytes() == states[3].tobytes()
    for name, value in environment.quantities().items():
        np.testing.assert_array_equal(value, quantities[name])
        assert value.ndim == 1 and value.dtype == np.float64
    with pytest.raises(InputError, match="shape"):
        environment.set_state(np.zeros(3))


def test_recolor_changes_a_part_of_the_picture_only(environment):
    environment.reset(seed=0)
    before, state = environment.render(), environment.get_state()
    environment.recolor()
    after = environment.render()
    changed = (before != after).any(-1)
    assert 2 <= changed.sum() < 0.2 * SIZE**2
    assert environment.get_state().tobytes() == state.tobytes()
    environment.step(np.zeros(environment.action_dim))
    environment.set_state(state)
    np.testing.assert_array_equal(environment.render(), after)
    environment.reset(seed=0)
    np.testing.assert_array_equal(environment.render(), before)


def test_teleport_moves_further_than_a_step(environment):
    place = {"push_t": "block_position", "reacher": "finger_position", "cube": "block_position"}[environment.name]
    least = {"push_t": 100, "reacher": 0.12, "cube": 0.1}[environment.name]
    rng = np.random.default_rng(0)
    for seed in range(3):
        environment.reset(seed=seed)
        before, picture = environment.quantities(), environment.render()
        environment.teleport(rng)
        after = environment.quantities()
        assert np.linalg.norm(after[place] - before[place]) > least
        assert (environment.render() != picture).any()
        if environment.name == "push_t":
            assert np.linalg.norm(after["agent_position"] - before["agent_position"]) > 100
        # It is at rest there.
        environment.step(np.zeros(environment.action_dim))
        assert np.linalg.norm(environment.quantities()[place] - after[place]) < 0.01 * least


def test_success_follows_the_published_criteria(push_t):
    goal = np.array([100, 100, 200, 200, 3.1, 0, 0, 0, 0, 0.0])

    def moved(**changes):
        return goal + sum((value * np.eye(10)[int(index[1:])] for index, value in changes.items()), np.zeros(10))

    assert push_t.success(moved(_0=19.9), goal) and not push_t.success(moved(_0=20.1), goal)
    # The norm of all four differences: 14.2 sqrt(2) = 20.08.
    assert push_t.success(moved(_1=14.1, _3=14.1), goal) and not push_t.success(moved(_1=14.2, _3=14.2), goal)
    assert push_t.success(moved(_4=0.349), goal) and not push_t.success(moved(_4=0.3492), goal)
    assert push_t.success(moved(_4=0.3 - 4 * np.pi), goal)
    assert push_t.success(moved(_5=300, _7=300), goal)


def test_reacher_plans_in_batch_as_step_by_step(reacher):
    rng = np.random.default_rng(0)
    starts, goals = rng.uniform(-2.7, 2.7, (2, 2, 4))
    actions = rng.uniform(-1.3, 1.3, (2, 3, 30, 2))  # some beyond the bounds; long enough for the wrist's limit
    actions[0, 0] = [0, 1]
    found = reacher.plan_distances(starts, goals, actions)
    plain = super(type(reacher), reacher).plan_distances(starts, goals, actions)
    assert found.shape == (2, 3) and found.tobytes() == plain.tobytes() and np.ptp(found) > 1


def test_reacher_success_does_not_wrap(reacher):
    goal = np.array([3.1, 1.0, 0, 0])
    assert reacher.success([3.149, 0.951, 9, 9], goal)
    assert not reacher.success([3.151, 1, 0, 0], goal)
    assert not reacher.success([3.1, 1.051, 0, 0], goal)
    assert not reacher.success([3.1 - 2 * np.pi, 1, 0, 0], goal)


def test_cube_success_is_the_cube_alone(cube):
    goal, _ = cube.reset(seed=0)
    place = np.flatnonzero(goal == cube.quantities()["block_position"][0])
    assert len(place) == 1
    near, far, turned = goal.copy(), goal.copy(), goal.copy()
    near[place[0] : place[0] + 2] += 0.028
    far[place[0] : place[0] + 2] += 0.0285
    turned[place[0] + 3 : place[0] + 7] = [0, 0, 0, 1]
    turned[:6] += 1
    assert cube.success(near, goal) and cube.success(turned, goal) and not cube.success(far, goal)


def test_push_t_agrees_with_gym_pusht(push_t):
    reference_class = pytest.importorskip("gym_pusht.envs.pusht").PushTEnv
    state, _ = push_t.reset(seed=0)
    reference = reference_class()
    reference.reset(seed=0)
    reference.block.angle = state[4]
    reference.block.position = state[2:4].tolist()
    reference.agent.position = state[:2].tolist()
    policy = scripted_pusher(push_t.get_state, np.random.default_rng(1), noise=0.1, speed=1.0)  # soon at the block
    distances, start = [], state
    for _ in range(40):
        action = policy()
        reference.step(np.clip(state[:2] + 100 * action.astype(float), 0, 512))
        state = push_t.step(action)[0]
        expected = [*reference.agent.position, *reference.block.position, reference.block.angle]
        distances.append(np.abs(state[:5] - expected).max())
        np.testing.assert_allclose(state[5:7], reference.agent.velocity, atol=1e-6)
    # Exact until the first contact, within a pixel after it.
    assert distances[0] < 1e-9
    assert np.linalg.norm(state[2:4] - start[2:4]) > 40
    assert max(distances) < 1


def test_push_t_keeps_its_space_as_if_built_anew(push_t, monkeypatch):
    # Fast pushes along walls and block, and jumps to other states: nothing of an earlier contact is left.
    paths, contacts = [], 0
    for kept in (True, False):
        if not kept:
            monkeypatch.setattr(push_t, "_reset_space", push_t._build)
        path = []
        for seed in range(4):
            push_t.reset(seed=seed)
            policy = scripted_pusher(push_t.get_state, np.random.default_rng(seed), noise=0.1, speed=1.0)
            for _ in range(60):
                push_t.play(policy())
                path.append(push_t.get_state())
            push_t.set_state(path[-20])
            push_t.play(np.ones(2))
            path.append(push_t.get_state())
        paths.append(np.array(path))
        contacts = int((np.abs(np.diff(paths[-1][:, 2:4], axis=0)).max(1) > 0).sum())
    assert paths[0].tobytes() == paths[1].tobytes() and contacts > 50


def test_push_t_pictures_are_area_means(push_t):
    push_t.reset(seed=3)
    large = make_environment("push_t", 512)
    large.reset(options={"state": push_t.get_state()})
    picture = large.render()
    means = picture.reshape(SIZE, 16, SIZE, 16, 3).mean((1, 3))
    assert np.abs(push_t.render() - means).max() <= 0.51
    # The agent, royal blue and a fifth lighter as pymunk draws it, is where the state says.
    x, y = push_t.get_state()[:2].astype(int)
    np.testing.assert_array_equal(picture[y, x], np.minimum([1.2 * 65, 1.2 * 105, 1.2 * 225], 255))
    assert np.ptp(picture.reshape(-1, 3), axis=0).min() > 100


def test_push_t_agent_stays_on_the_table(push_t):
    push_t.reset(options={"state": [480, 256, 150, 200, 0, 0, 0, 0, 0, 0]})
    for _ in range(30):
        state = push_t.step([1, 0])[0]
    assert state[0] == pytest.approx(512, abs=0.5)


def test_the_pusher_reaches_poses(push_t):
    # 98 of 100 within 200 steps; here those few that a test can afford.
    solved = 0
    for seed in range(6):
        state, _ = push_t.reset(seed=seed)
        policy = push_t.policy("scripted", np.random.default_rng([7, seed]))
        goal = np.array([*policy.target[:2], policy.target[2]])
        for _ in range(200):
            push_t.play(policy())
            state = push_t.get_state()
            turn = abs((state[4] - goal[2] + np.pi) % (2 * np.pi) - np.pi)
            if np.linalg.norm(state[2:4] - goal[:2]) < 20 and turn < np.deg2rad(20):
                solved += 1
                break
    assert solved >= 5


def test_the_pusher_is_as_fast_as_the_published_data(push_t):
    def spreads(make_policy):
        # Of actions (published: .20) and of the agent's velocity (75 px/s), a coordinate.
        actions, places = [], []
        for seed in range(5):
            push_t.reset(seed=seed)
            policy = make_policy(np.random.default_rng([7, seed]))
            places.append([push_t.get_state()[:2]])
            for _ in range(120):
                actions.append(policy())
                push_t.play(actions[-1])
                places[-1].append(push_t.get_state()[:2])
        # A step is a tenth of a second.
        return np.std(actions, axis=0), np.concatenate([np.diff(path, axis=0) for path in places]).std(0) / 0.1

    action, velocity = spreads(lambda rng: push_t.policy("scripted", rng))
    assert ((action > 0.17) & (action < 0.23)).all(), action
    assert ((velocity > 60) & (velocity < 90)).all(), velocity
    fast, _ = spreads(lambda rng: scripted_pusher(push_t.get_state, rng, noise=0.1, speed=1.0))
    assert (fast > 0.4).all()


def test_clearance_against_sampled_outline(push_t):
    state = push_t.reset(seed=1)[0]
    rng = np.random.default_rng(0)
    places = rng.uniform(0, 512, (50, 2))
    # The T as a cloud of points, from gym-pusht's corner coordinates.
    bar = np.stack(np.meshgrid(np.linspace(-60, 60, 121), np.linspace(0, 30, 31)), -1).reshape(-1, 2)
    stem = np.stack(np.meshgrid(np.linspace(-15, 15, 31), np.linspace(30, 120, 91)), -1).reshape(-1, 2)
    c, s = np.cos(state[4]), np.sin(state[4])
    cloud = np.vstack([bar, stem]) @ np.array([[c, s], [-s, c]]) + state[2:4]
    nearest = np.linalg.norm(places[:, None] - cloud[None], axis=-1).min(1)
    outside = nearest > 1
    assert outside.sum() > 30
    np.testing.assert_allclose(clearance(places, state)[outside], nearest[outside], atol=0.6)


def test_reacher_is_dm_control_with_repeated_actions(reacher):
    suite = pytest.importorskip("dm_control.suite")
    reference = suite.load("reacher", "easy")
    reference.reset()
    state, _ = reacher.reset(options={"state": [0.5, 1.0, 2.0, -1.0]})
    with reference.physics.reset_context():
        reference.physics.data.qpos[:], reference.physics.data.qvel[:] = state[:2], state[2:]
    rng = np.random.default_rng(0)
    for _ in range(20):
        action = rng.uniform(-1, 1, 2)
        state = reacher.step(action)[0]
        reference.step(action)
        reference.step(action)
        expected = np.concatenate([reference.physics.data.qpos, reference.physics.data.qvel])
        np.testing.assert_allclose(state, expected, atol=1e-9)
        finger = reference.physics.named.data.geom_xpos["finger", :2]
        np.testing.assert_allclose(reacher.quantities()["finger_position"], finger, atol=1e-9)
    assert np.abs(state[:2] - [0.5, 1.0]).max() > 0.3


def test_reacher_angles_are_wrapped(reacher):
    reacher.reset(options={"state": [7.0, -1.0, 0.5, -0.25]})
    quantities = reacher.quantities()
    assert quantities["shoulder_angle"][0] == pytest.approx(7 - 2 * np.pi)
    assert [quantities[name][0] for name in ("wrist_angle", "shoulder_velocity", "wrist_velocity")] == [-1, 0.5, -0.25]


def test_cube_agrees_with_ogbench(cube):
    manipspace = pytest.importorskip("ogbench.manipspace.envs.cube_env")
    mujoco = pytest.importorskip("mujoco")
    state, _ = cube.reset(seed=3)
    reference = manipspace.CubeEnv(env_type="single", mode="data_collection", terminate_at_goal=False)
    reference.reset(seed=0)
    reference.data.qpos[:], reference.data.qvel[:] = state[:21], state[21:41]
    mujoco.mj_forward(reference.model, reference.data)
    action = np.array([0.5, -1, 0.25, 1, -0.5], dtype=np.float32)
    after = cube.step(action)[0]
    reference.step(action)
    info = reference.compute_ob_info()
    # Not exact: OGBench's solver starts from its last solution.
    np.testing.assert_allclose(after[:21], info["qpos"], atol=1e-5)
    assert np.abs(after[:21] - state[:21]).max() > 0.01
    quantities = cube.quantities()
    np.testing.assert_allclose(quantities["effector_position"], info["proprio/effector_pos"], atol=0.01)
    w, x, y, z = quantities["block_quaternion"]
    yaw = np.arctan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z))
    assert quantities["block_yaw_angle"][0] == pytest.approx(yaw)


def test_the_oracle_carries_the_cube(cube):
    cube.reset(seed=1)
    policy = cube.policy("scripted", np.random.default_rng([17, 1]))
    places = [cube.step(policy())[4]["block_position"] for _ in range(110)]
    assert np.ptp(places, axis=0)[:2].max() > 0.05
    assert max(place[2] for place in places) > 0.08


def draw_in_worker(name, state):
    environment = make_environment(name, SIZE)
    environment.reset(options={"state": state})
    with closing(environment):
        return environment.render(), os.getpid()


def test_a_worker_draws_the_same_picture(reacher):
    state, _ = reacher.reset(seed=6)
    ((picture, process),) = joblib.Parallel(n_jobs=2, batch_size=1)([joblib.delayed(draw_in_worker)("reacher", state)])
    np.testing.assert_array_equal(picture, reacher.render())
    assert process != os.getpid()


# What happens with a driver that fails, and where there is no EGL library at all.
@pytest.mark.parametrize(("chosen", "detail"), [("egl", "MUJOCO_EGL_DEVICE_ID"), (None, "libEGL.so.1 was not found")])
def test_missing_opengl_is_one_sentence(reacher, chosen, detail):
    code = """if True:
        import ctypes, os
        from spectral_jepa._validation import InputError
        if "MUJOCO_GL" not in os.environ:
            find = ctypes.CDLL
            def only_others(name, *rest, **options):
                if str(name).startswith("libEGL"):
                    raise OSError(name)
                return find(name, *rest, **options)
            ctypes.CDLL = only_others
        from spectral_jepa.pixels.environments import make_environment
        try:
            environment = make_environment("reacher", 16)
            environment.reset(seed=0)
            environment.render()
        except InputError as error:
            print(error)
    """
    variables = {name: value for name, value in os.environ.items() if name not in ("MUJOCO_GL", "PYOPENGL_PLATFORM")}
    if chosen is not None:
        variables |= {"MUJOCO_GL": chosen, "MUJOCO_EGL_DEVICE_ID": "99"}
    done = subprocess.run([sys.executable, "-c", code], env=variables, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("MuJoCo cannot draw with MUJOCO_GL=") and detail in done.stdout
    assert "libegl1" in done.stdout and len(done.stdout.splitlines()) == 1
    assert "Traceback" not in done.stderr


def test_a_missing_package_names_the_extra(monkeypatch):
    for name, package in PACKAGE.items():
        module = f"spectral_jepa.pixels.environments.{name}"
        monkeypatch.delitem(sys.modules, module, raising=False)
        monkeypatch.setitem(sys.modules, package, None)
        for submodule in [m for m in sys.modules if m.startswith(f"{package}.")]:
            monkeypatch.delitem(sys.modules, submodule)
        if name != "push_t":
            monkeypatch.setattr("spectral_jepa.pixels.environments._mujoco.find_spec", lambda package: None)
        with pytest.raises(InputError, match=r"pip install 'spectral-jepa\[pixels\]'"):
            make_environment(name, SIZE)


def test_at_rest_is_the_same_place_without_velocity(environment):
    states, _ = play(environment, 3, 40)
    moving = states[np.abs(np.diff(states[:, : environment.state_dim // 2], axis=0)).max(1).argmax() + 1]
    environment.set_state(moving)
    before, picture, kept = environment.quantities(), environment.render(), moving.copy()
    still = environment.at_rest(moving)
    assert moving.tobytes() == kept.tobytes() and still.tobytes() == environment.at_rest(still).tobytes()
    velocities = {"push_t": slice(5, 10), "reacher": slice(2, 4), "cube": slice(21, 41)}[environment.name]
    assert np.abs(moving[velocities]).max() > 0.01 and not still[velocities].any()
    others = np.delete(np.arange(environment.state_dim), velocities)
    np.testing.assert_array_equal(still[others], moving[others])
    assert environment.goal_distance(still, moving) == 0
    environment.set_state(still)
    after = environment.quantities()
    assert {name for name in after if name.endswith("velocity")} and before.keys() == after.keys()
    for name, value in after.items():
        np.testing.assert_allclose(value, 0 if name.endswith("velocity") else before[name], rtol=0, atol=1e-12, err_msg=name)
    # No picture tells them apart, and the physics do.
    np.testing.assert_array_equal(environment.render(), picture)
    ends = []
    for state in (moving, still):
        environment.set_state(state)
        ends.append(environment.step(np.zeros(environment.action_dim))[0])
    assert np.abs(ends[0] - ends[1]).max() > 1e-4
