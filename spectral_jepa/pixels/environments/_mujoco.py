"""What Reacher and Cube share: importing MuJoCo where there may be no OpenGL, and drawing with it, of coarser meshes too."""

from __future__ import annotations

import atexit
import copy
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


def coarse_meshes(model: Any, cell: float) -> Any:
    """A copy of a compiled model whose meshes are clustered on a grid: as many faces as a small picture can show.

    Parameters
    ----------
    model : MjModel
        Left as it is.
    cell : float
        Side of the grid's cells, in units of the meshes (m).

    Returns
    -------
    MjModel
        For drawing only, because collisions and inertia were compiled from the whole meshes. All vertices of a mesh in one
        cell are put at their mean; faces that become lines, points or copies of another are left out. A mesh that would
        lose all its faces keeps them.

    Notes
    -----
    O(V log V) for V vertices. Vertex clustering: Rossignac and Borrel, 1993.

    Examples
    --------
    A strip of 20 triangles, a metre long and a metre wide, and a third corner for its ends to lean on.

    >>> mujoco = simulator("mujoco")
    >>> corners = [(i / 10, j, 0) for i in range(11) for j in (0, 1)] + [(0.5, 0.5, 1)]
    >>> faces = [(i, i + 1, i + 2) for i in range(20)] + [(0, 1, 22)]
    >>> vertex, face = (" ".join(str(x) for row in rows for x in row) for rows in (corners, faces))
    >>> mesh = f'<mesh name="strip" inertia="shell" vertex="{vertex}" face="{face}"/>'
    >>> body = '<worldbody><geom type="mesh" mesh="strip"/></worldbody>'
    >>> model = mujoco.MjModel.from_xml_string(f"<mujoco><asset>{mesh}</asset>{body}</mujoco>")
    >>> [int(coarse_meshes(model, cell).mesh_facenum[0]) for cell in (0.01, 0.25)], int(model.mesh_facenum[0])
    ([21, 11], 21)
    """
    coarse = copy.copy(model)
    for mesh in range(coarse.nmesh):
        vertices = coarse.mesh_vert[coarse.mesh_vertadr[mesh] :][: coarse.mesh_vertnum[mesh]]
        first, number = int(coarse.mesh_faceadr[mesh]), int(coarse.mesh_facenum[mesh])
        cells = [np.unique(np.floor(axis / cell), return_inverse=True)[1] for axis in vertices.T]
        cluster = np.unique(_numbered(*cells), return_inverse=True)[1]
        corners = np.sort(cluster[coarse.mesh_face[first : first + number]], axis=1)
        flat = (corners[:, 0] == corners[:, 1]) | (corners[:, 1] == corners[:, 2])
        _, kept = np.unique(_numbered(*corners[~flat].T), return_index=True)
        if not kept.size:
            continue
        kept = np.flatnonzero(~flat)[np.sort(kept)]
        for values in (coarse.mesh_face, coarse.mesh_facenormal, coarse.mesh_facetexcoord):
            if len(values):  # a model without textures has no coordinates in them
                values[first : first + kept.size] = values[first : first + number][kept]
        coarse.mesh_facenum[mesh] = kept.size
        size = np.bincount(cluster)
        vertices[:] = np.stack([np.bincount(cluster, axis) / size for axis in vertices.T], axis=1)[cluster]
    return coarse


def _numbered(*columns: Any) -> Any:
    """One number for each row of small whole numbers; far faster to sort than rows."""
    number = np.zeros(len(columns[0]), dtype=np.int64)
    for column in columns:
        number = number * (int(column.max(initial=0)) + 1) + column
    return number


class Drawing:
    """Pictures of a MuJoCo model through one camera, without multisampling, shadows and reflections.

    These three cost most of the time of software drawing. The OpenGL context is made at the first picture and anew in each
    process, so that a drawing may be pickled and used in workers.

    Parameters
    ----------
    model : MjModel
        Its colours may change from picture to picture.
    image_size : int
        Height and width.
    camera : str
    mesh_cell : float
        Draw :func:`coarse_meshes` with this cell; 0: the meshes themselves. Physics never see it.
    """

    def __init__(self, model: Any, image_size: int, camera: str, mesh_cell: float = 0.0) -> None:
        self._model, self._size, self._camera, self._mesh_cell = model, image_size, camera, mesh_cell
        self._shown = model
        self._renderer: Any = None
        self._process = 0
        self._finalizer: weakref.finalize | None = None

    def _start(self) -> None:
        mujoco = simulator("mujoco")
        if self._mesh_cell and self._shown is self._model:
            self._shown = coarse_meshes(self._model, self._mesh_cell)
        settings = self._shown.vis
        settings.quality.offsamples = 0
        settings.global_.offwidth = max(settings.global_.offwidth, self._size)
        settings.global_.offheight = max(settings.global_.offheight, self._size)
        try:
            renderer = mujoco.Renderer(self._shown, self._size, self._size)
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
        if self._shown is not self._model:
            for name in ("geom_rgba", "mat_rgba", "site_rgba"):
                getattr(self._shown, name)[:] = getattr(self._model, name)
        self._renderer.update_scene(data, self._camera)
        return np.array(self._renderer.render(), dtype=np.uint8)

    def close(self) -> None:
        """Release the OpenGL context."""
        if self._finalizer is not None and self._process == os.getpid():
            self._finalizer()
        self._renderer = self._finalizer = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_renderer": None, "_finalizer": None}
