"""Does a latent distance rank? Spearman's rank correlation with the true one: of pairs of frames, and of candidate plans.

A search reads of its cost only which plan is better. Ranked by the latents of the frames in which plans truly end, the
correlation judges the metric alone; by predicted latents, metric and model together.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike
from scipy import stats

from spectral_jepa._shapes import Float
from spectral_jepa._streams import torch_generator
from spectral_jepa._terminal import Bar
from spectral_jepa._validation import Array, InputError, check_count, check_fraction
from spectral_jepa.pixels.data.actions import native_actions, scaled_blocks
from spectral_jepa.pixels.data.episodes import episode_of_rows, recorded_actions, rows_in, sample_rows
from spectral_jepa.pixels.diagnostics.latents import embed_rows
from spectral_jepa.pixels.interfaces import ActionScaling, Dataset, Encoder, Environment, Pictures, PlanningModel
from spectral_jepa.pixels.model.frozen import encode_frames, frozen

# Tells the draws of candidate plans apart from all other uses of the same seed.
STREAM = 0x72616E6B


class RankCorrelation(NamedTuple):
    """Spearman's rank correlation with a 95 % interval.

    Parameters
    ----------
    value, low, high : float
        NaN where it is not defined.
    n : int
        Pairs, or groups, behind it.
    """

    value: float
    low: float
    high: float
    n: int


def rank_correlation(first: ArrayLike, second: ArrayLike) -> RankCorrelation:
    """Spearman's rank correlation of two samples.

    Parameters
    ----------
    first, second : arrays (n,)
        Ties get the mean of their ranks.

    Returns
    -------
    RankCorrelation
        NaN where one of them is constant, or of fewer than 4 pairs.

    Raises
    ------
    InputError
        Samples of different lengths.

    Notes
    -----
    O(n log n). The interval is Fisher's, tanh(atanh r -+ 1.96 s) with s^2 = 1.06 / (n - 3) (Fieller, Hartley and Pearson
    1957), for independent pairs.

    Examples
    --------
    >>> rank_correlation([1.0, 2.0, 3.0, 4.0, 5.0], [1.0, 8.0, 27.0, 125.0, 64.0]).value
    0.9
    """
    x, y = (np.asarray(values, dtype=np.float64).ravel() for values in (first, second))
    if x.size != y.size:
        raise InputError(f"second has {y.size} values, expected {x.size} as first: pass one a pair")
    nan = float("nan")
    if x.size < 4 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return RankCorrelation(nan, nan, nan, x.size)
    value = float(np.clip(np.corrcoef(stats.rankdata(x), stats.rankdata(y))[0, 1], -1, 1))
    # A perfect correlation has no width.
    centre = np.arctanh(min(max(value, -1 + 1e-12), 1 - 1e-12))
    half = stats.norm.ppf(0.975) * np.sqrt(1.06 / (x.size - 3))
    return RankCorrelation(round(value, 12), float(np.tanh(centre - half)), float(np.tanh(centre + half)), x.size)


def mean_rank_correlation(first: Float[np.ndarray, "E S"], second: Float[np.ndarray, "E S"]) -> RankCorrelation:
    """Spearman's rank correlation within each group, averaged over the groups.

    Parameters
    ----------
    first, second : arrays (E, S)
        S values in each of E groups, such as the costs of S plans from each of E starts.

    Returns
    -------
    RankCorrelation
        Groups in which one of the two is constant are left out; n counts the others. The interval is Student's over groups.

    Raises
    ------
    InputError
        Arrays of different shapes.

    Notes
    -----
    O(E S log S). Values of different groups are never compared, as in a search.

    Examples
    --------
    Within each group the ranks agree, over all they do not; the last group says nothing.

    >>> first = [[1, 2, 3, 4], [1, 2, 3, 4], [1, 2, 3, 4]]
    >>> mean_rank_correlation(first, [[5, 6, 7, 8], [1, 2, 3, 4], [0, 0, 0, 0]])
    RankCorrelation(value=1.0, low=1.0, high=1.0, n=2)
    """
    x, y = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if x.shape != y.shape or x.ndim != 2:
        raise InputError(f"second has shape {y.shape}, expected {x.shape}, groups x values: pass one value a plan")
    each = np.array([rank_correlation(a, b).value for a, b in zip(x, y, strict=True)])
    each = each[np.isfinite(each)]
    if not each.size:
        return RankCorrelation(float("nan"), float("nan"), float("nan"), 0)
    mean, half = float(each.mean()), float("nan")
    if each.size > 1:
        half = float(stats.t.ppf(0.975, each.size - 1) * each.std(ddof=1) / np.sqrt(each.size))
    return RankCorrelation(mean, max(-1.0, mean - half), min(1.0, mean + half), each.size)


class FramePairs(NamedTuple):
    """Pairs of frames and how far apart they are.

    Parameters
    ----------
    first, second : integer arrays (n,)
        Rows.
    latent : array (n,)
        Squared distance of the latents.
    true : array (n,)
        The environment's distance of the states.
    """

    first: np.ndarray
    second: np.ndarray
    latent: Array
    true: Array


def frame_pairs(
    model: Encoder,
    dataset: Dataset,
    episodes: ArrayLike,
    environment: Environment,
    *,
    steps: int | None = None,
    n_pairs: int = 2_000,
    seed: int = 0,
    cache: Path | None = None,
    progress: bool = False,
) -> FramePairs:
    """Latent and true distances of random pairs of frames.

    Parameters
    ----------
    model : WorldModel
    dataset : EpisodeDataset
        With a column ``state``.
    episodes : sequence of int
        Held-out episodes.
    environment : PixelEnvironment
        Its ``goal_distance`` is read.
    steps : int, optional
        Take the second frame from the same episode, at most so many raw steps before or after: such as a planner compares.
        Default: any two frames, each in one pair.
    n_pairs : int
        At most.
    seed : int
    cache : Path, optional
        Folder of kept embeddings.
    progress : bool
        Show a bar.

    Returns
    -------
    FramePairs

    Raises
    ------
    InputError
        Fewer than 8 frames.

    Notes
    -----
    2 n_pairs passes of the encoder.

    Examples
    --------
    Pictures as bright as the agent of Two-Room is far to the right.

    >>> from spectral_jepa.pixels.data import EpisodeDataset
    >>> from spectral_jepa.pixels.environments import make_environment
    >>> class MeanColour(torch.nn.Module):
    ...     def encode(self, frames):
    ...         return frames.float().mean((1, 2))
    >>> x = np.arange(40, 80)
    >>> pixels = np.tile(x.astype(np.uint8)[:, None, None, None], (1, 4, 4, 3))
    >>> state = np.stack([x.astype(float), np.full(40, 49.0)], axis=1)
    >>> data = EpisodeDataset.from_episodes([{"pixels": pixels, "action": np.zeros((40, 2)), "state": state}])
    >>> pairs = frame_pairs(MeanColour(), data, [0], make_environment("two_room", 4))
    >>> len(pairs.true), bool(np.allclose(pairs.latent, 3 * 256 * pairs.true**2))
    (20, True)
    """
    generator = np.random.default_rng(seed)
    check_count("n_pairs", n_pairs)
    if steps is None:
        rows = generator.permutation(sample_rows(dataset, episodes, 2 * n_pairs, generator))
        first, second = rows[: rows.size // 2], rows[rows.size // 2 : rows.size // 2 * 2]
    else:
        first = generator.permutation(sample_rows(dataset, episodes, n_pairs, generator))
        away = generator.integers(1, max(1, rows_in(dataset, "steps", steps)), first.size, endpoint=True)
        second = first + away * generator.choice([-1, 1], first.size)
        # Where one way leads out of the episode, the other one is taken, and a pair without either is left out.
        owner = episode_of_rows(dataset, first)
        start = np.asarray(dataset.ep_offset)[owner]
        last = start + np.asarray(dataset.ep_len)[owner] - 1
        second = np.where((second < start) | (second > last), 2 * first - second, second)
        inside = (second >= start) & (second <= last)
        first, second = first[inside], second[inside]
    n = first.size
    if n < 4:
        raise InputError(f"the episodes have {n} pairs of frames, expected at least 4: collect more or longer ones")
    different, where = np.unique(np.concatenate([first, second]), return_inverse=True)
    latents = embed_rows(model, dataset, different, cache=cache, progress="embed (pairs)" if progress else None)
    latents = latents[where].astype(np.float64)
    states = dataset.columns["state"]
    true = [
        environment.goal_distance(np.asarray(states[i]), np.asarray(states[j])) for i, j in zip(first, second, strict=True)
    ]
    return FramePairs(first, second, np.sum((latents[:n] - latents[n:]) ** 2, axis=1), np.array(true))


def candidate_plans(
    dataset: Dataset,
    starts: ArrayLike,
    scaler: ActionScaling,
    *,
    n_plans: int,
    horizon: int,
    action_block: int,
    std: float = 1.0,
    recorded_weight: float = 0.7,
    seed: int = 0,
) -> Float[torch.Tensor, "E S H B"]:
    """Plans to be ranked: what was recorded, mixed with the noise that a search begins with.

    Parameters
    ----------
    dataset : EpisodeDataset
    starts : integer array (E,)
        Rows.
    scaler : ActionScaler
    n_plans : int
        S, at least 2.
    horizon, action_block : int
        Blocks H of a plan, raw actions of a block.
    std : float
        Of the noise, in scaled units.
    recorded_weight : float in [0, 1]
        w below. At 0 plans are the first candidates of the published search, which hardly ever touch a cube; at 1 they are
        all what was recorded. One weight for all, because with several of them everything that moves would come
        nearer to its goal together, what counts and what does not.
    seed : int

    Returns
    -------
    float32 Tensor (E, S, H, B)
        In scaled units: w r + sqrt(1 - w^2) e, with the recorded actions r (0 beyond the episode's end) and noise e.

    Raises
    ------
    InputError
        Fewer than 2 plans, a weight outside [0, 1].

    Notes
    -----
    O(E S H B). Each start has a stream of its own. Source: ours.

    Examples
    --------
    >>> from spectral_jepa.pixels.data import ActionScaler, EpisodeDataset
    >>> data = EpisodeDataset.from_episodes([{"pixels": np.zeros((9, 2, 2, 3), np.uint8), "action": np.full((9, 1), 3.0)}])
    >>> sizes = {"n_plans": 3, "horizon": 2, "action_block": 2}
    >>> plans = candidate_plans(data, [0], ActionScaler((0.0,), (2.0,)), **sizes, recorded_weight=1.0)
    >>> plans.shape, plans[0, 1].tolist()
    (torch.Size([1, 3, 2, 2]), [[1.5, 1.5], [1.5, 1.5]])
    """
    check_count("n_plans", n_plans, 2, why="one plan cannot be ranked")
    weight = check_fraction("recorded_weight", recorded_weight)
    rows = np.asarray(starts, dtype=np.int64)
    width, n_rows = len(scaler.mean), rows_in(dataset, "steps", horizon * action_block)
    episode = episode_of_rows(dataset, rows)
    ends = np.asarray(dataset.ep_offset)[episode] + np.asarray(dataset.ep_len)[episode]
    recorded = np.full((rows.size, horizon * action_block, width), np.nan)
    for i, left in enumerate((ends - rows).tolist()):
        steps = dataset.row_steps * min(n_rows, left)
        recorded[i, :steps] = recorded_actions(dataset, rows[i : i + 1], steps)[0]
    target = torch.nan_to_num(scaled_blocks(recorded, scaler, action_block))[:, None]
    shape = (n_plans, *target.shape[2:])
    noise = torch.stack([torch.randn(shape, generator=torch_generator(seed, STREAM, int(row))) for row in rows])
    return weight * target + (1 - weight**2) ** 0.5 * std * noise


class PlanDistances(NamedTuple):
    """How far from their goals plans end.

    Parameters
    ----------
    true : array (E, S)
        The environment's distance of the states in which plans truly end.
    seen : array (E, S)
        Squared latent distance of the frames in which they truly end.
    predicted : array (E, S)
        Squared latent distance of the model's last predicted latent: the published cost.
    """

    true: Array
    seen: Array
    predicted: Array


def plan_distances(
    model: PlanningModel,
    dataset: Dataset,
    starts: ArrayLike,
    goals: ArrayLike,
    environment: Environment,
    scaler: ActionScaling,
    plans: Float[torch.Tensor, "E S H B"],
    *,
    progress: bool = False,
) -> PlanDistances:
    """True, seen and predicted distance to the goal after each of S plans from each of E starts.

    Parameters
    ----------
    model : WorldModel
    dataset : EpisodeDataset
        With a column ``state`` that the environment can be set to.
    starts, goals : integer arrays (E,)
        Rows.
    environment : PixelEnvironment
        Simulates the plans and draws their ends.
    scaler : ActionScaler
    plans : Tensor (E, S, H, B)
        In scaled units.
    progress : bool
        Show a bar.

    Returns
    -------
    PlanDistances

    Notes
    -----
    E S simulations of all their steps, as many pictures, encoder passes and rollouts. Source of the predicted cost: LeWM,
    arXiv 2603.19312, planning.

    Examples
    --------
    An encoder that sees nothing: every plan ends as near as every other.

    >>> from spectral_jepa.pixels.data import ActionScaler, EpisodeDataset
    >>> from spectral_jepa.pixels.environments import make_environment
    >>> from types import SimpleNamespace
    >>> class Blind(torch.nn.Module):
    ...     config = SimpleNamespace(action_block=5, action_dim=2, history=1)
    ...     def encode(self, frames):
    ...         return torch.zeros(len(frames), 1)
    ...     def rollout(self, latents, blocks, past_blocks=None):
    ...         return torch.zeros(len(blocks), blocks.shape[1], 1)
    >>> state = np.stack([40 + 4.0 * np.arange(31), np.full(31, 49.0)], axis=1)
    >>> moves = np.tile([0.8, 0.0], (31, 1))
    >>> data = EpisodeDataset.from_episodes([{"pixels": np.zeros((31, 8, 8, 3), np.uint8), "action": moves, "state": state}])
    >>> scaler = ActionScaler((0.0, 0.0), (1.0, 1.0))
    >>> plans = candidate_plans(data, [0], scaler, n_plans=4, horizon=5, action_block=5, recorded_weight=1.0)
    >>> found = plan_distances(Blind(), data, [0], [25], make_environment("two_room", 8), scaler, plans)
    >>> found.true[0, -1].round(6), found.seen.tolist(), found.predicted.tolist()
    (np.float64(0.0), [[0.0, 0.0, 0.0, 0.0]], [[0.0, 0.0, 0.0, 0.0]])
    """
    first, last = (np.asarray(rows, dtype=np.int64) for rows in (starts, goals))
    states = np.asarray(dataset.columns["state"])
    shown = encode_frames(model, np.stack([np.asarray(dataset.pixels[row]) for row in np.concatenate([first, last])]))
    here, there = torch.from_numpy(shown).double().split(len(first))
    actions = native_actions(plans.flatten(0, 1), scaler).reshape(*plans.shape[:2], -1, len(scaler.mean))
    true, seen, predicted = (np.empty(plans.shape[:2]) for _ in range(3))
    with Bar(total=true.size, desc="simulate plans", unit="plan", disable=not progress) as bar:
        for e in range(len(first)):
            pictures: list[Pictures] = []
            for s in range(plans.shape[1]):
                # A copy: the states may be a read-only map.
                environment.set_state(np.array(states[first[e]], dtype=np.float64))
                for action in actions[e, s]:
                    environment.step(action)
                true[e, s] = environment.goal_distance(environment.get_state(), np.asarray(states[last[e]]))
                pictures.append(environment.render())
                bar.update()
            ends = encode_frames(model, np.stack(pictures)).astype(np.float64)
            seen[e] = np.sum((ends - there[e].numpy()) ** 2, axis=1)
            with frozen(model) as device:
                given = here[e].float().to(device).expand(plans.shape[1], 1, -1)
                later = model.rollout(given, plans[e].to(device))[:, -1].double().cpu()
            predicted[e] = (later - there[e]).square().sum(1).numpy()
    return PlanDistances(true, seen, predicted)
