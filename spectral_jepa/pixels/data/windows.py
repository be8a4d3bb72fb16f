"""Training clips: windows of frames and z-scored action blocks, drawn in a resumable random order."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from spectral_jepa._shapes import Float, UInt8
from spectral_jepa._validation import InputError, check_count
from spectral_jepa.pixels.data.actions import ActionScaler
from spectral_jepa.pixels.data.drawn import DrawnPictures
from spectral_jepa.pixels.data.episodes import EpisodeDataset, Ids, check_ids, raw_actions, rows_in
from spectral_jepa.pixels.interfaces import Dataset


class WindowSampler:
    """Batches of clips: n_frames pictures, action_block raw steps apart, and the action block that starts at each.

    Every row that has ``n_frames * action_block`` raw steps of its episode from itself on starts one window. An epoch is a
    random order of all windows, cut into batches; what does not fill the last batch is left out. The order depends on (seed,
    epoch) alone, so a saved cursor resumes exactly, and under data parallelism each rank takes its share of the same joint
    batch.

    Parameters
    ----------
    dataset : EpisodeDataset
    episodes : integer ids
        The episodes to draw from.
    n_frames : int
        Frames T of a clip (history + 1).
    action_block : int
        Raw steps between two frames, and raw actions of a block; a multiple of the data's ``row_steps``.
    batch_size : int
        Clips of a batch, over all ranks.
    seed : int
    scaler : ActionScaler, optional
        Default: fitted on ``episodes``.
    rank, world_size : int
        Share of this process.
    device : str or torch.device
        Where batches go.
    resident : bool
        Hold all pictures on ``device`` and gather there, when they fit. Drawn ones
        (:class:`~spectral_jepa.pixels.data.drawn.DrawnPictures`) are always drawn there: no picture is copied.
    distinct : bool
        Give drawn frames as :class:`~spectral_jepa.pixels.interfaces.RepeatedPictures`, each state once a batch: for finite
        worlds and encoders whose pictures do not see each other.

    Raises
    ------
    InputError
        Fewer windows than a batch, a batch that the ranks cannot share evenly, or frames between two rows of the data.

    Notes
    -----
    Not thread-safe as a whole; but :meth:`gather` reads no cursor, so a loader may call :meth:`next_starts` in the main
    thread and :meth:`gather` in others.

    Examples
    --------
    >>> episode = {"pixels": np.zeros((12, 8, 8, 3), np.uint8), "action": np.arange(24.0).reshape(12, 2)}
    >>> data = EpisodeDataset.from_episodes([episode] * 3)
    >>> sampler = WindowSampler(data, [0, 2], n_frames=2, action_block=5, batch_size=4, seed=0)
    >>> frames, blocks = sampler.batch()
    >>> sampler.n_windows, sampler.steps_per_epoch, frames.shape, blocks.shape
    (6, 1, torch.Size([4, 2, 8, 8, 3]), torch.Size([4, 2, 10]))
    """

    def __init__(
        self,
        dataset: EpisodeDataset,
        episodes: ArrayLike,
        n_frames: int = 4,
        action_block: int = 5,
        batch_size: int = 128,
        seed: int = 0,
        *,
        scaler: ActionScaler | None = None,
        rank: int = 0,
        world_size: int = 1,
        device: str | torch.device = "cpu",
        resident: bool = False,
        distinct: bool = False,
    ) -> None:
        self.dataset = dataset
        self.n_frames, self.action_block = check_count("n_frames", n_frames), check_count("action_block", action_block)
        self.batch_size, self.seed = check_count("batch_size", batch_size), seed
        self.world_size = check_count("world_size", world_size)
        self.rank = check_count("rank", rank, low=0, high=world_size - 1)
        self.device = torch.device(device)
        if batch_size % world_size:
            raise InputError(
                f"batch_size is {batch_size} for {world_size} processes, expected a multiple: change one of the two"
            )
        self._block_rows = rows_in(dataset, "action_block", self.action_block)
        ids = check_ids("episodes", episodes, dataset.n_episodes)
        self.scaler = scaler or ActionScaler.from_dataset(dataset, ids)
        self._first_rows = window_starts(dataset, ids, n_frames * action_block)
        if self.n_windows < batch_size:
            raise InputError(
                f"{len(ids)} episodes have {self.n_windows} windows of {n_frames * action_block} steps, expected at least "
                f"one batch of {batch_size}: lower batch_size or collect more or longer episodes"
            )
        scaled = self.scaler.normalize(raw_actions(dataset).astype(np.float32)).reshape(len(dataset.pixels), -1)
        self._actions = np.nan_to_num(scaled, nan=0.0)
        pictures: Any = dataset.pixels
        self._drawn = pictures.to(self.device) if isinstance(pictures, DrawnPictures) else None
        self._distinct = distinct
        hold = resident and self._drawn is None
        self._pixels = torch.from_numpy(np.array(pictures)).to(self.device) if hold else None
        self._epoch, self._cursor = 0, 0
        self._order: tuple[int, Ids] | None = None

    @property
    def n_windows(self) -> int:
        """Number of windows in all episodes drawn from."""
        return len(self._first_rows)

    @property
    def steps_per_epoch(self) -> int:
        """Batches in an epoch."""
        return self.n_windows // self.batch_size

    @property
    def epoch(self) -> int:
        """Number of the epoch that the next batch belongs to."""
        return self._epoch + (self._cursor >= self.steps_per_epoch)

    def next_starts(self) -> Ids:
        """First rows of this rank's share of the next batch; moves the cursor on."""
        if self._cursor >= self.steps_per_epoch:
            self._epoch, self._cursor = self._epoch + 1, 0
        if self._order is None or self._order[0] != self._epoch:
            self._order = (self._epoch, np.random.default_rng([self.seed, self._epoch]).permutation(self.n_windows))
        share = self.batch_size // self.world_size
        begin = self._cursor * self.batch_size + self.rank * share
        self._cursor += 1
        return self._first_rows[self._order[1][begin : begin + share]]

    def gather(self, starts: NDArray[Any]) -> tuple[UInt8[Tensor, "B T H W 3"], Float[Tensor, "B T A"]]:
        """Clips that begin at the given rows: frames uint8 (B, T, H, W, 3), blocks float32 (B, T, action_block * A)."""
        rows = np.asarray(starts)[:, None] + np.arange(self.n_frames * self._block_rows)
        frame_rows = rows[:, :: self._block_rows]
        blocks = self._actions[rows].reshape(len(rows), self.n_frames, -1)
        frames: Any
        if self._drawn is not None and self._distinct:
            frames = self._drawn.repeated(torch.from_numpy(frame_rows))
        elif self._drawn is not None:
            frames = self._drawn.draw(torch.from_numpy(frame_rows))
        elif self._pixels is not None:
            # index_select copies whole rows; indexing with a tensor moves single bytes.
            chosen = torch.from_numpy(frame_rows.reshape(-1)).to(self.device)
            frames = self._pixels.index_select(0, chosen).unflatten(0, frame_rows.shape)
        else:
            frames = torch.from_numpy(self.dataset.pixels[frame_rows]).to(self.device)
        return frames, torch.from_numpy(blocks).to(self.device)

    def batch(self) -> tuple[UInt8[Tensor, "B T H W 3"], Float[Tensor, "B T A"]]:
        """The next batch, see :meth:`gather`."""
        return self.gather(self.next_starts())

    def state_dict(self) -> dict[str, int]:
        """The cursor and what it counts, for a checkpoint."""
        return {
            "epoch": self._epoch,
            "cursor": self._cursor,
            "seed": self.seed,
            "batch_size": self.batch_size,
            "n_windows": self.n_windows,
        }

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on where another sampler of the same windows was.

        Raises
        ------
        InputError
            The state counts other windows, another batch size or another seed.
        """
        own = self.state_dict()
        for name in ("seed", "batch_size", "n_windows"):
            if state[name] != own[name]:
                raise InputError(
                    f"the sampler's saved {name} is {state[name]}, expected {own[name]}: resume with the data and "
                    "settings of the saved run, or start a new one"
                )
        self._epoch, self._cursor = int(state["epoch"]), int(state["cursor"])


def window_starts(dataset: Dataset, episodes: ArrayLike, span: int) -> Ids:
    """Rows at which a window can begin: ``span`` raw steps of their episode follow, they included.

    Parameters
    ----------
    dataset : EpisodeDataset
        Lengths and offsets of its episodes, and the raw steps between two rows, are read.
    episodes : sequence of int
        Ids.
    span : int
        Raw steps of a window, of which an episode of n rows has (n - 1) row_steps + 1.

    Returns
    -------
    integer array (n,)
        Episode by episode, ascending in each.

    Notes
    -----
    O(n + episodes).

    Examples
    --------
    >>> episode = {"pixels": np.zeros((4, 2, 2, 3), np.uint8), "action": np.zeros((4, 1))}
    >>> window_starts(EpisodeDataset.from_episodes([episode] * 3), [0, 2], span=3)
    array([0, 1, 8, 9])

    Rows two raw steps apart: four rows are seven raw steps, of which a window takes four from row 8 or 9 on.

    >>> window_starts(EpisodeDataset.from_episodes([{**episode, "action": np.zeros((4, 2))}] * 3, row_steps=2), [2], span=4)
    array([8, 9])
    """
    ids, apart = np.asarray(episodes), dataset.row_steps
    counts = np.maximum(0, ((dataset.ep_len[ids] - 1) * apart + 1 - span) // apart + 1)
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.repeat(dataset.ep_offset[ids], counts) + within
