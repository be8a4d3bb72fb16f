"""The pictures of the six lessons: each takes what a lesson computed and returns a figure."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from spectral_jepa.classroom.broken_theorem import BrokenPromise
from spectral_jepa.classroom.collapse import DIM, FOUND, Encoder, singular_values
from spectral_jepa.classroom.dream import BROKEN_AT, Film
from spectral_jepa.classroom.latent_or_input import PERSISTENCES, SCALES, Contest, phase_map
from spectral_jepa.classroom.room_map import RoomMap
from spectral_jepa.classroom.u_curve import DIMS, UCurve
from spectral_jepa.plotting.style import COLORS, dimension_axis, new_figure, styled

# Which model still plans well, in the map of lesson 5: neither, input alone, latent alone, both.
WINNERS = ("#bbbbbb", "#E69F00", "#56B4E9", "#ffffff")


@styled
def draw_u(curve: UCurve, dim: int) -> Figure:
    """Error and regret against the latent dimension, with a dot at the chosen one.

    Parameters
    ----------
    curve : UCurve
    dim : int
        One of its dimensions.

    Returns
    -------
    matplotlib Figure

    Examples
    --------
    >>> from spectral_jepa.classroom.u_curve import u_curve
    >>> figure = draw_u(u_curve(3_000, 5), 4)
    >>> [axis.get_ylabel() for axis in figure.axes]
    ['pretraining error', 'regret / that of drawing lots']
    """
    figure, axes = new_figure(1, 2, width=3.7, height=3.0)
    _, risk, regret = curve.at(dim)
    left, right = axes[0]
    left.plot(DIMS, np.maximum(curve.tail, 1e-3), "--", color=COLORS["exact"], label="tail: infinite data")
    left.plot(DIMS, curve.risk, color=COLORS["measured"], label=f"fitted to N = {curve.n_samples:,}")
    left.plot([dim], [risk], "o", color=COLORS["printed"], markersize=9)
    left.axvline(curve.best_dim, color=COLORS["tight"], linewidth=0.9, linestyle=":", label=f"least at k = {curve.best_dim}")
    left.set_yscale("log")
    left.set_ylim(5e-3, 30)
    left.set_ylabel("pretraining error")
    left.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
    right.plot(DIMS, curve.regret, color=COLORS["measured"])
    right.plot([dim], [regret], "o", color=COLORS["printed"], markersize=9)
    right.set_ylim(0, 1.1)
    right.set_ylabel("regret / that of drawing lots")
    for axis in (left, right):
        dimension_axis(axis, DIMS)
    return figure


@styled
def draw_broken(broken: BrokenPromise) -> Figure:
    """For each goal the arrow that was chosen, and the promise beside the regret.

    Parameters
    ----------
    broken : BrokenPromise

    Returns
    -------
    matplotlib Figure

    Examples
    --------
    >>> from spectral_jepa.classroom.broken_theorem import break_theorem
    >>> len(draw_broken(break_theorem()).axes)
    2
    """
    figure, axes = new_figure(1, 2, width=3.7, height=3.0)
    left, right = axes[0]
    for goal, action in enumerate(broken.chosen):
        colour = COLORS["tight"] if action == goal else COLORS["printed"]
        left.annotate("", (1, 3 - action), (0, 3 - goal), arrowprops={"arrowstyle": "-|>", "color": colour, "lw": 2})
        left.text(-0.1, 3 - goal, f"goal {goal}", ha="right", va="center")
        left.text(1.06, 3 - goal, f"state {goal}", ha="left", va="center")
    left.set_xlim(-0.5, 1.5)
    left.set_ylim(-0.5, 3.5)
    left.axis("off")
    left.set_title("wanted, and where the chosen action leads")
    bars = {"promised": broken.promised, "regret": broken.regret}
    if np.isfinite(broken.corrected):
        bars["corrected\nbound"] = broken.corrected
    colours = [COLORS["loose"], COLORS["measured"], COLORS["tight"]][: len(bars)]
    drawn = right.bar(list(bars), list(bars.values()), color=colours)
    right.bar_label(drawn, [f"{value:.4f}" for value in bars.values()])
    right.set_ylim(0, 1.05)
    right.set_ylabel("probability lost")
    return figure


@styled
def draw_encoder(encoder: Encoder, title: str = "") -> Figure:
    """Latents of the 16 states, and the eigenvalues of their second moment.

    Parameters
    ----------
    encoder : Encoder
    title : str
        Over the left panel.

    Returns
    -------
    matplotlib Figure

    Examples
    --------
    >>> from spectral_jepa.classroom.collapse import encoder_at
    >>> len(draw_encoder(encoder_at("none", 0.0, 100)).axes[1].patches)
    6
    """
    figure, axes = new_figure(1, 2, width=3.7, height=3.0)
    left, right = axes[0]
    left.plot(*encoder.plane.T, color="0.8", linewidth=0.8)
    left.scatter(*encoder.plane.T, c=np.arange(len(encoder.plane)), cmap="viridis", s=30, zorder=3)
    left.set_xlim(-3.2, 3.2)
    left.set_ylim(-3.2, 3.2)
    left.set_title(title or "latents of the 16 states")
    left.set_xlabel("two directions of latent space; rare states lie outside")
    place = np.arange(1, DIM + 1)
    colours = [COLORS["measured"] if value > FOUND else "0.8" for value in encoder.eigenvalues]
    right.bar(place, encoder.eigenvalues, color=colours, label="found")
    right.plot(place, singular_values() ** 2, "_", color=COLORS["exact"], markersize=16, label="$s_i^2$ of the world")
    right.set_ylim(0, 1.6)
    right.set_xlabel("direction")
    right.set_ylabel("eigenvalue of E[f f']")
    right.legend()
    return figure


@styled
def draw_rooms(drawn: RoomMap, number: int, dim: int) -> Figure:
    """One singular function on the map, and the tail with a dot at a dimension.

    Parameters
    ----------
    drawn : RoomMap
    number : int
        Which singular function, from 1.
    dim : int

    Returns
    -------
    matplotlib Figure

    Examples
    --------
    >>> from spectral_jepa.classroom.room_map import room_map
    >>> len(draw_rooms(room_map("..#.."), 2, 1).axes)
    2
    """
    figure, axes = new_figure(1, 2, width=3.7, height=3.0)
    left, right = axes[0]
    picture = drawn.picture(number)
    most = float(np.nanmax(np.abs(picture))) or 1.0
    left.imshow(np.where(drawn.walls, 0.25, np.nan), cmap="gray", vmin=0, vmax=1)
    left.imshow(picture, cmap="RdBu_r", vmin=-most, vmax=most)
    left.set_title(f"function {number}, singular value {drawn.values[number - 1]:.3f}")
    left.axis("off")
    right.plot(np.arange(len(drawn.tails)), drawn.tails, color=COLORS["measured"])
    right.plot([dim], [drawn.tails[dim]], "o", color=COLORS["printed"], markersize=9)
    right.set_xlabel("latent dimension k")
    right.set_ylabel("tail: error that infinite data leave")
    right.set_ylim(bottom=0)
    return figure


@styled
def draw_contest(found: Contest, scale: float, persistence: float, dim: int) -> Figure:
    """The map of who plans well, with a point where we are, and both regrets there.

    Parameters
    ----------
    found : Contest
    scale, persistence, dim
        Where.

    Returns
    -------
    matplotlib Figure

    Examples
    --------
    >>> from spectral_jepa.classroom.latent_or_input import contest
    >>> [axis.get_xlabel() for axis in draw_contest(contest(2.0, 0.5, 3), 2.0, 0.5, 3).axes][0]
    'predictability of the background, p'
    """
    from matplotlib.colors import ListedColormap
    from matplotlib.patches import Patch

    figure, axes = new_figure(1, 2, width=3.7, height=3.2)
    left, right = axes[0]
    latent, loud = phase_map(dim)
    fine = 0.1 * found.blind
    winner = 2 * (latent[None, :] < fine) + (loud < fine)
    edges = np.append(np.array(SCALES) / np.sqrt(2), SCALES[-1] * np.sqrt(2))
    sides = np.linspace(-0.025, 1.025, len(PERSISTENCES) + 1)
    left.pcolormesh(sides, edges, winner, cmap=ListedColormap(WINNERS), vmin=-0.5, vmax=3.5)
    left.set_yscale("log", base=2)
    left.plot([persistence], [scale], "o", color=COLORS["printed"], markersize=10, markeredgecolor="white")
    left.set_xlabel("predictability of the background, p")
    left.set_ylabel("loudness of the background, c")
    names = ("neither plans well", "input alone", "latent alone", "both")
    patches = [Patch(facecolor=colour, edgecolor="0.6", label=name) for colour, name in zip(WINNERS, names, strict=True)]
    left.legend(handles=patches, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
    drawn = right.bar(["latent", "input"], [found.latent, found.input], color=[COLORS["other"], COLORS["loose"]])
    right.bar_label(drawn, [f"{found.latent:.3f}", f"{found.input:.3f}"])
    right.axhline(found.blind, color="0.4", linestyle="--", linewidth=0.9)
    right.text(0.5, found.blind * 1.03, "a blind planner", ha="center", color="0.35", fontsize=7.5)
    right.set_ylim(0, 0.3)
    right.set_ylabel("regret")
    return figure


@styled
def draw_film(film: Film, frame: int) -> Figure:
    """A frame of the true and of the imagined film, the goal, and the surprise up to there.

    Parameters
    ----------
    film : Film
    frame : int
        0 to 10.

    Returns
    -------
    matplotlib Figure

    Examples
    --------
    >>> black = np.zeros((11, 8, 8, 3), np.uint8)
    >>> film = Film(black, black, black[0], np.zeros((11, 2)), np.ones(10), np.ones(10), 0.0)
    >>> [axis.get_title() for axis in draw_film(film, 3).axes][:3]
    ['goal', 'what happens, frame 3', 'what it imagined']
    """
    figure = Figure(figsize=(5.6, 4.6), layout="constrained")
    grid = figure.add_gridspec(2, 3, height_ratios=(1.5, 1))
    pictures = {
        "goal": film.goal,
        f"what happens, frame {frame}": film.true[frame],
        "what it imagined": film.imagined[frame],
    }
    for place, (title, picture) in enumerate(pictures.items()):
        axis = figure.add_subplot(grid[0, place])
        axis.imshow(picture)
        axis.set_title(title)
        axis.axis("off")
    trace = figure.add_subplot(grid[1, :])
    steps = np.arange(1, len(film.surprise) + 1)
    trace.plot(steps, film.expected, "--", color=COLORS["exact"], label="had nothing been changed")
    trace.plot(steps, film.surprise, color=COLORS["measured"], label="surprise")
    if frame:
        trace.plot([frame], [film.surprise[frame - 1]], "o", color=COLORS["printed"], markersize=9)
    trace.axvline(BROKEN_AT, color="0.7", linewidth=0.9, linestyle=":")
    trace.set_xticks(steps)
    trace.set_xlabel("frame")
    trace.set_ylabel("surprise")
    trace.set_ylim(bottom=0)
    trace.legend(loc="upper left")
    return figure
