"""Collection of pixel data at the small size against the plain way: a picture a raw step, whole meshes, physics built anew.

Run: python benchmarks/collection.py [--worlds push_t reacher cube] [--episodes 2]

Both play the same episodes (their states must agree bit for bit at the rows that both have) in one process; seconds are
those of the processor, all threads together, so that other work on the machine counts little. Neither time holds the
building of the simulator nor the first picture.
"""

import argparse
import time
from contextlib import closing

import numpy as np
import pandas as pd

from spectral_jepa._streams import episode_generator
from spectral_jepa.pixels.environments import make_environment
from spectral_jepa.pixels.environments._mujoco import Drawing
from spectral_jepa.pixels.presets import preset


def plain(environment):
    """The environment without what makes collection fast."""
    if environment.name == "push_t":
        environment._reset_space = environment._build
    elif environment.name == "cube":
        environment._draw = Drawing(environment._model, environment.image_size, "front_pixels")
    return environment


def seconds(environment, data, row_steps, n_episodes):
    """Processor time of an episode, and the episodes."""
    environment.reset(seed=0)
    environment.render()
    began = time.process_time()
    episodes = [
        environment.record_episode(data.policy, data.max_steps, episode_generator(data.seed, k), row_steps=row_steps)
        for k in range(n_episodes)
    ]
    return (time.process_time() - began) / n_episodes, episodes


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worlds", nargs="+", default=["push_t", "reacher", "cube"])
    parser.add_argument("--episodes", type=int, default=2)
    parser.add_argument("--steps", type=int, default=None, help="raw steps of an episode; default: of the preset")
    given = parser.parse_args()
    rows = []
    for name in given.worlds:
        data = preset("small", name).data
        steps = given.steps or data.max_steps
        data = type(data)(**{**data.__dict__, "max_steps": steps})
        found = {}
        for way, row_steps in (("plain", 1), ("ours", data.row_steps)):
            with closing(make_environment(name, data.image_size)) as environment:
                world = plain(environment) if way == "plain" else environment
                found[way] = seconds(world, data, row_steps, given.episodes)
        for whole, ours in zip(found["plain"][1], found["ours"][1], strict=True):
            assert np.array_equal(whole["state"][:: data.row_steps], ours["state"]), f"{name}: other episodes"
        slow, fast = found["plain"][0], found["ours"][0]
        rows.append({"world": name, "steps": steps, "plain s/episode": slow, "ours s/episode": fast, "ratio": slow / fast})
        print(pd.DataFrame(rows[-1:]).round(3).to_string(index=False, header=len(rows) == 1), flush=True)


if __name__ == "__main__":
    main()
