import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env
from hypothesis import example, given, settings
from hypothesis import strategies as st

from spectral_jepa._validation import InputError
from spectral_jepa.pixels import environments
from spectral_jepa.pixels.environments import make_environment
from spectral_jepa.pixels.environments import two_room_physics as two_room
from spectral_jepa.pixels.environments.two_room import TwoRoomEnvironment


def is_free(points):
    # Written from the geometry in words: border 14 and radius 7; wall 107..117 and door 35..63, both by the radius.
    x, y = np.moveaxis(np.asarray(points, dtype=float), -1, 0)
    inside = (x >= 21) & (x <= 203) & (y >= 21) & (y <= 203)
    return inside & ~((x > 100) & (x < 124) & ((y < 42) | (y > 56)))


def free_points(rng, n):
    points = rng.uniform(21, 203, (4 * n, 2))
    return points[is_free(points)][:n]


def slide(position, displacement):
    # Looks for contacts by sampling the segment densely and bisecting; knows nothing but is_free.
    p, d = np.array(position), np.array(displacement)
    for _ in range(3):
        times = np.linspace(0, 1, 20_001)
        blocked = np.flatnonzero(~is_free(p + times[:, None] * d))
        if not blocked.size:
            return p + d
        low, high = (times[blocked[0] - 1], times[blocked[0]]) if blocked[0] else (0.0, 0.0)
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if is_free(p + middle * d) else (low, middle)
        p, d = p + low * d, (1 - low) * d
        for axis in range(2):
            probe = p.copy()
            probe[axis] += 1e-7 * np.sign(d[axis])
            if not is_free(probe):
                d[axis] = 0
    return p


@pytest.mark.parametrize("length", [5.0, 40.0, 300.0])
def test_move_agrees_with_a_search_along_the_path(length):
    rng = np.random.default_rng(0)
    start = free_points(rng, 400)
    start[:200] = two_room.nearest_free(torch.tensor(rng.uniform([95, 30], [129, 70], (200, 2)))).numpy()
    displacement = rng.uniform(-length, length, start.shape)
    expected = np.stack([slide(p, d) for p, d in zip(start, displacement, strict=True)])
    straight = np.abs(expected - start - displacement).max(1) < 1e-9
    assert 5 < straight.sum() < 395  # both kinds of motion occur
    end = two_room.move(torch.tensor(start), torch.tensor(displacement)).numpy()
    np.testing.assert_allclose(end, expected, atol=1e-6)


coordinates = st.floats(21, 203)
huge = st.floats(-1e6, 1e6)


@settings(max_examples=150, deadline=None)
@given(coordinates, coordinates, huge, huge)
@example(100.0, 150.0, 500.0, 0.0)
@example(60.0, 49.0, 500.0, 3.0)
@example(99.99999999999999, 41.99999999999999, 1.0, 1e-9)
@example(123.99999999999999, 49.0, 3.0, -500.0)
def test_the_wall_is_crossed_only_through_the_door(x, y, dx, dy):
    start = two_room.nearest_free(torch.tensor([x, y], dtype=torch.float64))
    x, y = start.tolist()
    end = two_room.move(start, torch.tensor([dx, dy], dtype=torch.float64))
    assert is_free(end)
    far_side = (x <= 100 and end[0] >= 124) or (x >= 124 and end[0] <= 100)
    if far_side:
        # Only motion along the first straight line can enter the doorway, so it must meet its mouth.
        mouth = 100 if x <= 100 else 124
        entry = y + dy * (mouth - x) / dx
        assert 42 - 1e-6 <= entry <= 56 + 1e-6


def test_steps_never_leave_free_space_and_do_go_through_the_door():
    rng = np.random.default_rng(1)
    position = torch.tensor(free_points(rng, 3000))
    right = position[:, 0] > 112
    crossed = torch.zeros(len(position), dtype=torch.bool)
    for _ in range(60):
        old = position
        position = two_room.step(position, torch.tensor(rng.normal(0, 3, (len(position), 2))))
        assert is_free(position.numpy()).all()
        assert (position - old).abs().max() <= 5 + 1e-12
        # No step is long enough to jump the widened wall, so whoever changes side stood in the doorway before.
        now = position[:, 0] > 112
        changed = now != right
        assert ((old[changed, 1] >= 42) & (old[changed, 1] <= 56)).all()
        crossed |= changed
        right = now
    assert crossed.sum() > 10


def test_sliding_keeps_the_motion_along_the_wall():
    start = torch.tensor([[98.0, 100.0], [110.0, 54.0], [30.0, 22.0], [98.0, 41.0]], dtype=torch.float64)
    action = torch.tensor([[1.0, 0.5], [1.0, 1.0], [-0.4, -1.0], [1.0, 1.0]], dtype=torch.float64)
    expected = [[100.0, 102.5], [115.0, 56.0], [28.0, 21.0], [103.0, 46.0]]
    # The last one: at x = 100 it is at y = 43, already past the door's edge at 42.
    np.testing.assert_allclose(two_room.step(start, action), expected, atol=1e-12)


def test_actions_are_clipped_to_the_unit_square():
    start = torch.tensor([[50.0, 150.0]])
    assert two_room.step(start, torch.tensor([[7.0, -0.5]])).tolist() == [[55.0, 147.5]]


def test_the_field_is_mirror_symmetric_about_the_wall():
    rng = np.random.default_rng(2)
    start = torch.tensor(np.round(free_points(rng, 2000) * 64) / 64)  # so that 224 - x is exact
    start = start[torch.from_numpy(is_free(start.numpy()))]
    displacement = torch.tensor(np.round(rng.uniform(-60, 60, start.shape) * 64) / 64)
    mirror, flip = torch.tensor([224.0, 0.0]), torch.tensor([-1.0, 1.0])
    end = two_room.move(start, displacement)
    np.testing.assert_allclose(two_room.move(mirror + flip * start, flip * displacement), mirror + flip * end, atol=1e-11)
    assert ((end - start - displacement).abs().amax(1) > 1).sum() > 100


def test_a_batch_gives_bit_for_bit_what_single_agents_give():
    rng = np.random.default_rng(3)
    start, action = torch.tensor(free_points(rng, 37)), torch.tensor(rng.normal(0, 1, (37, 2)))
    single = torch.stack([two_room.step(p, a) for p, a in zip(start, action, strict=True)])
    assert torch.equal(two_room.step(start, action), single)
    pictures = torch.cat([two_room.draw(p[None], 64) for p in start])
    assert torch.equal(two_room.draw(start, 64), pictures)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_distances_are_correctly_rounded_on_any_processor(dtype):
    # IEEE 754 asks that of a square root. Torch's on a CPU is MKL's, which is off by a digit on some processors,
    # and so were the recordings.
    points = np.random.default_rng(0).uniform(0, 224, (100_000, 2)).astype(dtype)
    square = points[:, 0] * points[:, 0] + points[:, 1] * points[:, 1]
    found = two_room.distance(torch.from_numpy(points), torch.zeros(2, dtype=torch.from_numpy(points).dtype))
    assert np.array_equal(found.numpy(), np.sqrt(square)) and found.numpy().dtype == dtype
    assert np.array_equal(found[:100].numpy(), [np.sqrt(value) for value in square[:100]])
    moving = torch.from_numpy(points[:5]).requires_grad_()
    two_room.distance(moving, torch.zeros_like(moving)).sum().backward()
    torch.testing.assert_close(moving.grad, torch.from_numpy(points[:5] / np.sqrt(square[:5, None])))


def test_nearest_free_is_the_nearest_free_point():
    rng = np.random.default_rng(4)
    points = np.concatenate([rng.uniform(80, 140, (60, 2)), rng.uniform(-20, 240, (60, 2))])
    axis = np.linspace(21, 203, 182 * 2 + 1)
    grid = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)
    grid = grid[is_free(grid)]
    found = two_room.nearest_free(torch.tensor(points)).numpy()
    assert is_free(found).all()
    inside = np.clip(points, 21, 203)
    best = np.array([np.linalg.norm(grid - p, axis=1).min() for p in inside])
    assert (np.linalg.norm(found - inside, axis=1) <= best + 1e-9).all()
    assert (found == points).all(1).any() and (found != points).any(1).any()


@pytest.mark.parametrize(("size", "fine"), [(32, 14), (64, 14), (224, 6)])  # every wall edge lies between two samples
def test_picture_matches_a_supersampled_drawing(size, fine):
    position = np.array([[60.3, 120.8], [112.0, 49.0], [190.7, 33.1]])
    centre = (np.arange(size * fine) + 0.5) * 224 / (size * fine)
    pixel = (np.arange(size) + 0.5) * 224 / size
    x, y = np.meshgrid(centre, centre)
    ring = (np.maximum(abs(x - 112), abs(y - 112)) > 98) & (np.maximum(abs(x - 112), abs(y - 112)) < 102)
    wall = (abs(x - 112) < 5) & (abs(y - 49) > 14) & (abs(y - 112) < 98)
    pictures = two_room.draw(torch.tensor(position), size).numpy()
    for picture, (px, py) in zip(pictures, position, strict=True):
        image = np.where((ring | wall)[..., None], 0.0, [255.0, 255.0, 255.0])
        image[(x - px) ** 2 + (y - py) ** 2 < 49] = [255.0, 0.0, 0.0]
        expected = image.reshape(size, fine, size, fine, 3).mean((1, 3))
        # The disc's rim is a ramp of the distance, not an exact area; walls are exact areas.
        assert np.abs(picture - expected).max() < (50 if size < 224 else 30)
        far = np.abs(picture - expected)[np.linalg.norm(np.stack(np.meshgrid(pixel - px, pixel - py)), axis=0) > 21]
        assert far.max() <= 0.5


@pytest.mark.parametrize("size", [64, 224])
def test_picture_shows_sub_pixel_motion(size):
    position = torch.tensor([[60.0, 150.0], [60.4, 150.0], [60.4, 150.7]])
    amount = 255.0 - two_room.draw(position, size)[..., 1].double()
    amount -= 255.0 - two_room.draw(torch.tensor([[160.0, 150.0]]), size)[..., 1].double()
    amount = amount[:, size // 2 : -size // 8, size // 8 : size * 3 // 8]
    pixel = (torch.arange(size) + 0.5) * 224 / size
    weight = amount / amount.sum((1, 2), keepdim=True)
    x = (weight.sum(1) * pixel[size // 8 : size * 3 // 8]).sum(1)
    y = (weight.sum(2) * pixel[size // 2 : -size // 8]).sum(1)
    np.testing.assert_allclose(torch.stack([x, y], 1), position, atol=0.08)


def test_colors_are_parameters():
    position = torch.tensor([[60.0, 150.0]])
    picture = two_room.draw(position, 224, agent=(1, 2, 3), wall=(4, 5, 6), floor=(7, 8, 9))[0]
    assert picture[150, 60].tolist() == [1, 2, 3]
    assert picture[150, 112].tolist() == [4, 5, 6]
    assert picture[150, 30].tolist() == [7, 8, 9]


@pytest.mark.filterwarnings("ignore:.*A Box observation space m.*:UserWarning", "ignore:.*render modes.*:UserWarning")
def test_gymnasium_accepts_it_and_would_refuse_a_wrong_one():
    environment = TwoRoomEnvironment(32)
    check_env(environment)
    # It was stepped, and its observations are states of its own space.
    state = environment.get_state()
    assert environment.observation_space.contains(state) and environment.action_space.shape == (environment.action_dim,)

    class Wrong(TwoRoomEnvironment):
        def reset(self, *, seed=None, options=None):
            return super().reset(options=options)  # the seed is accepted and ignored

    with pytest.raises(AssertionError, match="seed"):
        check_env(Wrong(32))


def test_states_and_options():
    environment = make_environment("two_room", 64)
    state, quantities = environment.reset(seed=0, options={"state": [50.0, 60.0]})
    assert state.tolist() == [50.0, 60.0] == quantities["agent_position"].tolist()
    assert environment.step([0.2, -1.0])[0].tolist() == [51.0, 55.0]
    environment.set_state([112.0, 30.0])  # inside the wall: the nearest face is 12 px away on each side
    assert is_free(environment.get_state())
    first, second = (environment.reset(seed=5)[0] for _ in range(2))
    assert first.tolist() == second.tolist()
    assert first.tolist() != environment.reset(seed=6)[0].tolist()
    assert environment.success([50.0, 50.0], [50.0, 65.9]) and not environment.success([50.0, 50.0], [50.0, 66.0])


def test_violations():
    environment = make_environment("two_room", 64)
    environment.reset(seed=0)
    state, picture = environment.get_state(), environment.render()
    environment.recolor()
    recolored = environment.render()
    changed = np.argwhere((recolored != picture).any(-1))
    assert environment.get_state().tolist() == state.tolist()
    assert 5 < len(changed) < 40
    assert np.abs((changed[:, ::-1] + 0.5) * 3.5 - state).max() < 7 + 3.5
    rng = np.random.default_rng(0)
    for _ in range(20):
        old = environment.get_state()
        environment.teleport(rng)
        assert is_free(environment.get_state())
        assert np.linalg.norm(environment.get_state() - old) >= 50
    environment.set_state(state)
    assert (environment.render() == recolored).all()
    environment.reset(options={"state": state})
    assert (environment.render() == picture).all()


def test_scripted_policy_reaches_the_other_room():
    lengths, crossed = [], 0
    for seed in range(25):
        environment = make_environment("two_room", 32)
        start, _ = environment.reset(seed=seed)
        policy, actions = environment.policy("scripted", np.random.default_rng(seed)), []
        while len(actions) < 100 and (action := policy()) is not None:
            assert action.dtype == np.float32 and environment.action_space.contains(action)
            actions.append(action)
            environment.step(action)
        lengths.append(len(actions) + 1)
        crossed += (start[0] > 112) != (environment.get_state()[0] > 112)
    # The published recordings have 92.1 rows on average, 101 at most; random actions cross in a few percent of episodes.
    assert 87 < np.mean(lengths) < 97
    assert max(lengths) == 101
    assert crossed > 12


def test_scripted_action_aims_at_the_door_then_at_the_target():
    position = torch.tensor([[60.0, 49.0], [112.0, 49.0], [160.0, 100.0]], dtype=torch.float64)
    target = torch.tensor([[160.0, 97.0], [152.0, 79.0], [160.0, 150.0]], dtype=torch.float64)
    calm = two_room.scripted_action(position, target, torch.zeros(3, 2))
    np.testing.assert_allclose(calm, [[1, 0], [0.8, 0.6], [0, 1]], atol=1e-6)
    noisy = two_room.scripted_action(position, target, torch.tensor([[0.25, -0.25]]).expand(3, 2))
    np.testing.assert_allclose(noisy, [[1, -0.5], [1, 0.1], [0.5, 0.5]], atol=1e-6)


def test_random_policy_is_uniform_over_the_action_space():
    environment = make_environment("two_room", 32)
    policy = environment.policy("random", np.random.default_rng(0))
    actions = np.stack([policy() for _ in range(4000)])
    np.testing.assert_allclose(actions.mean(0), 0, atol=0.04)
    np.testing.assert_allclose(actions.var(0), 1 / 3, atol=0.02)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda env: env.step([0.0, float("nan")]), "action[1] is nan, expected a finite number"),
        (lambda env: env.step([0.0]), "action has shape (1,), expected (2)"),
        (lambda env: env.reset(options={"goal": [1, 2]}), "reset got the option 'goal', expected only 'state'"),
        (lambda env: env.set_state([1.0, 2.0, 3.0]), "state has shape (3,), expected (2)"),
        (lambda env: env.policy("expert", np.random.default_rng(0)), "policy is 'expert', expected one of 'scripted'"),
        (lambda env: make_environment("maze", 64), "environment is 'maze', expected one of 'two_room'"),
        (lambda env: make_environment("two_room", 0), "image_size is 0, expected at least 1"),
    ],
)  # fmt: skip
def test_wrong_input_is_one_sentence(call, words):
    with pytest.raises(InputError) as error:
        call(make_environment("two_room", 32))
    assert words in str(error.value)


def test_a_missing_simulator_is_one_sentence(monkeypatch):
    def fail(name):
        raise ModuleNotFoundError("No module named 'ogbench'", name="ogbench")

    monkeypatch.setattr(environments, "import_module", fail)
    with pytest.raises(InputError, match=r"'cube' needs the package 'ogbench'.*pip install 'spectral-jepa\[pixels\]'"):
        make_environment("cube", 64)


def test_a_state_without_velocities_is_at_rest():
    environment = make_environment("two_room", 32)
    state, _ = environment.reset(seed=0)
    still = environment.at_rest(state)
    assert still.tobytes() == state.tobytes() and still is not state
    still += 1
    assert environment.get_state().tobytes() == state.tobytes()
