"""Imported first by every room that trains: without torch it says so in one sentence, and what to do."""

from __future__ import annotations

from spectral_jepa._validation import needs_package

with needs_package("training"):
    import torch  # noqa: F401
