"""Parts of SciPy that are loaded when they are first used: they are half of what ``import spectral_jepa`` would take."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import scipy.linalg as linalg
    import scipy.sparse as sparse
    import scipy.sparse.linalg as sparse_linalg
else:

    class _Late:
        """Stands for a module until something of it is asked for."""

        def __init__(self, name: str) -> None:
            self._name = name

        def __getattr__(self, name: str) -> Any:
            if name.startswith("__"):  # what pickle, copy and doctest look for is no reason to load it
                raise AttributeError(name)
            found = getattr(import_module(self._name), name)
            setattr(self, name, found)
            return found

    linalg, sparse, sparse_linalg = (_Late(f"scipy.{name}") for name in ("linalg", "sparse", "sparse.linalg"))

__all__ = ["linalg", "sparse", "sparse_linalg"]
