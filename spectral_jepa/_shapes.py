"""Shapes of arrays in signatures: ``Float[Tensor, "E S H A"]`` is a floating-point tensor of four axes named so.

One letter means one length within a call. Nothing is checked when the library runs, and nothing is imported for it:
annotations are text. The tests check them, with jaxtyping and beartype (``tests/conftest.py``).
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING or "jaxtyping" in sys.modules:
    from jaxtyping import Bool, Float, Int, UInt8
else:

    class _Plain:
        """The array type itself, without its shape."""

        def __class_getitem__(cls, item: tuple[Any, str]) -> Any:
            return item[0]

    Bool = Float = Int = UInt8 = _Plain

__all__ = ["Bool", "Float", "Int", "UInt8"]
