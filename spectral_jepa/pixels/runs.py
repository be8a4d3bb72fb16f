"""What the folder of a run is: where data and models go, what a run is called, how a finished one is opened again.

Files live under results/pixels/ENVIRONMENT-PRESET: the data (``data.h5`` with its split and the manifests of start and goal
pairs beside it), and one folder a trained model, named after what was trained and the training seed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike

from spectral_jepa._shapes import Float
from spectral_jepa._validation import InputError
from spectral_jepa.pixels.config import EvaluationConfig, PixelConfig
from spectral_jepa.pixels.data import ActionScaler, EpisodeDataset, window_starts
from spectral_jepa.pixels.data.actions import scaled_blocks
from spectral_jepa.pixels.data.episodes import Ids, recorded_actions, rows_in
from spectral_jepa.pixels.data.origin import open_run_data
from spectral_jepa.pixels.data.places import derived_path
from spectral_jepa.pixels.diagnostics.latents import CACHE, embed_rows
from spectral_jepa.pixels.environments import environment_class, make_environment
from spectral_jepa.pixels.environments.base import PixelEnvironment
from spectral_jepa.pixels.evaluation.manifest import Manifest, make_manifest
from spectral_jepa.pixels.interfaces import Dataset, Environment
from spectral_jepa.pixels.model.frozen import device_of
from spectral_jepa.pixels.model.saved import load_model
from spectral_jepa.pixels.model.world_model import WorldModel
from spectral_jepa.pixels.planning.policies import CloningPolicy, PlannerPolicy
from spectral_jepa.pixels.planning.proposals import ClonedProposal, InverseDynamics, Proposal
from spectral_jepa.pixels.planning.recorded_noise import recorded_noise
from spectral_jepa.pixels.presets import override

ROOT = Path("results/pixels")
# What else appears in a table of policies.
RESERVED = ("random", "simulator", "simulator, latent cost", "nothing")
# That the map from two latents to the blocks between them is fitted to.
PROPOSAL_WINDOWS = 4000


class FinishedRun(NamedTuple):
    """A trained model and all that it takes to judge it.

    Parameters
    ----------
    config : PixelConfig
        With the settings that were changed after loading.
    policy : PlannerPolicy or CloningPolicy
        The model in evaluation mode, named after its folder.
    scaler : ActionScaler
        Of its training actions.
    dataset : EpisodeDataset
    environment : PixelEnvironment
        That of the data, drawing pictures of the model's size.
    """

    config: PixelConfig
    policy: PlannerPolicy | CloningPolicy
    scaler: ActionScaler
    dataset: EpisodeDataset
    environment: PixelEnvironment


def base_folder(environment: str, preset: str) -> Path:
    """Where the data and the runs of an environment and a preset go.

    Parameters
    ----------
    environment : str
        A built-in one, or ``module:Class``.
    preset : str

    Returns
    -------
    Path
        Relative to the working directory.

    Raises
    ------
    InputError
        An unknown environment.

    Examples
    --------
    >>> base_folder("two_room", "small").as_posix()
    'results/pixels/two_room-small'
    """
    return ROOT / f"{environment_class(environment).name}-{preset}"


def run_name(config: PixelConfig) -> str:
    """Name of a run's folder: what is trained, K if there are subspaces, and the training seed.

    Parameters
    ----------
    config : PixelConfig
        ``kind``, ``objective`` and ``training.seed`` are read.

    Returns
    -------
    str
        Other settings do not show: two runs that differ in these alone need folders named by hand.

    Examples
    --------
    >>> from spectral_jepa.pixels.presets import changed, preset
    >>> run_name(preset("tiny")), run_name(changed(preset("tiny"), {"objective.regularizer": "subspace_sigreg"}))
    ('sigreg-0', 'subspace_sigreg_orthogonal_4-0')
    """
    objective = config.objective
    if config.kind == "cloning":
        name = "cloning"
    elif objective.regularizer == "subspace_sigreg":
        name = f"subspace_sigreg_{objective.subspace_kind}_{objective.n_subspaces}"
    else:
        name = str(objective.regularizer).rpartition(":")[2]  # of one's own, module:function, the function
    return f"{name}-{config.training.seed}"


def data_path(folder: Path, data: Path | None = None) -> Path:
    """The data file of a finished run: the given one, or the one it was trained on.

    Parameters
    ----------
    folder : Path
        Of the run.
    data : Path, optional
        Default: what the folder's ``config.json`` says.

    Returns
    -------
    Path

    Raises
    ------
    InputError
        A folder without a finished run, or whose ``config.json`` names no data.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = (folder / "config.json").write_text('{"data": "two_room.h5"}')
    >>> data_path(folder).name, data_path(folder, Path("other.h5")).name
    ('two_room.h5', 'other.h5')
    """
    if data is not None:
        return data
    path = folder / "config.json"
    if not path.exists():
        raise InputError(
            f"{folder} holds no config.json, expected the folder of a finished run: run spectral-jepa pixels train"
        )
    try:
        saved = json.loads(path.read_bytes())
        recorded = Path(saved["data"])
        beside = folder / saved.get("data_from_here", saved["data"])
    except (ValueError, TypeError, KeyError, AttributeError):
        raise InputError(
            f"{path} names no data, expected the config.json of a run of pixels train: restore it, or give --data"
        ) from None
    if recorded.exists():
        return recorded
    # The whole tree was moved, or an earlier version recorded a path from the folder where it was started.
    moved = [beside, *(parent / recorded for parent in folder.resolve().parents)]
    return next((there for there in moved if there.exists()), recorded)


def open_run(
    folder: Path,
    data: Path | None = None,
    device: str | None = None,
    overrides: Mapping[str, str] | None = None,
    *,
    name: str | None = None,
    cache: Path | None = None,
    proposal: Path | None = None,
) -> FinishedRun:
    """Open a finished run to plan with it.

    Parameters
    ----------
    folder : Path
        Of the run.
    data : Path, optional
        Default: the data that it was trained on.
    device : str, optional
        Default: the CPU.
    overrides : dict of str, optional
        Settings changed after loading, "section.field" -> text.
    name : str, optional
        Of the policy in tables. Default: the folder's name.
    cache : Path, optional
        Where the unpacked data go, as in :func:`spectral_jepa.pixels.data.open_dataset`.
    proposal : Path, optional
        Folder of a run of kind "cloning", whose blocks the search of a plan begins at; with ``planning.proposal`` "cloning"
        and only then. For "inverse" the map is fitted here, in a second, to latents that are kept in the folder.

    Returns
    -------
    FinishedRun

    Raises
    ------
    InputError
        An unfinished or damaged folder, data that do not fit the model or come from another environment, a simulator that is
        not installed, a proposal that is missing, not asked for, or of another kind or other actions.

    Examples
    --------
    Three episodes, an untrained model in the place of a trained one, and a search of 7 samples.

    >>> import tempfile
    >>> from spectral_jepa.pixels.data.collect import collect
    >>> from spectral_jepa.pixels.model.saved import make_model, save_model
    >>> from spectral_jepa.pixels.presets import changed, preset
    >>> config, folder = changed(preset("tiny"), {"data.n_episodes": 3}), Path(tempfile.mkdtemp())
    >>> data = collect(config.data, folder / "data.h5", n_jobs=1, progress=False)
    >>> scaler = ActionScaler((0.0, 0.0), (1.0, 1.0))
    >>> save_model(make_model(config), folder / run_name(config), config, scaler, {"data": str(data)})
    >>> run = open_run(folder / "sigreg-0", overrides={"planning.n_samples": "7"})
    >>> run.policy.name, run.config.planning.n_samples, run.dataset.n_episodes, run.environment.name
    ('sigreg-0', 7, 3, 'two_room')
    """
    model, config, scaler = load_model(folder, device)
    config = override(config, overrides or {})
    environment = make_environment(config.data.environment, config.model.image_size)
    dataset = open_run_data(config, data_path(folder, data), environment, cache=cache)
    policy: PlannerPolicy | CloningPolicy
    if config.kind == "cloning":
        policy = CloningPolicy(model, scaler, name=name or folder.name)
    else:
        start = open_proposal(config, model, scaler, dataset, folder, proposal)
        noise = None
        if config.planning.noise == "recorded" and config.planning.method == "cem":
            noise = recorded_noise(training_windows(config, dataset, scaler)[1])
        policy = PlannerPolicy(model, scaler, config.planning, name=name or folder.name, proposal=start, noise=noise)
    return FinishedRun(config, policy, scaler, dataset, environment)


def open_proposal(
    config: PixelConfig,
    model: WorldModel,
    scaler: ActionScaler,
    dataset: EpisodeDataset,
    folder: Path,
    cloned: Path | None = None,
) -> Proposal | None:
    """What ``planning.proposal`` names: where the search of a plan begins.

    Parameters
    ----------
    config : PixelConfig
        Of the world model.
    model : WorldModel
    scaler : ActionScaler
    dataset : EpisodeDataset
        "inverse" is fitted to its training episodes.
    folder : Path
        Of the run, where "inverse" keeps the latents.
    cloned : Path, optional
        Folder of the run of kind "cloning".

    Returns
    -------
    Proposal or None

    Raises
    ------
    InputError
        A folder that is missing, not asked for, or holds another kind or other actions; no window of the horizon's length.

    Notes
    -----
    "inverse": one passage of the encoder over 2 ``PROPOSAL_WINDOWS`` pictures.

    Examples
    --------
    >>> from spectral_jepa.pixels.presets import preset
    >>> open_proposal(preset("tiny"), None, None, None, Path()) is None
    True
    """
    kind = config.planning.proposal
    if (kind == "cloning") != (cloned is not None):
        raise InputError(
            f"planning.proposal is {kind!r} and the folder of a cloned policy {'missing' if cloned is None else 'given'}, "
            "expected both or neither: pass --proposal FOLDER with --set planning.proposal cloning"
        )
    if cloned is not None:
        network, own, own_scaler = load_model(cloned, device_of(model))
        if own.kind != "cloning":
            raise InputError(f"{cloned} holds a {own.kind}, expected a run of --kind cloning: train one")
        trained = [(c.data.environment, c.model.image_size, c.model.action_dim, c.model.action_block) for c in (own, config)]
        if trained[0] != trained[1]:
            names = ("environment", "image_size", "action_dim", "action_block")
            name, got, wanted = next(line for line in zip(names, *trained, strict=True) if line[1] != line[2])
            raise InputError(
                f"{cloned} was trained with {name} {got!r}, expected {wanted!r} as {folder}: train it on the same pictures "
                "and actions"
            )
        return ClonedProposal(network, own_scaler, scaler)
    if kind == "none":
        return None
    starts, blocks = training_windows(config, dataset, scaler)
    length = rows_in(dataset, "planning.horizon in raw steps", config.planning.horizon * config.model.action_block)
    latents, goals = (
        torch.from_numpy(embed_rows(model, dataset, rows, cache=folder / CACHE)) for rows in (starts, starts + length)
    )
    source = {"windows": len(starts), "data": dataset.digest("pixels", "action")[:16]}
    return InverseDynamics.fit(model, latents, goals, blocks, source=source)


def training_windows(
    config: PixelConfig, dataset: EpisodeDataset, scaler: ActionScaler
) -> tuple[Ids, Float[torch.Tensor, "N H A"]]:
    """A fixed sample of windows of the training episodes, as long as a plan.

    Parameters
    ----------
    config : PixelConfig
        Its horizon and action block are read.
    dataset : EpisodeDataset
    scaler : ActionScaler

    Returns
    -------
    starts : integer array (N,)
        First rows; N is at most ``PROPOSAL_WINDOWS``.
    blocks : float32 Tensor (N, horizon, block_dim)
        The scaled action blocks from there on.

    Raises
    ------
    InputError
        No episode is long enough.

    Notes
    -----
    O(rows of the episodes).

    Examples
    --------
    >>> from spectral_jepa.pixels.presets import changed, preset
    >>> episode = {"pixels": np.zeros((12, 2, 2, 3), np.uint8), "action": np.ones((12, 2), np.float32)}
    >>> data, scaler = EpisodeDataset.from_episodes([episode] * 10), ActionScaler((0.0, 0.0), (1.0, 1.0))
    >>> config = changed(preset("tiny"), {"planning.horizon": 2, "planning.execute": 2})
    >>> starts, blocks = training_windows(config, data, scaler)
    >>> blocks.shape == (len(starts), 2, 10)
    True
    """
    block = config.model.action_block
    length = rows_in(dataset, "planning.horizon in raw steps", config.planning.horizon * block)
    starts = sampled_starts(dataset, dataset.split()["train"], length, PROPOSAL_WINDOWS)
    return starts, scaled_blocks(recorded_actions(dataset, starts, config.planning.horizon * block), scaler, block)


def sampled_starts(dataset: Dataset, episodes: ArrayLike, length: int, n_windows: int) -> Ids:
    """First rows of a fixed sample of windows that lie within chosen episodes.

    Parameters
    ----------
    dataset : EpisodeDataset
    episodes : integer array
    length : int
        Rows between the first and the last of a window.
    n_windows : int
        At most; without replacement, the same at each call.

    Returns
    -------
    integer array (n,)
        Ascending.

    Raises
    ------
    InputError
        No episode is long enough.

    Notes
    -----
    O(rows of the episodes).

    Examples
    --------
    >>> episode = {"pixels": np.zeros((4, 2, 2, 3), np.uint8), "action": np.zeros((4, 2))}
    >>> data = EpisodeDataset.from_episodes([episode] * 3)
    >>> sampled_starts(data, [0, 2], length=2, n_windows=10).tolist()
    [0, 1, 8, 9]
    """
    starts = window_starts(dataset, episodes, length * dataset.row_steps + 1)
    if not starts.size:
        raise InputError(f"no episode has {length + 1} rows, expected one at least: lower planning.horizon")
    return np.sort(np.random.default_rng(0).permutation(starts)[:n_windows])


def frozen_pairs(data: Path, dataset: EpisodeDataset, environment: Environment, wanted: EvaluationConfig) -> Manifest:
    """The start and goal pairs of a data file, drawn from its test episodes once and read ever after.

    Parameters
    ----------
    data : Path
        The file; the manifest lies beside it, or where :func:`spectral_jepa.pixels.data.places.derived_path` says. Its name
        says the data file, the numbers below and the first digits of the digest of pictures and states.
    dataset : EpisodeDataset
        Its content.
    environment : PixelEnvironment
    wanted : EvaluationConfig
        Number of pairs, goal offset and seed.

    Returns
    -------
    Manifest

    Raises
    ------
    InputError
        Too few pairs in the test episodes, a manifest that was edited.

    Examples
    --------
    >>> import tempfile
    >>> state = np.stack([40 + 4.0 * np.arange(31), np.full(31, 49.0)], axis=1)
    >>> episode = {"pixels": np.zeros((31, 8, 8, 3), np.uint8), "action": np.zeros((31, 2)), "state": state}
    >>> data, dataset = Path(tempfile.mkdtemp()) / "data.h5", EpisodeDataset.from_episodes([episode] * 3)
    >>> first, again = (
    ...     frozen_pairs(data, dataset, make_environment("two_room", 8), EvaluationConfig(n_pairs=5)) for _ in range(2))
    >>> first == again, len(first), [file.name.startswith("data.h5.manifest-25-5-42-") for file in data.parent.iterdir()][0]
    (True, 5, True)
    """
    content = dataset.digest("pixels", "state")[:8]
    own = f"{data.name}.manifest-{wanted.goal_offset}-{wanted.n_pairs}-{wanted.seed}-{content}.json"
    path = derived_path(data, own, dataset.cache)
    if not path.exists():
        test = np.asarray(dataset.split()["test"])
        sizes = {"n_pairs": wanted.n_pairs, "goal_offset": wanted.goal_offset, "seed": wanted.seed}
        make_manifest(dataset, test, environment, **sizes).save(path)
    return Manifest.load(path)


def policy_names(folders: Sequence[Path]) -> list[str]:
    """A name for each run, unlike all others: its folder's name, with what is above it where that does not tell them apart.

    Parameters
    ----------
    folders : sequence of Path
        Of runs.

    Returns
    -------
    list of str
        In the given order.

    Raises
    ------
    InputError
        A folder that is given twice.

    Examples
    --------
    >>> policy_names([Path("a/sigreg-0"), Path("b/sigreg-0"), Path("b/none-0")])
    ['sigreg-0 (a)', 'sigreg-0 (b)', 'none-0']
    """
    whole = [folder.resolve() for folder in folders]
    for number, folder in enumerate(whole):
        if folder in whole[:number]:
            raise InputError(f"folder {folders[number]} was given twice, expected each run once: leave one out")
    names = [folder.name for folder in whole]
    for index, name in enumerate(names):
        twins = [other for other in whole if other.name == name]
        if len(twins) > 1 or name in RESERVED:
            depth = next(n for n in range(1, 1000) if len({other.parts[-1 - n :] for other in twins}) == len(twins))
            names[index] = f"{name} ({'/'.join(whole[index].parts[-1 - depth : -1])})"
    return names
