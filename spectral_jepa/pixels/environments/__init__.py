"""The four pixel environments of LeWorldModel (arXiv 2603.19312) behind one Gymnasium interface."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from spectral_jepa._validation import InputError, check_choice
from spectral_jepa.pixels.config import ENVIRONMENTS

if TYPE_CHECKING:
    from spectral_jepa.pixels.environments.base import PixelEnvironment

# A module here is imported when its environment is asked for, because three of the four need a simulator.
_CLASSES = {
    "two_room": "TwoRoomEnvironment",
    "push_t": "PushTEnvironment",
    "reacher": "ReacherEnvironment",
    "cube": "CubeEnvironment",
}


def make_environment(name: str, image_size: int) -> PixelEnvironment:
    """Build one of the pixel environments.

    Parameters
    ----------
    name : {"two_room", "push_t", "reacher", "cube"}
    image_size : int
        Height and width of the pictures.

    Raises
    ------
    InputError
        An unknown name, or a simulator that is not installed.

    Examples
    --------
    >>> environment = make_environment("two_room", image_size=64)
    >>> state, quantities = environment.reset(seed=0)
    >>> environment.render().shape, environment.action_dim, sorted(quantities)
    ((64, 64, 3), 2, ['agent_position'])
    """
    check_choice("environment", name, ENVIRONMENTS)
    try:
        module = import_module(f"spectral_jepa.pixels.environments.{name}")
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("spectral_jepa"):
            raise
        raise InputError(
            f"environment {name!r} needs the package {error.name!r}, which is not installed: "
            "run pip install 'spectral-jepa[pixels]'"
        ) from None
    environment: PixelEnvironment = getattr(module, _CLASSES[name])(image_size)
    return environment
