"""What Reacher and Cube share: importing MuJoCo where there may be no OpenGL, and drawing with it."""

from __future__ import annotations

import atexit
import ctypes
import os
import sys
import weakref
from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import numpy as np

from spectral_jepa._validation import Array, InputError
from spectral_jepa.pixels.environments.base import Picture

_without_egl = False


def recorded_parts(columns: Mapping[str, Any], widths: tuple[int, int]) -> tuple[Array, Array] | None:
    """``qpos`` and ``qvel`` of a published file as float64, where both are there in these widths."""
    parts = columns.get("qpos"), columns.get("qvel")
    if any(part is None or part.shape[1:] != (width,) for part, width in zip(parts, widths, strict=True)):
        return None
    return np.asarray(parts[0], dtype=np.float64), np.asarray(parts[1], dtype=np.float64)


def require(*packages: str) -> None:
    """Raise ModuleNotFoundError for a package that is not installed, without importing those that are."""
    for package in packages:
        if find_spec(package) is None:
            raise ModuleNotFoundError(f"No module named {package!r}", name=package)


def simulator(name: str) -> ModuleType:
    """Import a module that imports MuJoCo.

    MuJoCo reads MUJOCO_GL when it is imported. On Linux its default wants a screen, so EGL is chosen where the variable is
    not set and the library exists; without it the physics still run and only pictures fail.

    Raises
    ------
    InputError
        If OpenGL cannot be loaded as MUJOCO_GL says.
    """
    global _without_egl
    if sys.platform.startswith("linux") and "MUJOCO_GL" not in os.environ:
        try:
            ctypes.CDLL("libEGL.so.1")
            os.environ["MUJOCO_GL"] = "egl"
        except OSError:
            os.environ["MUJOCO_GL"] = "disable"
            _without_egl = True
    try:
        return import_module(name)
    except ModuleNotFoundError:
        raise
    except Exception as error:
        # Each backend fails in its own way: AttributeError, ImportError, RuntimeError, OSError.
        raise _no_picture(error) from error


def _no_picture(error: Exception) -> InputError:
    chosen = os.environ.get("MUJOCO_GL")
    detail = "libEGL.so.1 was not found" if _without_egl else " ".join(str(error).split()) or type(error).__name__
    return InputError(
        f"MuJoCo cannot draw with MUJOCO_GL={chosen!r} ({detail}), expected a working OpenGL: install one (Debian, Ubuntu: "
        "apt-get install libegl1 libgl1-mesa-dri), or set MUJOCO_GL to egl, osmesa or glfw before Python starts"
    )


class Drawing:
    """Pictures of a MuJoCo model through one camera, without multisampling, shadows and reflections.

    These three cost most of the time of software drawing. The OpenGL context is made at the first picture and anew in each
    process, so that a drawing may be pickled and used in workers.
    """

    def __init__(self, model: Any, image_size: int, camera: str) -> None:
        self._model, self._size, self._camera = model, image_size, camera
        self._renderer: Any = None
        self._process = 0
        self._finalizer: weakref.finalize | None = None

    def _start(self) -> None:
        mujoco = simulator("mujoco")
        settings = self._model.vis
        settings.quality.offsamples = 0
        settings.global_.offwidth = max(settings.global_.offwidth, self._size)
        settings.global_.offheight = max(settings.global_.offheight, self._size)
        try:
            renderer = mujoco.Renderer(self._model, self._size, self._size)
        except Exception as error:
            raise _no_picture(error) from error
        for flag in (mujoco.mjtRndFlag.mjRND_SHADOW, mujoco.mjtRndFlag.mjRND_REFLECTION):
            renderer.scene.flags[flag] = False
        self._renderer, self._process = renderer, os.getpid()
        # MuJoCo ends EGL when Python exits, and a context that still lives then would print a traceback. The last function
        # registered runs first; the finalizer's own registration may be too early.
        self._finalizer = weakref.finalize(self, renderer.close)
        self._finalizer.atexit = False
        atexit.register(self._finalizer)

    def __call__(self, data: Any) -> Picture:
        if self._renderer is None or self._process != os.getpid():
            self._start()
        self._renderer.update_scene(data, self._camera)
        return np.array(self._renderer.render(), dtype=np.uint8)

    def close(self) -> None:
        """Release the OpenGL context."""
        if self._finalizer is not None and self._process == os.getpid():
            self._finalizer()
        self._renderer = self._finalizer = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_renderer": None, "_finalizer": None}
