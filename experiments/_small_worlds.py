"""What the experiments on the four pixel worlds share: the arms, their settings, and the data and trained model of each."""

import math
import time

from spectral_jepa.pixels.presets import changed, override
from spectral_jepa.pixels.presets import preset as preset_config

# Name -> settings that differ from the preset.
SUB = "objective.regularizer", "subspace_sigreg"
ARMS = {
    "LeWM": {},
    "Sub-JEPA K=2": dict([SUB]) | {"objective.n_subspaces": 2},
    "Sub-JEPA K=4": dict([SUB]) | {"objective.n_subspaces": 4},
    "Sub-JEPA K=8": dict([SUB]) | {"objective.n_subspaces": 8},
    "Sub-JEPA K=16": dict([SUB]) | {"objective.n_subspaces": 16},
    "random subspaces K=4": dict([SUB]) | {"objective.n_subspaces": 4, "objective.subspace_kind": "random"},
    # Views of unit variance, as orthonormal rows give.
    "scaled subspaces K=4": dict([SUB]) | {"objective.n_subspaces": 4, "objective.subspace_kind": "scaled"},
    "SIGReg + inverse": {"objective.inverse_dynamics": 1.0},
    # Multiples of the preset's 2,500 steps of Push-T, the world whose goal the published search misses.
    "inverse 4 times as long": {"objective.inverse_dynamics": 1.0, "training.n_steps": 10_000},
    "inverse 16 times as long": {"objective.inverse_dynamics": 1.0, "training.n_steps": 40_000},
    "PLDM": {"objective.regularizer": "pldm"},
    "whitening": {"objective.regularizer": "whitening", "objective.strength": 1.0},
    "none": {"objective.regularizer": "none"},
    # The weights as they are drawn: one step that leads nowhere.
    "untrained": {"training.n_steps": 1, "training.learning_rate": 1e-12},
    "cloning": {"kind": "cloning", "model.history": 5},
}
# Planning settings. A search that begins at the inverse dynamics and is as smooth as the data; the rest is as published.
GUIDED = {"proposal": "inverse", "noise": "recorded", "initial_std": "0.5"}
# A short search close to what a cloned policy would do, anew after each block.
AMORTISED = {"proposal": "cloning", "initial_std": "0.1", "n_iterations": "3", "execute": "1"}
FROM_CLONING, SUMMED, MODEL = "search from cloning", "summed cost", "SIGReg + inverse"
LONGER = [arm for arm in ARMS if arm.endswith("times as long")]
# Other searches with the model of an arm: name -> (arm, planning settings).
SEARCHES = {FROM_CLONING: (MODEL, AMORTISED), SUMMED: ("LeWM", {"cost": "sum"})}
# The published search with the true dynamics in place of the predictor, judged by the encoder of the arm MODEL.
PERFECT = "perfect predictor"
NAMES = {"two_room": "Two-Room", "reacher": "Reacher", "push_t": "Push-T", "cube": "Cube"}
WORLDS = list(NAMES)


def settings(environment, size, arm, seed):
    """The configuration of an arm; of one that trains nothing, such as random actions, the preset's."""
    arm, planning = SEARCHES.get(arm, (MODEL if arm == PERFECT else arm, {}))
    config = changed(preset_config(size, environment), ARMS.get(arm, {}) | {"training.seed": seed})
    return override(config, overrides(planning))


def overrides(planning):
    """Planning settings as the command line takes them."""
    return {f"planning.{name}": str(value) for name, value in planning.items()}


def run_name(arm, seed):
    """Folder of a run."""
    return f"{arm.replace(' + ', '+').replace(' ', '_')}-{seed}"


def recorded(environment, size):
    """The data file of a world in results/pixels/ENVIRONMENT-SIZE; collected if it is not there."""
    from spectral_jepa.pixels.data.collect import collect
    from spectral_jepa.pixels.runs import base_folder

    path = base_folder(environment, size) / "data.h5"
    return collect(preset_config(size, environment).data, path, n_jobs=1, progress=False)


def trained(environment, size, arm, seed):
    """The folder of a trained arm, beside its data, and the processor seconds it took: NaN unless all of it was done now.

    A finished model is taken as it is, so also one that came without its checkpoints (weights/).
    """
    from spectral_jepa.pixels.model.saved import load_model
    from spectral_jepa.pixels.training.loop import train

    data, wanted = recorded(environment, size), settings(environment, size, arm, seed)
    folder = data.parent / run_name(arm, seed)
    if (folder / "config.json").exists() and load_model(folder)[1] == wanted:
        return folder, math.nan
    begun, clock = (folder / "checkpoints").exists(), time.process_time()
    train(wanted, data, folder, device="cpu", progress=False)
    return folder, math.nan if begun else time.process_time() - clock
