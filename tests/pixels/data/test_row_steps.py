"""Rows several raw steps apart: the same episodes with fewer pictures, and whoever counts raw steps counts the same ones."""

from dataclasses import replace
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
import torch
from torch import nn

from spectral_jepa._streams import episode_generator
from spectral_jepa._validation import InputError
from spectral_jepa.pixels.config import DataConfig, SurpriseConfig
from spectral_jepa.pixels.data import ActionScaler, EpisodeDataset, WindowSampler, open_dataset, window_starts
from spectral_jepa.pixels.data.collect import collect, collect_episodes
from spectral_jepa.pixels.data.episodes import episode_rows, raw_actions
from spectral_jepa.pixels.data.hdf5 import write_episodes
from spectral_jepa.pixels.data.origin import check_actions, check_replay
from spectral_jepa.pixels.diagnostics.decoder import Decoder, rollout_frames
from spectral_jepa.pixels.diagnostics.latents import embed_episodes
from spectral_jepa.pixels.diagnostics.surprise import surprise
from spectral_jepa.pixels.environments import make_environment
from spectral_jepa.pixels.evaluation.manifest import make_manifest

WORLDS = {"two_room": None, "push_t": "gym_pusht", "reacher": "dm_control", "cube": "ogbench"}
SIZE, R = 16, 5
CONFIG = DataConfig(n_episodes=6, max_steps=63, image_size=SIZE, seed=8)  # 12 rows and 3 raw steps


def world_or_skip(name):
    if WORLDS[name]:
        pytest.importorskip(WORLDS[name])
    try:
        world = make_environment(name, SIZE)
        world.reset(seed=0)
        world.render()
    except InputError as error:
        pytest.skip(str(error))
    return world


def datasets(config=CONFIG):
    return [
        EpisodeDataset.from_episodes(collect_episodes(replace(config, row_steps=r), range(config.n_episodes)), row_steps=r)
        for r in (1, R)
    ]


@pytest.fixture(scope="module")
def both():
    return datasets()


def plain_recording(world, policy, max_steps, rng):
    """Every moment looked at, as before there were row_steps."""
    world.reset(seed=int(rng.integers(2**31)))
    script, moments, actions = world.policy(policy, rng), [], []
    moments.append({"pixels": world.render(), "state": world.get_state(), **world.quantities()})
    while len(actions) < max_steps and (action := script()) is not None:
        world.step(action)
        actions.append(action)
        moments.append({"pixels": world.render(), "state": world.get_state(), **world.quantities()})
    actions.append(np.full(world.action_dim, np.nan))
    columns = {name: np.stack([moment[name] for moment in moments]) for name in moments[0]}
    return {"action": np.asarray(actions, dtype=np.float32), **columns}


@pytest.mark.parametrize("name", WORLDS)
def test_fewer_rows_of_the_same_episode(name):
    world = world_or_skip(name)
    config = DataConfig(environment=name, max_steps=13, image_size=SIZE, seed=3)
    plain = plain_recording(world, "scripted", 13, episode_generator(3, 1))
    for r in (1, R):
        (found,) = collect_episodes(replace(config, row_steps=r), [1])
        assert sorted(found) == sorted(plain)
        for column in set(plain) - {"action"}:
            assert found[column].dtype == plain[column].dtype
            assert found[column].tobytes() == np.ascontiguousarray(plain[column][::r]).tobytes(), column
        n_rows = 13 // r + 1
        assert found["action"].shape == (n_rows, r * world.action_dim) and found["action"].dtype == np.float32
        assert np.isnan(found["action"][-1]).all()
        for row in range(n_rows - 1):  # in time order, one after the other
            assert found["action"][row].tolist() == plain["action"][row * r : (row + 1) * r].ravel().tolist()


def test_an_episode_ends_with_its_last_complete_row(both):
    every, fifth = both
    assert fifth.row_steps == R and fifth.action_dim == every.action_dim == 2
    assert fifth.ep_len.tolist() == [(n - 1) // R + 1 for n in every.ep_len.tolist()]
    assert len(set(every.ep_len.tolist())) > 1  # some end early, at no multiple


def test_clips_are_those_that_start_at_block_boundaries(both):
    every, fifth = both
    ids, options = [0, 2, 3, 5], {"n_frames": 3, "action_block": 10, "batch_size": 2}
    # Statistics are of the raw actions, up to the last complete row.
    scaler = ActionScaler.from_dataset(fifth, ids)
    kept = np.concatenate([every.columns["action"][every.rows(n)[: R * (fifth.ep_len[n] - 1)]] for n in ids])
    np.testing.assert_allclose(scaler.mean, kept.mean(0, dtype=np.float64), rtol=1e-12)
    np.testing.assert_allclose(scaler.std, kept.std(0, dtype=np.float64, ddof=1), rtol=1e-12)
    fine, coarse = (WindowSampler(data, ids, scaler=scaler, **options) for data in both)
    starts = window_starts(every, ids, 30)
    within = np.concatenate([np.arange(n) for n in np.maximum(0, every.ep_len[ids] - 29)])
    aligned = starts[within % R == 0]
    found = window_starts(fifth, ids, 30)
    assert len(found) == len(aligned) == coarse.n_windows > 4
    fine_frames, fine_blocks = fine.gather(aligned)
    frames, blocks = coarse.gather(found)
    assert torch.equal(frames, fine_frames) and torch.equal(blocks, fine_blocks) and blocks.shape[-1] == 20
    assert not torch.equal(fine.gather(aligned + 1)[0], fine_frames)  # frames tell one start from another
    resident = WindowSampler(fifth, ids, scaler=scaler, resident=True, **options)
    assert torch.equal(resident.gather(found)[0], frames)


def test_files_say_how_far_apart_their_rows_are(tmp_path, both):
    path = collect(replace(CONFIG, row_steps=R), tmp_path / "fifth.h5", n_jobs=1, progress=False)
    data = open_dataset(path, image_size=SIZE, action_dim=2, progress=False)
    assert data.row_steps == R
    assert np.array_equal(data.columns["action"], both[1].columns["action"], equal_nan=True)
    with pytest.raises(InputError, match=r"row_steps.*expected the same"):
        collect(replace(CONFIG, row_steps=3), path, n_jobs=1, progress=False)
    with pytest.raises(InputError, match=r"2-dimensional actions, expected 10"):
        open_dataset(path, action_dim=10, progress=False)
    for said, sentence in (("7", "rows are 7 raw steps apart"), ("x", "'x' raw steps"), ("0", "row_steps of")):
        with h5py.File(path, "a") as file:
            file.attrs["row_steps"] = said
        with pytest.raises(InputError, match=sentence):
            open_dataset(path, progress=False)


def test_a_row_a_raw_step_leaves_the_file_as_it_was(tmp_path, both):
    path = collect(CONFIG, tmp_path / "data.h5", n_jobs=1, progress=False)
    with h5py.File(path) as file:
        assert sorted(file.attrs) == ["config", "environment"] and "row_steps" not in file.attrs["config"]
    assert open_dataset(path, progress=False).row_steps == 1
    # A public file says nothing.
    public = write_episodes(
        tmp_path / "public.h5", [{"pixels": np.zeros((3, 4, 4, 3), np.uint8), "action": np.zeros((3, 10))}]
    )
    assert open_dataset(public, action_dim=10, progress=False).row_steps == 1


def test_pairs_are_a_goal_offset_apart_in_raw_steps(both):
    every, fifth = both
    world, ids = make_environment("two_room", SIZE), range(CONFIG.n_episodes)
    found = make_manifest(fifth, ids, world, n_pairs=5, goal_offset=25)
    assert found.n_candidates == np.maximum(fifth.ep_len - 5, 0).sum()
    for episode, start, goal in found.pairs:
        assert goal - start == 5
        raw = every.ep_offset[episode] + R * (np.array([start, goal]) - fifth.ep_offset[episode])
        assert np.array_equal(every.columns["state"][raw], fifth.columns["state"][[start, goal]])
    with pytest.raises(InputError, match="goal_offset is 24 but the data have a row every 5 raw steps"):
        make_manifest(fifth, ids, world, n_pairs=5, goal_offset=24)


class Sum(nn.Module):
    """Latent: mean colour; the prediction adds the block's numbers, each with a weight of its own."""

    config = SimpleNamespace(history=1, action_block=R)

    def encode(self, frames):
        return frames.float().mean((1, 2)) / 255

    def rollout(self, latents, blocks, past_blocks=None):
        return latents[:, -1:] + (blocks @ torch.linspace(0.1, 1, 2 * R)).cumsum(1)[..., None]


def test_rollouts_and_paths_are_those_of_all_rows(both):
    every, fifth = both
    scaler, decoder = ActionScaler((0.1, 0.0), (1.0, 2.0)), Decoder(3, SIZE, width=4)
    starts = [fifth.ep_offset[n] + 1 for n in (0, 3)]
    aligned = [every.ep_offset[n] + R for n in (0, 3)]
    films = [rollout_frames(Sum(), decoder, *given, scaler, n_blocks=2) for given in ((every, aligned), (fifth, starts))]
    for name in films[0]:
        assert np.array_equal(films[0][name], films[1][name]), name
    paths, fewer = (embed_episodes(Sum(), data, [1, 4], every=10) for data in both)
    for (rows, latents), (own_rows, own) in zip(paths, fewer, strict=True):
        assert len(rows) - len(own_rows) in (0, 1)  # one that lies behind the last complete row
        assert np.array_equal(latents[: len(own)], own)
    with pytest.raises(InputError, match="every is 4 but the data have a row every 5"):
        episode_rows(fifth, [0], every=4)
    with pytest.raises(InputError, match="action_block is 4 but"):
        WindowSampler(fifth, [0], n_frames=2, action_block=4, batch_size=1)


class Still(nn.Module):
    config = SimpleNamespace(history=1, action_block=R)

    def encode(self, frames):
        return frames.float().mean((1, 2)) / 255

    def predict(self, latents, blocks):
        return latents


def test_surprise_and_origin_replay_all_raw_actions_between_rows(both):
    _, fifth = both
    world, scaler = make_environment("two_room", SIZE), ActionScaler((0.0, 0.0), (1.0, 1.0))
    settings = SurpriseConfig(before=2, after=2)
    table = surprise(Still(), fifth, range(6), world, scaler, settings)
    assert (table["replay_error"] == 0).all() and sorted(set(table["step"])) == [-1, 0, 1]
    check_replay(fifth, world)
    # The first of each five actions alone lead elsewhere.
    first = np.array(fifth.columns["action"])
    first[:, 2:] *= 0
    wrong = replace(fifth, columns={**fifth.columns, "action": first})
    assert (surprise(Still(), wrong, range(6), world, scaler, settings)["replay_error"] > 1).all()
    with pytest.raises(InputError, match="does not say which environment"):
        check_replay(wrong, world)


def test_an_action_beyond_the_bounds_is_named_by_its_place_in_the_file(both):
    actions = np.array(both[1].columns["action"])
    actions[:-1] = 3.0
    actions[0, :3] = 0.5
    wrong = replace(both[1], columns={**both[1].columns, "action": actions})
    with pytest.warns(UserWarning, match=r"action\[0, 3\] is 3, expected -1 to 1"):
        check_actions(wrong, "two_room", planning=False)
    assert raw_actions(wrong, 0).shape == (R, 2)


def test_rows_further_apart_than_an_episode_is_long_are_refused():
    with pytest.raises(InputError, match="row_steps is 6 and max_steps 5"):
        DataConfig(max_steps=5, row_steps=6)
    with pytest.raises(InputError, match="row_steps is 0"):
        DataConfig(row_steps=0)
