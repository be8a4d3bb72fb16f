"""Drawn worlds by name: ``mdp_torus``, ``mdp_four_rooms,size=9,nuisance=markov,values=6``."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from spectral_jepa._validation import InputError, nearest
from spectral_jepa.generators import make_four_rooms, make_grid, make_reset, make_ring, make_torus
from spectral_jepa.generators.products import with_random_reward
from spectral_jepa.mdp import TabularMDP
from spectral_jepa.pixels.environments.mdp_pictures import Nuisance
from spectral_jepa.pixels.environments.rendered_mdp import RenderedMDP
from spectral_jepa.pixels.fields import read_field

PREFIX = "mdp_"
# Two-Room in cells: a wall with one door.
TWO_ROOMS = "....#....+....#....+....#....+.........+....#....+....#....+....#...."


def _map(rows: str, slip: float) -> TabularMDP:
    return _paid(make_grid(rows.replace("+", "\n"), slip))


def _paid(mdp: TabularMDP) -> TabularMDP:
    """With a reward to plan for, where the world comes without."""
    return mdp if mdp.reward is not None else with_random_reward(mdp, seed=7, n_rewarded=max(1, mdp.n_states // 8))


# Name -> (maker, defaults of what may be set). A world without a reward gets a random one.
# Slips are such that spectra fall slowly but visibly.
WORLDS: dict[str, tuple[Callable[..., TabularMDP], dict[str, Any]]] = {
    "torus": (lambda size, slip: _paid(make_torus(size, slip)), {"size": 5, "slip": 0.5}),
    "four_rooms": (lambda size, slip: make_four_rooms(size, slip), {"size": 7, "slip": 0.3}),
    "two_rooms": (lambda slip: _map(TWO_ROOMS, slip), {"slip": 0.3}),
    "ring": (lambda size, slip: _paid(make_ring(size, slip)), {"size": 12, "slip": 0.5}),
    "map": (_map, {"rows": "S...+.#..+.#.G", "slip": 0.3}),
    "reset": (lambda size, slip: _paid(make_reset(size, slip)), {"size": 6, "slip": 0.3}),
}
NUISANCE = {"nuisance": "none", "values": 4, "persistence": 0.9, "loudness": 0.5, "look": "flicker"}


def is_rendered(name: str) -> bool:
    """Whether a name is that of a drawn world.

    Parameters
    ----------
    name : str

    Returns
    -------
    bool

    Examples
    --------
    >>> is_rendered("mdp_torus,slip=0.2"), is_rendered("two_room")
    (True, False)
    """
    return name.startswith(PREFIX)


def rendered_class(name: str) -> type[RenderedMDP]:
    """The environment of a name.

    Parameters
    ----------
    name : str
        ``mdp_WORLD``, or ``mdp_WORLD,SETTING=VALUE,...``. Worlds: torus, four_rooms, two_rooms, ring, map, reset.
        Settings: ``size`` (side of torus and four rooms, states of ring and reset), ``slip`` (the noise of reset), ``rows``
        of a map (as :func:`spectral_jepa.make_grid` has them, + between rows), ``nuisance`` (none, iid, markov, frozen,
        moving) with its ``values``, ``persistence``, ``loudness`` and ``look``
        (:class:`spectral_jepa.pixels.environments.mdp_pictures.Nuisance`).

    Returns
    -------
    type
        The same class for the same settings, whatever their order; its ``name`` leaves out the defaults.

    Raises
    ------
    InputError
        An unknown world or setting, a value out of range, a setting of the background where there is none.

    Examples
    --------
    >>> torus = rendered_class("mdp_torus,slip=0.2,size=5")
    >>> torus.name, torus.world.n_states, torus.action_dim
    ('mdp_torus,slip=0.2', 25, 4)
    >>> rendered_class("mdp_ring,nuisance=markov,persistence=0.5").world
    TabularMDP('ring x 4 markov values', 48 states, 3 actions, dense)
    """
    kind, *parts = name.removeprefix(PREFIX).split(",")
    if kind not in WORLDS:
        listed = ", ".join(repr(PREFIX + world) for world in WORLDS)
        raise InputError(f"environment is {name!r}, expected one of {listed}{nearest(kind, WORLDS)}: choose one")
    defaults = WORLDS[kind][1] | NUISANCE
    given: dict[str, Any] = {}
    for part in parts:
        key, _, text = part.partition("=")
        if key not in defaults:
            raise InputError(
                f"environment {name!r} sets {key!r}, expected one of {', '.join(defaults)}{nearest(key, defaults)}: such as "
                f"{PREFIX}{kind},slip=0.2"
            )
        if key in given:
            raise InputError(f"environment {name!r} sets {key!r} twice, expected each setting once: remove one")
        given[key] = read_field(key, text, type(defaults[key]))
    if given.get("nuisance", "none") == "none" and (unread := sorted(set(given) & set(NUISANCE) - {"nuisance"})):
        raise InputError(
            f"environment {name!r} sets {unread[0]!r} of a background that is not there, expected nuisance=iid, markov, "
            "frozen or moving beside it: add it"
        )
    values = tuple((key, given.get(key, default)) for key, default in defaults.items())
    return _make(kind, values)


@cache
def _make(kind: str, values: tuple[tuple[str, Any], ...]) -> type[RenderedMDP]:
    maker, defaults = WORLDS[kind]
    settings = dict(values)
    usual = defaults | NUISANCE
    changed = [f"{key}={value}" for key, value in values if value != usual[key]]
    look = {key: settings[key] for key in NUISANCE if key != "nuisance"}
    background = None if settings["nuisance"] == "none" else Nuisance(settings["nuisance"], **look)
    parts = {
        "__doc__": f"The drawn world {kind}.",
        "__module__": __name__,
        "name": ",".join([PREFIX + kind, *changed]),
        "task": maker(**{key: settings[key] for key in defaults}),
        "nuisance": background,
        "__reduce__": lambda self: (_again, (self.name, self.image_size)),
    }
    return type("".join(word.title() for word in kind.split("_")), (RenderedMDP,), parts)


def _again(name: str, image_size: int) -> RenderedMDP:
    """An environment from its name: what pickle stores of it, since a made class cannot be imported."""
    return rendered_class(name)(image_size)
