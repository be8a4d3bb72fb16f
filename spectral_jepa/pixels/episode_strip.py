"""One planned episode, frame by frame, for a picture."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from spectral_jepa._validation import check_count
from spectral_jepa.pixels.config import EvaluationConfig
from spectral_jepa.pixels.evaluate import STREAM
from spectral_jepa.pixels.manifest import Manifest
from spectral_jepa.pixels.policies import Observation, Policy
from spectral_jepa.pixels.solvers import make_generator


def plan_strip(
    policy: Policy, manifest: Manifest, pair: int, dataset: Any, environment: Any, config: EvaluationConfig
) -> tuple[NDArray[np.uint8], bool, int]:
    """Carry out a policy on one pair of a manifest, as evaluation does for a policy that sees one frame.

    Parameters
    ----------
    policy : Policy
    manifest : Manifest
    pair : int
        Row of the manifest.
    dataset : EpisodeDataset
    environment : PixelEnvironment
    config : EvaluationConfig
        ``budget`` and ``seed`` are read.

    Returns
    -------
    frames : uint8 array (n, H, W, 3)
        The start, then one frame an action block, the one at which the goal was reached, and the goal last.
    success : bool
    steps : int

    Raises
    ------
    InputError
        A pair that the manifest does not have.
    """
    check_count("pair", pair, 0, len(manifest) - 1)
    row = manifest.table[pair]
    state, goal = (np.asarray(dataset.columns["state"][int(r)], dtype=np.float64) for r in row[1:])
    generators = [make_generator(config.seed, STREAM, *map(int, row))]
    goal_frame = np.array(dataset.pixels[int(row[2])])
    environment.reset(seed=config.seed)
    environment.set_state(state)
    frames, steps, success = [environment.render()], 0, False
    prepared = policy.prepare(goal_frame[None], goal[None])
    while steps < config.budget and not success:
        now = Observation(np.array(frames[-1])[None, None], state[None], np.zeros((1, 0, environment.action_dim)))
        for action in np.asarray(policy.act(now, prepared, generators))[0][: config.budget - steps]:
            state = environment.step(action)[0]
            steps += 1
            success = bool(environment.success(state, goal))
            if success or steps % policy.action_block == 0:
                frames.append(environment.render())
            if success:
                break
        else:
            if steps % policy.action_block:
                frames.append(environment.render())
    return np.stack([*frames, goal_frame]), success, steps
