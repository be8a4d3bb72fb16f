"""Evaluation on a world small enough to know every answer: a point on a plane, drawn as one pixel's two colours."""

import json
import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from spectral_jepa._validation import InputError
from spectral_jepa.pixels.config import EvaluationConfig, ModelConfig, PlanningConfig
from spectral_jepa.pixels.data import ActionScaler, EpisodeDataset
from spectral_jepa.pixels.environments import make_environment
from spectral_jepa.pixels.environments.base import PixelEnvironment
from spectral_jepa.pixels.evaluation.evaluate import evaluate, evaluation_digest, film_pair
from spectral_jepa.pixels.evaluation.manifest import Manifest, make_manifest
from spectral_jepa.pixels.model.cloning import GoalConditionedPolicy
from spectral_jepa.pixels.model.world_model import WorldModel
from spectral_jepa.pixels.planning.policies import CloningPolicy, NothingPolicy, PlannerPolicy, RandomPolicy
from spectral_jepa.pixels.planning.simulator import SimulatorPolicy
from spectral_jepa.pixels.presets import preset
from spectral_jepa.plotting.pixels.success import draw
from spectral_jepa.success_rates import comparison_table, paired_comparison, success_table, wilson_interval

SIZE, RADIUS = 4, 5.0


class Plane(PixelEnvironment):
    """The state is a place on [0, 255]^2; an action moves it by up to 3 in each coordinate."""

    name, state_dim, action_dim, action_low, action_high = "plane", 2, 2, -3.0, 3.0

    def __init__(self, image_size=SIZE):
        super().__init__(image_size)
        self.place = np.zeros(2)

    def _start(self, rng):
        self.place = rng.uniform(50, 200, 2)

    def _advance(self, action):
        self.place = np.clip(self.place + action, 0, 255)

    def _scripted_policy(self, rng):
        raise NotImplementedError

    def render(self):
        picture = np.zeros((SIZE, SIZE, 3), np.uint8)
        picture[..., :2] = self.place.round()
        return picture

    def get_state(self):
        return self.place.copy()

    def set_state(self, state):
        self.place = np.array(state, dtype=np.float64)

    def quantities(self):
        return {"place": self.place}

    def goal_distance(self, state, goal):
        return float(np.linalg.norm(np.asarray(state) - np.asarray(goal))) / RADIUS

    def recolor(self):
        raise NotImplementedError

    def teleport(self, rng):
        raise NotImplementedError


class ExactModel(torch.nn.Module):
    """Reads the place off the picture and adds the actions up."""

    def __init__(self, scaler):
        super().__init__()
        self.config = ModelConfig(image_size=28, action_dim=2, action_block=5, history=3)
        self.scaler, self.encoded = scaler, 0
        self.bias = torch.nn.Parameter(torch.zeros(()))

    def encode(self, frames):
        self.encoded += len(frames)
        return frames[:, 0, 0, :2].float()

    def rollout(self, latents, blocks, past_blocks=None):
        moves = self.scaler.denormalize(blocks.unflatten(-1, (5, 2))).clamp(-3, 3).sum(2)
        return latents[:, -1:] + moves.cumsum(1)


def make_episodes(n_episodes=8, n_rows=60, seed=0):
    """Straight walks; in the second half of each the point stands still, so that pairs there are solved at the start."""
    rng = np.random.default_rng(seed)
    environment, episodes = Plane(), []
    for _ in range(n_episodes):
        environment.set_state(rng.uniform(80, 170, 2).round())
        angle = rng.uniform(0, 2 * np.pi)
        episode = {"pixels": [], "action": [], "state": []}
        for row in range(n_rows):
            action = 2 * np.array([np.cos(angle), np.sin(angle)]) * (row < n_rows // 2)
            episode["pixels"].append(environment.render())
            episode["state"].append(environment.get_state())
            episode["action"].append(action if row < n_rows - 1 else np.full(2, np.nan))
            environment.step(action)
        episodes.append({name: np.array(values) for name, values in episode.items()})
    return EpisodeDataset.from_episodes(episodes)


DATA = make_episodes()
SCALER = ActionScaler((0.0, 0.0), (1.5, 1.5))
PLANNING = PlanningConfig(n_samples=100, n_elites=10, n_iterations=8)
EVALUATION = EvaluationConfig(budget=50, seed=42)


def manifest(n_pairs=12, episodes=(4, 5, 6, 7), goal_offset=25, seed=42):
    return make_manifest(DATA, list(episodes), Plane(), n_pairs=n_pairs, goal_offset=goal_offset, seed=seed)


def planner(name="model", **settings):
    return PlannerPolicy(ExactModel(SCALER), SCALER, replace(PLANNING, **settings), name=name)


def without_clock(rows):
    return rows.drop(columns="policy_seconds")


def test_pairs_are_held_out_exactly_so_far_apart_and_not_solved():
    found = manifest(n_pairs=60)
    table = found.table
    assert set(table[:, 0]) == {4, 5, 6, 7} and len(np.unique(table, axis=0)) == 60
    assert (table[:, 2] - table[:, 1] == 25).all()
    assert (table[:, 1] >= DATA.ep_offset[table[:, 0]]).all()
    assert (table[:, 2] < DATA.ep_offset[table[:, 0]] + DATA.ep_len[table[:, 0]]).all()
    # Steps have length 2 until row 30: the goal of start row s is 2 * max(30 - s, 0) away, capped at 50.
    start = table[:, 1] - DATA.ep_offset[table[:, 0]]
    assert (2 * np.maximum(30 - start, 0) >= RADIUS).all()
    assert found.n_candidates == 4 * 35
    # 28 starts an episode (0 to 27, 6 away) are not solved; all of them can be drawn.
    everything = manifest(n_pairs=4 * 28)
    assert 0 < everything.n_solved <= 4 * 7
    with pytest.raises(InputError, match="4 episodes hold only 112 pairs 25 steps apart"):
        manifest(n_pairs=113)


def test_the_number_of_solved_pairs_is_the_share_drawn():
    found = manifest(n_pairs=100)
    order = np.random.default_rng(42).permutation(140)
    unsolved = np.flatnonzero(order % 35 <= 27)
    assert found.n_solved == unsolved[99] + 1 - 100
    assert found.solved_share == pytest.approx(found.n_solved / (unsolved[99] + 1))


def test_a_manifest_is_frozen(tmp_path):
    one = manifest()
    assert manifest() == one and manifest(seed=43).pairs != one.pairs
    one.save(tmp_path / "pairs.json")
    assert Manifest.load(tmp_path / "pairs.json") == one
    content = json.loads((tmp_path / "pairs.json").read_text())
    content["manifest"]["pairs"][0][1] += 1
    (tmp_path / "edited.json").write_text(json.dumps(content))
    (tmp_path / "cut.json").write_bytes((tmp_path / "pairs.json").read_bytes()[:-40])
    for name in ("edited", "cut"):
        with pytest.raises(InputError, match="does not match its SHA-256"):
            Manifest.load(tmp_path / f"{name}.json")
    with pytest.raises(InputError, match="does not exist"):
        Manifest.load(tmp_path / "none.json")
    one.check(DATA)
    with pytest.raises(InputError, match="another dataset"):
        one.check(make_episodes(seed=1))
    with pytest.raises(InputError, match="another dataset"):
        one.check(make_episodes(n_episodes=2))


def test_bad_data_are_one_sentence():
    columns = {name: values for name, values in DATA.columns.items() if name != "state"}
    bare = EpisodeDataset(DATA.pixels, columns, DATA.ep_len, DATA.ep_offset)
    with pytest.raises(InputError, match="no column 'state'"):
        make_manifest(bare, [0], Plane(), n_pairs=1)
    large = EpisodeDataset(np.zeros((len(DATA.pixels), 8, 8, 3), np.uint8), DATA.columns, DATA.ep_len, DATA.ep_offset)
    with pytest.raises(InputError, match=r"draws pictures \(4, 4, 3\) but the dataset holds \(8, 8, 3\)"):
        evaluate(planner(), manifest(), large, Plane(), progress=False)
    with pytest.raises(InputError, match="2 means and 2 deviations, expected 3"):
        model = ExactModel(SCALER)
        model.config = replace(model.config, action_dim=3)
        PlannerPolicy(model, SCALER, PLANNING)


class Straight:
    """Walks towards the goal at a known speed, so that the number of steps is a formula."""

    name, history, action_block, chunk_size, device = "straight", 1, 5, 50, torch.device("cpu")

    def __init__(self, speed=2.0, n_actions=5, stop_after=math.inf):
        self.speed, self.n_actions, self.asked, self.stop_after = speed, n_actions, [], stop_after

    def describe(self):
        return {"policy": "straight", "speed": self.speed}

    def prepare(self, frames, states):
        assert np.array_equal(frames[:, 0, 0, :2], states.round())
        return states

    def act(self, now, goals, generators):
        if len(self.asked) >= self.stop_after:
            raise KeyboardInterrupt
        self.asked.append(len(goals))
        way = goals - now.states
        length = np.linalg.norm(way, axis=1, keepdims=True)
        return np.repeat((self.speed * way / length)[:, None], self.n_actions, 1)


def test_steps_and_distances_are_those_of_the_walk():
    pairs = manifest(n_pairs=30)
    rows = evaluate(Straight(), pairs, DATA, Plane(), EVALUATION, progress=False)
    distance = RADIUS * rows.start_distance.to_numpy()
    states = DATA.columns["state"]
    assert distance == pytest.approx(np.linalg.norm(states[rows.goal_row] - states[rows.start_row], axis=1))
    # Solved as soon as distance - 2 n < 5, and distances are even.
    expected = np.round((distance - 4) / 2)
    assert rows.success.all() and rows.steps.to_numpy() == pytest.approx(expected) and expected.max() > 20
    assert RADIUS * rows.final_distance.to_numpy() == pytest.approx(distance - 2 * expected, abs=1e-6)
    assert rows.pair.tolist() == list(range(30)) and rows.goal_offset.unique().tolist() == [25]


def test_the_budget_ends_an_episode():
    pairs = manifest(n_pairs=30)
    rows = evaluate(Straight(), pairs, DATA, Plane(), replace(EVALUATION, budget=13), progress=False)
    # 13 steps of 2 solve exactly what is less than 31 away, although actions come five at a time.
    start, final = RADIUS * rows.start_distance, RADIUS * rows.final_distance
    assert (rows.success == (start < 31)).all() and 0 < rows.success.sum() < 30
    assert (rows.steps[~rows.success] == 13).all()
    assert final[~rows.success].to_numpy() == pytest.approx(start[~rows.success] - 26)


def test_a_solved_episode_is_not_planned_for_again():
    policy = Straight()
    rows = evaluate(policy, manifest(n_pairs=30), DATA, Plane(), EVALUATION, progress=False, chunk_size=30)
    assert policy.asked == [int((rows.steps > 5 * k).sum()) for k in range(len(policy.asked))]
    assert policy.asked[0] == 30 > policy.asked[-1]


def test_the_planner_beats_the_random_floor_and_encodes_each_picture_once():
    pairs, policy = manifest(n_pairs=30), planner()
    model = policy.model
    solved = evaluate(policy, pairs, DATA, Plane(), EVALUATION, progress=False)
    floor = evaluate(RandomPolicy(Plane()), pairs, DATA, Plane(), EVALUATION, progress=False)
    assert solved.success.all()
    assert model.encoded == 30 + 30 + int((solved.steps > 25).sum())
    assert floor.success.mean() < 0.5
    table = comparison_table(pd.concat([solved, floor]), "random")
    only = 30 - int(floor.success.sum())
    assert table[["policy", "only_first", "only_second"]].iloc[0].tolist() == ["model", only, 0]
    assert table.p_value[0] == pytest.approx(2 * 0.5**only)


def test_doing_nothing_stays_where_it_began():
    pairs = manifest(n_pairs=5)
    rows = evaluate(NothingPolicy(Plane(), 7), pairs, DATA, Plane(), EVALUATION, progress=False)
    assert not rows.success.any() and (rows.steps == 50).all() and set(rows.policy) == {"nothing"}
    # No pair is solved at the start, and nothing moves here by itself.
    assert rows.final_distance.to_numpy() == pytest.approx(rows.start_distance.to_numpy())
    assert (rows.configuration == evaluation_digest(NothingPolicy(Plane(), 7), pairs, Plane(), EVALUATION)).all()
    others = [evaluation_digest(NothingPolicy(Plane(), 8), pairs, Plane(), EVALUATION)]
    others.append(evaluation_digest(NothingPolicy(Plane(), 7), pairs, Plane(), replace(EVALUATION, seed=1)))
    assert not set(others) & set(rows.configuration)


def test_rows_do_not_depend_on_chunks_and_follow_the_seed():
    pairs = manifest(n_pairs=9)
    run = {
        size: evaluate(RandomPolicy(Plane()), pairs, DATA, Plane(), EVALUATION, chunk_size=size, progress=False)
        for size in (1, 4, 9)
    }
    for size in (4, 9):
        pd.testing.assert_frame_equal(without_clock(run[size]), without_clock(run[1]))
    planned = [evaluate(planner(), pairs, DATA, Plane(), EVALUATION, chunk_size=s, progress=False) for s in (2, 9)]
    pd.testing.assert_frame_equal(without_clock(planned[0]), without_clock(planned[1]))
    other = evaluate(RandomPolicy(Plane()), pairs, DATA, Plane(), EVALUATION, seed=43, progress=False)
    assert (other.final_distance != run[1].final_distance).all()
    assert (other.configuration != run[1].configuration).all()


def test_a_stopped_run_goes_on_where_it_was(tmp_path):
    pairs = manifest(n_pairs=10)
    whole = evaluate(Straight(), pairs, DATA, Plane(), EVALUATION, progress=False)
    options = {"folder": tmp_path, "chunk_size": 4, "progress": False}
    full = Straight()
    evaluate(full, pairs, DATA, Plane(), EVALUATION, chunk_size=4, progress=False)
    with pytest.raises(KeyboardInterrupt):
        evaluate(Straight(stop_after=len(full.asked) - 1), pairs, DATA, Plane(), EVALUATION, **options)
    assert sorted(path.name[-16:] for path in tmp_path.iterdir()) == ["00000-00003.json", "00004-00007.json"]
    again = Straight()
    resumed = evaluate(again, pairs, DATA, Plane(), EVALUATION, **options)
    pd.testing.assert_frame_equal(without_clock(resumed), without_clock(whole))
    assert again.asked[0] == 2
    third = Straight()
    evaluate(third, pairs, DATA, Plane(), EVALUATION, **options)
    assert third.asked == []
    # Another policy or another seed does not read those rows; a damaged file is named and played again.
    faster = Straight(speed=2.5)
    assert evaluate(faster, pairs, DATA, Plane(), EVALUATION, **options).steps.mean() < whole.steps.mean()
    for path in tmp_path.glob("*-00004-00007.json"):
        path.write_bytes(path.read_bytes().replace(b"true", b"null", 1))
    with pytest.warns(UserWarning, match=r"00004-00007.json is damaged"):
        mended = evaluate(Straight(), pairs, DATA, Plane(), EVALUATION, **options)
    pd.testing.assert_frame_equal(without_clock(mended), without_clock(whole))


class Sledge(Plane):
    """A plane on which what moves goes on by itself: the state is a place and a velocity."""

    name, state_dim = "sledge", 4

    def __init__(self, image_size=SIZE):
        super().__init__(image_size)
        self.velocity = np.zeros(2)

    def _advance(self, action):
        self.velocity += action
        self.place = np.clip(self.place + self.velocity, 0, 255)

    def get_state(self):
        return np.concatenate([self.place, self.velocity])

    def set_state(self, state):
        self.place, self.velocity = (np.array(part, dtype=np.float64) for part in (state[:2], state[2:]))

    def at_rest(self, state):
        return np.concatenate([state[:2], np.zeros(2)])

    def goal_distance(self, state, goal):
        return super().goal_distance(np.asarray(state)[:2], np.asarray(goal)[:2])


def test_starts_at_rest_keep_their_place_and_lose_their_velocity():
    states = np.stack([np.concatenate([[60.0 + 2 * row, 90.0], [2.0, 0.0]]) for row in range(40)])
    pixels = np.zeros((40, SIZE, SIZE, 3), np.uint8)
    pixels[..., :2] = states[:, None, None, :2]
    action = np.zeros((40, 2))
    action[-1] = np.nan
    data = EpisodeDataset.from_episodes([{"pixels": pixels, "action": action, "state": states}])
    pairs = make_manifest(data, [0], Sledge(), n_pairs=5, goal_offset=10)
    rest = replace(EVALUATION, budget=10, start="rest")
    wanted = {"recorded": replace(EVALUATION, budget=10), "rest": rest}
    rows = {name: evaluate(NothingPolicy(Sledge()), pairs, data, Sledge(), w, progress=False) for name, w in wanted.items()}
    # What goes on by itself arrives, 20 away in 10 steps; from a start at rest it stays there.
    assert rows["recorded"].success.all() and not rows["rest"].success.any()
    assert RADIUS * rows["rest"].start_distance.to_numpy() == pytest.approx(20)
    assert RADIUS * rows["rest"].final_distance.to_numpy() == pytest.approx(20)
    digests = {name: evaluation_digest(NothingPolicy(Sledge()), pairs, Sledge(), w) for name, w in wanted.items()}
    assert digests["recorded"] != digests["rest"]
    assert all((rows[name].configuration == digests[name]).all() for name in wanted)
    film, success, _ = film_pair(NothingPolicy(Sledge()), pairs, 0, data, Sledge(), rest)
    assert not success and (film[:-1] == film[0]).all()
    moving, success, _ = film_pair(NothingPolicy(Sledge()), pairs, 0, data, Sledge(), wanted["recorded"])
    assert success and (moving[0] == film[0]).all() and (moving[1] != film[1]).any()


def test_kept_rows_of_recorded_starts_are_not_those_at_rest(tmp_path):
    pairs, options = manifest(n_pairs=3), {"folder": tmp_path, "progress": False}
    for start in ("recorded", "rest", "recorded"):
        evaluate(NothingPolicy(Plane()), pairs, DATA, Plane(), replace(EVALUATION, start=start), **options)
    assert len(list(tmp_path.iterdir())) == 2


class Watching(Straight):
    """Keeps what it sees of the first episode."""

    history, action_block = 3, 2

    def __init__(self):
        super().__init__(speed=1.0, n_actions=6)
        self.seen = []

    def act(self, now, goals, generators):
        self.seen.append((now.frames[0, :, 0, 0, :2].astype(float), now.past_actions[0], now.states[0].copy()))
        # No two actions are alike, or any of them would pass for the last ones.
        return super().act(now, goals, generators) * np.linspace(0.2, 1.4, 6)[:, None] * 0.9 ** len(self.seen)


def test_history_is_the_last_frames_and_the_actions_between():
    policy = Watching()
    far = next(i for i, pair in enumerate(manifest().pairs) if pair[1] - DATA.ep_offset[pair[0]] < 3)
    one = replace(manifest(), pairs=(manifest().pairs[far],))
    one = replace(one, data=make_data_digest(one))
    evaluate(policy, one, DATA, Plane(), replace(EVALUATION, budget=18), progress=False)
    assert [len(frames) for frames, _, _ in policy.seen] == [1, 3, 3]
    for frames, actions, state in policy.seen:
        assert np.abs(frames[-1] - state).max() <= 0.5
        assert actions.shape == ((len(frames) - 1) * 2, 2)
        for k in range(1, len(frames)):
            back = state - actions[2 * (k - 1) :].sum(0)
            assert np.abs(frames[k - 1] - back).max() <= 0.5 + 1e-9
    assert np.abs(policy.seen[1][0][0] - policy.seen[1][0][2]).max() > 1


def make_data_digest(one):
    from spectral_jepa.pixels.evaluation.manifest import _data_digest

    return _data_digest(DATA, one.table)


def test_planning_with_real_history_reaches_the_goals_too():
    rows = evaluate(planner(history=3), manifest(n_pairs=8), DATA, Plane(), EVALUATION, progress=False)
    assert rows.success.all()
    assert rows.configuration[0] != evaluate(planner(), manifest(n_pairs=8), DATA, Plane(), progress=False).configuration[0]
    with pytest.raises(InputError, match="history is 4, expected between 1 and 3"):
        planner(history=4)


def test_memory_and_history_do_not_depend_on_chunks(monkeypatch):
    from spectral_jepa.pixels.planning import policies

    sizes, search = [], policies.plan

    def watched(model, config, latents, *rest, **more):
        sizes.append(latents.shape[:2])
        return search(model, config, latents, *rest, **more)

    monkeypatch.setattr(policies, "plan", watched)
    pairs, settings = manifest(n_pairs=6), dict(execute=1, history=3, cost="closest", n_samples=20, n_iterations=2)
    config = replace(EVALUATION, budget=20)

    def play(size, warm=True):
        policy = planner(warm_start=warm, **settings)
        return without_clock(evaluate(policy, pairs, DATA, Plane(), config, chunk_size=size, progress=False))

    whole = play(6)
    # All pairs of a chunk that are not solved in one search, with one frame first, then two, then three.
    unsolved = [sum(~whole["success"] | (whole["steps"] > 5 * turn)) for turn in range(4)]
    assert sizes == [(n, seen) for n, seen in zip(unsolved, (1, 2, 3, 3), strict=True) if n]
    assert len(sizes) > 2
    for size in (1, 4):
        pd.testing.assert_frame_equal(play(size), whole)
    # The control: without the rest of the last plan other actions are found.
    assert (play(6, warm=False)["final_distance"] != whole["final_distance"]).any()


def test_a_cloned_policy_is_asked_with_pictures():
    class Clone(ExactModel):
        def act(self, frames, goals):
            way = self.encode(goals) - self.encode(frames)
            return (way / way.norm(dim=1, keepdim=True) * 2 / 1.5).repeat(1, 5)

    rows = evaluate(CloningPolicy(Clone(SCALER), SCALER), manifest(), DATA, Plane(), EVALUATION, progress=False)
    assert rows.success.all() and rows.policy.unique().tolist() == ["behaviour cloning"]


def test_real_models_act_in_two_room():
    settings, environment = preset("tiny").model, make_environment("two_room", 32)
    rng, episodes = np.random.default_rng(0), []
    for seed in range(2):
        environment.reset(seed=seed)
        policy = environment.policy("random", rng)
        actions = np.array([policy() for _ in range(40)])
        pixels, states = [environment.render()], [environment.get_state()]
        for action in actions[:-1]:
            states.append(environment.step(action)[0])
            pixels.append(environment.render())
        actions[-1] = np.nan
        episodes.append({"pixels": np.array(pixels), "action": actions, "state": np.array(states)})
    data = EpisodeDataset.from_episodes(episodes)
    scaler = ActionScaler.from_dataset(data, [0])
    pairs = make_manifest(data, [1], environment, n_pairs=3, goal_offset=20)
    planning = replace(PLANNING, n_iterations=2)
    policies = [
        PlannerPolicy(WorldModel(settings), scaler, replace(planning, history=3)),
        CloningPolicy(GoalConditionedPolicy(settings), scaler),
        SimulatorPolicy(environment, scaler, replace(planning, n_iterations=5)),
    ]
    config = EvaluationConfig(budget=40)
    rows = pd.concat([evaluate(policy, pairs, data, environment, config, progress=False) for policy in policies])
    # Other processes, which make their own simulators, give the same rows.
    apart = evaluate(policies[2], pairs, data, environment, config, chunk_size=2, n_jobs=2, progress=False)
    pd.testing.assert_frame_equal(without_clock(apart), without_clock(rows[rows.policy == "simulator"]))
    table = success_table(rows).set_index("policy")
    assert table.n.tolist() == [3, 3, 3] and table.rate["simulator"] == 1
    assert (rows.success == (rows.final_distance < 1)).all()


@pytest.mark.parametrize("wins, n", [(0, 10), (7, 10), (172, 200), (200, 200)])
def test_wilson_interval_is_its_formula(wins, n):
    z, rate = 1.959963984540054, wins / n
    middle = (rate + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * math.sqrt(rate * (1 - rate) / n + z**2 / (4 * n**2))
    assert wilson_interval(wins, n) == pytest.approx((middle - half, middle + half), abs=1e-12)


def test_mcnemar_counts_the_pairs_on_which_one_succeeds():
    first = np.array([True] * 50 + [True] * 12 + [False] * 3 + [False] * 35)
    second = np.array([True] * 50 + [False] * 12 + [True] * 3 + [False] * 35)
    result = paired_comparison(first, second)
    assert (result.both, result.only_first, result.only_second, result.neither) == (50, 12, 3, 35)
    tail = sum(math.comb(15, k) for k in range(4)) / 2**15
    assert result.p_value == pytest.approx(2 * tail)
    # Normal approximation of the paired difference.
    half = 1.96 * math.sqrt((15 - (12 - 3) ** 2 / 100) / 100**2)
    assert result.difference == pytest.approx(0.09)
    assert (result.low, result.high) == pytest.approx((0.09 - half, 0.09 + half), abs=0.012)
    assert paired_comparison(first, first).p_value == 1


def test_pairs_of_one_episode_widen_the_interval():
    rng = np.random.default_rng(0)
    first, second = rng.random((2, 60)) < [[0.7], [0.4]]
    alone = paired_comparison(first, second)
    copied = paired_comparison(np.repeat(first, 4), np.repeat(second, 4), groups=np.repeat(np.arange(60), 4))
    naive = paired_comparison(np.repeat(first, 4), np.repeat(second, 4))
    # Four copies of each pair hold no more than the pair; taken as independent they look twice as precise.
    assert copied.high - copied.low == pytest.approx(alone.high - alone.low, rel=0.05)
    assert naive.high - naive.low == pytest.approx((alone.high - alone.low) / 2, rel=0.1)


def test_tables_refuse_what_cannot_be_compared():
    rows = evaluate(Straight(), manifest(n_pairs=5), DATA, Plane(), EVALUATION, progress=False)
    with pytest.raises(InputError, match="reference is 'cem'"):
        comparison_table(rows, "cem")
    other = rows.iloc[:4].assign(policy="shorter")
    with pytest.raises(InputError, match="not evaluated once each on the same pairs"):
        comparison_table(pd.concat([rows, other]), "straight")
    with pytest.raises(InputError, match="lack the columns"):
        success_table(rows, by=("model",))
    with pytest.raises(InputError, match="two boolean arrays"):
        paired_comparison([1, 0], [1, 1])


def test_the_figure_shows_the_rates_and_the_intervals():
    rng = np.random.default_rng(0)
    parts = [
        pd.DataFrame({"environment": "plane", "policy": p, "goal_offset": o, "success": rng.random(40) < rate, "steps": 9})
        for p, rate in (("a", 0.8), ("b", 0.3), ("random", 0.1), ("simulator", 0.95))
        for o in (25, 50)
    ]
    rows = pd.concat(parts)
    left, right = draw(rows)["planning"].axes
    rates = {p: 100 * rows[(rows.policy == p) & (rows.goal_offset == 25)].success.mean() for p in ("a", "b", "random")}
    assert left.containers[0].lines[0].get_ydata() == pytest.approx([rates["a"], rates["b"]])
    low, high = left.containers[0].lines[2][0].get_segments()[0][:, 1]
    assert (low, high) == pytest.approx([100 * x for x in wilson_interval(round(0.4 * rates["a"]), 40)])
    assert rates["random"] in [line.get_ydata()[0] for line in left.lines]
    assert [len(bars.lines[0].get_ydata()) for bars in right.containers] == [2, 2, 2, 2]
    with pytest.raises(InputError, match="rows is empty"):
        draw(rows.iloc[:0])
