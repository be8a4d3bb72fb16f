"""Violation of expectation: does a model's prediction error rise when the world breaks its rules, and only then?

A held-out trajectory is replayed in the simulator from its stored state with its stored actions, three times: as it was
("clean"), with an object recoloured, and with an object teleported, both at one frame in the middle. Surprise is the
squared distance of the predicted from the observed latent, over the number of coordinates. Source: arXiv 2603.19312, section
on violation of expectation, which gives no number of trajectories, frame or effect size; those are settings here.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike, NDArray
from scipy import stats
from sklearn.metrics import roc_auc_score
from torch import Tensor

from spectral_jepa._shapes import Float
from spectral_jepa._terminal import Bar
from spectral_jepa._validation import Array, InputError, check_count
from spectral_jepa.pixels.config import SurpriseConfig
from spectral_jepa.pixels.data.actions import scaled_blocks
from spectral_jepa.pixels.data.episodes import raw_actions, rows_in
from spectral_jepa.pixels.interfaces import ActionScaling, Dataset, Environment, LatentModel, PredictiveModel
from spectral_jepa.pixels.model.frozen import encode_frames, frozen

VERSIONS = ("clean", "recoloured", "teleported")
COLUMNS = ["trajectory", "episode", "start_row", "version", "step", "surprise", "replay_error"]


def prediction_errors(
    model: LatentModel, latents: Float[Tensor, "B U D"], blocks: Float[Tensor, "B T A"], history: int
) -> Float[Tensor, "B T"]:
    """Squared error of each one-step prediction, with the context that training gives it.

    Parameters
    ----------
    model : WorldModel
        Anything with ``predict``: latents (B, T, D), blocks (B, T, A) to (B, T, D), causal, T <= history.
    latents : Tensor (B, T + 1, D)
        Observed latents.
    blocks : Tensor (B, T, A)
        ``blocks[:, t]`` leads from latent t to latent t + 1.
    history : int
        Longest context. The first predictions have as many latents as there are, like the first ones of a training clip.

    Returns
    -------
    Tensor (B, T)
        ||g(z_t, a_t) - z_{t+1}||^2 / D.

    Raises
    ------
    InputError
        Latents and blocks that do not fit together.

    Notes
    -----
    O(B T history) predictor tokens.

    Examples
    --------
    >>> class Still(torch.nn.Module):
    ...     def predict(self, latents, blocks):
    ...         return latents
    >>> prediction_errors(Still(), torch.tensor([[[0.0], [0.0], [3.0], [3.0]]]), torch.zeros(1, 3, 2), history=2)
    tensor([[0., 9., 0.]])
    """
    check_count("history", history)
    n = blocks.shape[1]
    if latents.shape[:2] != (blocks.shape[0], n + 1):
        raise InputError(
            f"latents has shape {tuple(latents.shape)} and blocks {tuple(blocks.shape)}, "
            "expected (B, T + 1, D) and (B, T, A): pass one latent more than blocks"
        )
    h = min(history, n)
    predicted = model.predict(latents[:, :h], blocks[:, :h])
    if n > h:
        # Windows that end at t = h .. n-1; only their last output is new.
        past = latents[:, 1:n].unfold(1, h, 1).transpose(-2, -1)
        moves = blocks[:, 1:].unfold(1, h, 1).transpose(-2, -1)
        later = model.predict(past.flatten(0, 1), moves.flatten(0, 1))[:, -1]
        predicted = torch.cat([predicted, later.unflatten(0, past.shape[:2])], dim=1)
    return (predicted - latents[:, 1:]).square().mean(-1)


def surprise(
    model: PredictiveModel,
    dataset: Dataset,
    episodes: ArrayLike,
    environment: Environment,
    scaler: ActionScaling,
    settings: SurpriseConfig | None = None,
    *,
    progress: bool = False,
) -> pd.DataFrame:
    """Surprise along clean, recoloured and teleported versions of the same held-out trajectories.

    Parameters
    ----------
    model : WorldModel
        Its configuration gives history and action block.
    dataset : EpisodeDataset
        With the columns ``state`` and ``action``.
    episodes : sequence of int
        Held-out episodes; each gives one window at a random row, so that trajectories are independent.
    environment : PixelEnvironment
        That of the data, drawing pictures of the model's size.
    scaler : ActionScaler
        Of the training data.
    settings : SurpriseConfig, optional
        Default: 100 trajectories at most, perturbed at the frame after history + 1 others.
    progress : bool
        Show a bar.

    Returns
    -------
    DataFrame
        One row a trajectory, version and step: ``step`` 0 is the prediction of the first perturbed frame, ``surprise`` the
        squared error per latent dimension, ``replay_error`` the largest deviation of the clean replay from the stored
        states (0 for a simulator that can be set to any state; rows of the data are compared).

    Raises
    ------
    InputError
        Fewer than two episodes that are long enough, a model that predicts nothing or whose action block ends between two
        rows of the data, states that the environment cannot have.

    Notes
    -----
    Three replays a trajectory and as many encoder passes. Frames before the perturbation are drawn once.

    Examples
    --------
    A model that expects nothing to change and sees nothing but the mean colour notices a new colour, not a new place.

    >>> from types import SimpleNamespace
    >>> from spectral_jepa.pixels.config import DataConfig
    >>> from spectral_jepa.pixels.data import ActionScaler, EpisodeDataset
    >>> from spectral_jepa.pixels.environments import environment_class
    >>> class MeanColour(torch.nn.Module):
    ...     config = SimpleNamespace(history=1, action_block=5)
    ...     def encode(self, frames):
    ...         return frames.float().mean((1, 2)) / 255
    ...     def predict(self, latents, blocks):
    ...         return latents
    >>> two_room = environment_class("two_room")
    >>> generators = [np.random.default_rng(seed) for seed in (0, 1)]
    >>> data = EpisodeDataset.from_episodes(two_room.record_episodes(16, "scripted", 30, generators))
    >>> table = surprise(MeanColour(), data, [0, 1], two_room(16), ActionScaler((0.0, 0.0), (1.0, 1.0)))
    >>> first = table.query("step == 0").groupby("version")["surprise"]
    >>> (first.min() > 1e-6).to_dict(), float(table["replay_error"].max())
    ({'clean': False, 'recoloured': True, 'teleported': False}, 0.0)
    """
    settings = settings or SurpriseConfig()
    if not hasattr(model, "predict"):
        raise InputError(f"model is a {type(model).__name__}, expected one that predicts latents: pass a world model")
    history, size = model.config.history, model.config.action_block
    before = history + 1 if settings.before is None else settings.before
    after = history + 2 if settings.after is None else settings.after
    n_blocks = before + after - 1
    generator = np.random.default_rng(settings.seed)
    n_rows = n_blocks * rows_in(dataset, "action_block", size)
    windows = _windows(dataset, episodes, n_rows, settings.n_trajectories, generator)
    states = dataset.columns["state"]
    tables = []
    for index, (episode, start) in enumerate(Bar(windows, "surprise", disable=not progress)):
        moves = raw_actions(dataset, slice(start, start + n_rows)).astype(np.float64).reshape(n_blocks * size, -1)
        stored = np.array(states[start : start + n_rows + 1], dtype=np.float64)
        frames, deviation = _replay(environment, stored, moves, size, before, np.random.default_rng([settings.seed, index]))
        latents = torch.from_numpy(encode_frames(model, frames))
        # Prefix frames are shared, so are their latents.
        prefix, parts = latents[:before], latents[before:].unflatten(0, (len(VERSIONS), after))
        paths = torch.cat([prefix.expand(len(VERSIONS), -1, -1), parts], dim=1)
        blocks = scaled_blocks(moves, scaler, size)
        with frozen(model) as device:
            context = paths.to(device), blocks.expand(len(VERSIONS), -1, -1).to(device)
            errors = prediction_errors(model, *context, history).double().cpu().numpy()
        frame = pd.DataFrame(errors.T, columns=list(VERSIONS))
        frame["step"] = np.arange(n_blocks) - (before - 1)
        frame = frame.melt("step", var_name="version", value_name="surprise")
        tables.append(frame.assign(trajectory=index, episode=episode, start_row=start, replay_error=deviation))
    return pd.concat(tables, ignore_index=True)[COLUMNS]


def surprise_summary(table: pd.DataFrame, history: int) -> pd.DataFrame:
    """Paired tests of each violation against the clean version of the same trajectory at the same step.

    Parameters
    ----------
    table : DataFrame
        As :func:`surprise` gives it.
    history : int
        Of the model: from this step on its whole context is perturbed.

    Returns
    -------
    DataFrame
        One row a version and moment: ``at`` (the perturbed frame), ``next`` (the frame after it), ``later`` (mean over
        steps >= history: what stays once the whole context shows the change). Columns: n; clean and perturbed means;
        difference; ratio of means; ``d_z`` = mean / standard deviation of the paired differences; t and p of the two-sided
        paired t-test; p of Wilcoxon's signed-rank test; ``auroc`` of telling perturbed from clean by surprise.

    Raises
    ------
    InputError
        Fewer than two trajectories.

    Notes
    -----
    O(n log n). p-values are not corrected for the number of rows.

    Examples
    --------
    >>> table = pd.DataFrame([(i, v, 0, x) for i in range(3) for v, x in (("clean", 1.0 + i), ("teleported", 9.0 + 2 * i))],
    ...                      columns=["trajectory", "version", "step", "surprise"])
    >>> surprise_summary(table, history=3)[["version", "moment", "difference", "d_z", "auroc"]]
          version moment  difference  d_z  auroc
    0  teleported     at         9.0  9.0    1.0
    """
    rows = []
    moments = {"at": table["step"] == 0, "next": table["step"] == 1, "later": table["step"] >= max(history, 1)}
    for version in (v for v in VERSIONS[1:] if (table["version"] == v).any()):
        for moment, chosen in moments.items():
            wide = table[chosen].pivot_table(index="trajectory", columns="version", values="surprise", aggfunc="mean")
            if wide.empty:
                continue
            clean, changed = wide["clean"].to_numpy(float), wide[version].to_numpy(float)
            rows.append({"version": version, "moment": moment, **compare_pairs(clean, changed)})
    return pd.DataFrame(rows)


def compare_pairs(clean: Array, changed: Array) -> dict[str, float | int]:
    """Paired comparison of two samples.

    Parameters
    ----------
    clean, changed : arrays (n,)
        Surprise of the same n >= 2 trajectories.

    Returns
    -------
    dict of float
        ``n``, ``clean``, ``perturbed``, ``difference``, ``ratio``, ``d_z``, ``t``, ``p_t``, ``p_wilcoxon``, ``auroc``: see
        :func:`surprise_summary`. Where all differences are equal and not 0, ``t`` and ``d_z`` are infinite and ``p_t`` is 0;
        where all are 0, ``t`` and ``d_z`` are 0 and both p are 1.

    Raises
    ------
    InputError
        Fewer than two trajectories.

    Notes
    -----
    O(n log n).

    Examples
    --------
    Differences 2, 4 and 6: mean 4, standard deviation 2, t = 4 / (2 / sqrt(3)).

    >>> result = compare_pairs(np.array([1.0, 2.0, 3.0]), np.array([3.0, 6.0, 9.0]))
    >>> result["difference"], result["ratio"], result["d_z"], round(result["t"], 4), round(result["auroc"], 4)
    (4.0, 3.0, 2.0, 3.4641, 0.9444)
    >>> compare_pairs(np.array([1.0, 2.0]), np.array([1.0, 2.0]))["p_t"]
    1.0
    """
    check_count("number of trajectories", clean.size, low=2, why="a test needs two")
    difference = changed - clean
    spread = float(difference.std(ddof=1))
    if not difference.any():
        t, p_t, p_wilcoxon, effect = 0.0, 1.0, 1.0, 0.0
    else:
        certain = float(np.copysign(np.inf, difference[0]))
        t, p_t = (float(x) for x in stats.ttest_rel(changed, clean)) if spread > 0 else (certain, 0.0)
        p_wilcoxon = float(stats.wilcoxon(difference).pvalue)
        effect = float(difference.mean() / spread) if spread > 0 else certain
    labels = np.repeat([0, 1], clean.size)
    return {
        "n": clean.size,
        "clean": float(clean.mean()),
        "perturbed": float(changed.mean()),
        "difference": float(difference.mean()),
        "ratio": float(changed.mean() / clean.mean()) if clean.mean() > 0 else float("nan"),
        "d_z": effect,
        "t": t,
        "p_t": p_t,
        "p_wilcoxon": p_wilcoxon,
        "auroc": float(roc_auc_score(labels, np.concatenate([clean, changed]))),
    }


def _windows(
    dataset: Dataset, episodes: ArrayLike, n_rows: int, n_trajectories: int, generator: np.random.Generator
) -> list[tuple[int, int]]:
    """(episode, start row) of at most ``n_trajectories`` windows of ``n_rows`` rows of actions, one an episode."""
    ids = np.unique(np.asarray(episodes, dtype=np.int64))
    length, offset = np.asarray(dataset.ep_len), np.asarray(dataset.ep_offset)
    # The last row of an episode has no action.
    room = length[ids] - 1 - n_rows
    usable = ids[room >= 0]
    if usable.size < 2:
        longest = (int(length[ids].max()) - 1) * dataset.row_steps if ids.size else 0
        raise InputError(
            f"{usable.size} of {ids.size} episodes have the {n_rows * dataset.row_steps} actions that a surprise trajectory "
            f"takes (the longest has {longest}), expected at least 2: collect more or longer episodes, or lower before and "
            "after"
        )
    chosen = np.sort(generator.permutation(usable)[:n_trajectories])
    starts = offset[chosen] + generator.integers(0, length[chosen] - n_rows)
    return [(int(e), int(s)) for e, s in zip(chosen, starts, strict=True)]


def _replay(
    environment: Environment, stored: Array, actions: Array, size: int, before: int, generator: np.random.Generator
) -> tuple[NDArray[np.uint8], float]:
    """Frames (before + 3 after, H, W, 3): the shared prefix, then each version; and the clean replay's deviation."""
    prefix, tails, deviation = [], [], 0.0
    apart = len(actions) // (len(stored) - 1)  # raw steps between two stored states
    for version in VERSIONS:
        environment.reset(seed=0, options={"state": stored[0]})
        for step in range(len(actions) + 1):
            boundary, frame = step % size == 0, step // size
            if boundary and frame == before:
                if version == "recoloured":
                    environment.recolor()
                elif version == "teleported":
                    environment.teleport(generator)
            if boundary and frame >= before:
                tails.append(environment.render())
            elif boundary and version == "clean":
                prefix.append(environment.render())
            if version == "clean" and step % apart == 0:
                deviation = max(deviation, float(np.abs(environment.get_state() - stored[step // apart]).max()))
            if step < len(actions):
                environment.step(actions[step])
    return np.stack(prefix + tails), deviation
