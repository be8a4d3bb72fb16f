"""Worlds seen as pictures behind one Gymnasium interface; those of LeWorldModel (arXiv 2603.19312) are built in.

A further one is a subclass of :class:`~spectral_jepa.pixels.environments.base.PixelEnvironment` in any module, named
``module:Class`` wherever an environment is asked for.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from importlib import import_module

from spectral_jepa._validation import InputError, first_line, nearest
from spectral_jepa.pixels.environments.base import PixelEnvironment
from spectral_jepa.pixels.environments.mdp_names import is_rendered, rendered_class

BUILT_IN = {
    "two_room": "spectral_jepa.pixels.environments.two_room:TwoRoomEnvironment",
    "push_t": "spectral_jepa.pixels.environments.push_t:PushTEnvironment",
    "reacher": "spectral_jepa.pixels.environments.reacher:ReacherEnvironment",
    "cube": "spectral_jepa.pixels.environments.cube:CubeEnvironment",
}


def environment_class(name: str) -> type[PixelEnvironment]:
    """Find an environment's class, which knows its dimensions, data and settings without any simulator.

    Parameters
    ----------
    name : str
        A built-in one, a drawn world such as ``mdp_torus``
        (:func:`spectral_jepa.pixels.environments.mdp_names.rendered_class`), or ``module:Class``.

    Returns
    -------
    type
        A subclass of :class:`~spectral_jepa.pixels.environments.base.PixelEnvironment`.

    Raises
    ------
    InputError
        An unknown name, a module that cannot be imported, a class that is no environment.

    Examples
    --------
    >>> environment_class("reacher").state_dim
    4
    >>> environment_class("spectral_jepa.pixels.environments.cube:CubeEnvironment").action_dim
    5
    """
    if is_rendered(name):
        return rendered_class(name)
    module_name, _, class_name = BUILT_IN.get(name, name).partition(":")
    if not class_name:
        raise InputError(
            f"environment is {name!r}, expected one of {', '.join(map(repr, BUILT_IN))} or 'module:Class', or a drawn "
            f"world such as 'mdp_torus'{nearest(name, BUILT_IN)}: choose one"
        )
    try:
        with _packages(name, module_name):
            found = getattr(import_module(module_name), class_name, None)
    except InputError:
        raise
    except Exception as error:
        raise InputError(
            f"environment {name!r} cannot be imported ({first_line(error)}), expected 'module:Class' of an importable "
            "module: check the name, or run in the module's folder"
        ) from error
    if not (isinstance(found, type) and issubclass(found, PixelEnvironment)):
        raise InputError(
            f"environment {name!r} is {found!r}, expected a subclass of spectral_jepa.pixels.environments.base."
            "PixelEnvironment: check the name of the class"
        )
    return found


def make_environment(name: str, image_size: int) -> PixelEnvironment:
    """Build one of the pixel environments.

    Parameters
    ----------
    name : str
        A built-in one, or ``module:Class``; see :func:`environment_class`.
    image_size : int
        Height and width of the pictures.

    Returns
    -------
    PixelEnvironment

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
    chosen = environment_class(name)
    with _packages(name, chosen.__module__):
        return chosen(image_size)


@contextmanager
def _packages(name: str, module_name: str) -> Generator[None]:
    """One sentence where a package is missing that the environment's module imports."""
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package in ("", "spectral_jepa", module_name.partition(".")[0]):
            raise
        raise InputError(
            f"environment {name!r} needs the package {error.name!r}, which is not installed: "
            "run pip install 'spectral-jepa[pixels]'"
        ) from None
