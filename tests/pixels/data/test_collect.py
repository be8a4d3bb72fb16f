import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace

import h5py
import numpy as np
import pytest

from spectral_jepa._streams import episode_generator
from spectral_jepa._validation import InputError
from spectral_jepa.pixels.config import DataConfig
from spectral_jepa.pixels.data import collect as module
from spectral_jepa.pixels.data import open_dataset
from spectral_jepa.pixels.data.collect import collect, collect_episodes
from spectral_jepa.pixels.environments import make_environment

CONFIG = DataConfig(n_episodes=45, max_steps=30, image_size=16, seed=5)


def read(path):
    with h5py.File(path) as file:
        return {name: file[name][:] for name in file}


def assert_same(one, other):
    assert list(one) == list(other)
    for name in one:
        assert one[name].dtype == other[name].dtype
        assert np.array_equal(one[name], other[name], equal_nan=name == "action"), name


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    return read(collect(CONFIG, tmp_path_factory.mktemp("reference") / "data.h5", n_jobs=1, progress=False))


@pytest.mark.parametrize("policy", ["scripted", "random"])
def test_batched_episodes_are_those_of_the_environment(policy):
    config = replace(CONFIG, policy=policy, max_steps=100)
    environment = make_environment("two_room", config.image_size)
    numbers = [3, 0, 11, 12, 13]
    batched = list(collect_episodes(config, numbers))
    for number, fast in zip(numbers, batched, strict=True):
        slow = environment.record_episode(config.policy, config.max_steps, episode_generator(config.seed, number))
        assert_same(slow, fast)
    lengths = {len(episode["pixels"]) for episode in batched}
    assert lengths == {101} if policy == "random" else len(lengths) > 1


def test_the_file_holds_the_episodes_in_order(reference):
    assert sorted(reference) == ["action", "agent_position", "ep_len", "ep_offset", "pixels", "state"]
    assert len(reference["ep_len"]) == 45 and reference["ep_len"].max() == 31
    assert (reference["ep_offset"] == np.cumsum(reference["ep_len"]) - reference["ep_len"]).all()
    missing = np.isnan(reference["action"]).any(1)
    assert np.flatnonzero(missing).tolist() == (reference["ep_offset"] + reference["ep_len"] - 1).tolist()
    (episode,) = collect_episodes(CONFIG, [30])
    rows = slice(reference["ep_offset"][30], reference["ep_offset"][30] + reference["ep_len"][30])
    assert np.array_equal(reference["pixels"][rows], episode["pixels"])
    assert len({state.tobytes() for state in reference["state"][reference["ep_offset"]]}) == 45


def test_recorded_actions_replay_the_recorded_states(reference):
    environment = make_environment("two_room", 16)
    for number in (0, 20, 44):
        first, rows = reference["ep_offset"][number], reference["ep_len"][number]
        environment.reset(options={"state": reference["state"][first]})
        for row in range(first, first + rows - 1):
            assert np.array_equal(environment.render(), reference["pixels"][row])
            state, *_ = environment.step(reference["action"][row])
            assert np.array_equal(state, reference["state"][row + 1])


def test_two_processes_collect_the_same(tmp_path, reference):
    path = collect(CONFIG, tmp_path / "data.h5", n_jobs=2, progress=False)
    assert_same(read(path), reference)
    assert sorted(file.name for file in tmp_path.iterdir()) == [".data.h5.lock", "data.h5"]
    data = open_dataset(path, image_size=16, action_dim=2, columns=["state"], progress=False)
    assert np.array_equal(data.pixels, reference["pixels"])


def test_a_killed_collection_resumes(tmp_path, reference):
    path = tmp_path / "data.h5"
    # Each part but the first takes for ever, so that the kill falls in the middle of the second one.
    program = (
        "import time\n"
        "from spectral_jepa.pixels.data import collect as module\n"
        "from spectral_jepa.pixels.config import DataConfig\n"
        "whole = module.collect_episodes\n"
        "def slow(config, part):\n"
        "    for n, episode in enumerate(whole(config, part)):\n"
        "        if part[0] and n == 3: time.sleep(600)\n"
        "        yield episode\n"
        "module.collect_episodes = slow\n"
        f"module.collect(DataConfig(**{asdict(CONFIG)!r}), {str(path)!r}, n_jobs=1, progress=False)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", program], env={**os.environ, "OMP_NUM_THREADS": "1"})
    try:
        started = time.monotonic()
        while not list((tmp_path / "data.h5.parts").glob(".00000020*.tmp")):
            assert process.poll() is None and time.monotonic() - started < 120
            time.sleep(0.05)
        time.sleep(0.3)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not path.exists()
    assert [file.name for file in sorted((tmp_path / "data.h5.parts").glob("0*.h5"))] == ["00000000.h5"]

    asked = []
    with pytest.MonkeyPatch.context() as patch:
        original = module.collect_episodes
        patch.setattr(module, "collect_episodes", lambda config, part: asked.append(part) or original(config, part))
        collect(CONFIG, path, n_jobs=1, progress=False)
    assert asked == [range(20, 40), range(40, 45)]
    assert_same(read(path), reference)
    assert sorted(file.name for file in tmp_path.iterdir()) == [".data.h5.lock", "data.h5"]


def test_a_torn_part_is_collected_again(tmp_path, reference, monkeypatch):
    path = tmp_path / "data.h5"
    with monkeypatch.context() as patch:
        patch.setattr(module, "join_files", lambda *args: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            collect(CONFIG, path, n_jobs=1, progress=False)
    torn = tmp_path / "data.h5.parts" / "00000020.h5"
    torn.write_bytes(torn.read_bytes()[:1000])
    (tmp_path / ".data.h5.abc.tmp").write_bytes(b"left by a kill while joining")
    assert_same(read(collect(CONFIG, path, n_jobs=1, progress=False)), reference)
    assert sorted(file.name for file in tmp_path.iterdir()) == [".data.h5.lock", "data.h5"]


def test_a_finished_file_is_returned_as_it_is_and_another_configuration_refused(tmp_path, monkeypatch):
    config = replace(CONFIG, n_episodes=4)
    path = collect(config, tmp_path / "data.h5", n_jobs=1, progress=False)
    stamp = path.stat().st_mtime_ns
    assert collect(config, path, n_jobs=1, progress=False).stat().st_mtime_ns == stamp
    with pytest.raises(InputError, match=r"another configuration \(seed: 5 -> 6\), expected the same"):
        collect(replace(config, seed=6), path, n_jobs=1, progress=False)
    with h5py.File(path, "a") as file:
        del file.attrs["config"]
    with pytest.raises(InputError, match="exists but was not written by collect"):
        collect(config, path, n_jobs=1, progress=False)

    unfinished = tmp_path / "other.h5"
    monkeypatch.setattr(module, "join_files", lambda *args: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        collect(config, unfinished, n_jobs=1, progress=False)
    with pytest.raises(InputError, match=r"\(max_steps: 30 -> 31; policy: scripted -> random\)"):
        collect(replace(config, max_steps=31, policy="random"), unfinished, n_jobs=1, progress=False)


def test_parts_depend_on_the_configuration_alone_and_stay_small():
    assert [len(part) for part in module._make_parts(CONFIG)] == [20, 20, 5]
    assert [len(part) for part in module._make_parts(replace(CONFIG, environment="cube", n_episodes=9))] == [4, 4, 1]
    large = DataConfig(n_episodes=9, image_size=224)  # 15 MB an episode
    assert [len(part) for part in module._make_parts(large)] == [4, 4, 1]


def test_wrong_numbers_are_one_sentence(tmp_path):
    with pytest.raises(InputError, match="n_jobs is 0, expected at least 1"):
        collect(CONFIG, tmp_path / "data.h5", n_jobs=0)
    with pytest.raises(InputError, match="n_episodes is 0, expected at least 1"):
        collect(replace(CONFIG, n_episodes=0), tmp_path / "data.h5")
    assert not list(tmp_path.iterdir())
