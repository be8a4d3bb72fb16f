"""The weights of a finished model: safetensors, the configuration beside them, and a digest of both."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
from torch import Tensor, nn

from spectral_jepa._files import DIGESTS, read_json, read_sums, write_atomic, write_sums
from spectral_jepa._validation import InputError

WEIGHTS, CONFIG = "weights.safetensors", "config.json"


def save_weights(model: nn.Module, folder: Path | str, config: Mapping[str, Any]) -> None:
    """Write ``weights.safetensors``, ``config.json`` and ``SHA256SUMS`` (which ``sha256sum -c`` reads) into a folder.

    Parameters
    ----------
    model : nn.Module
        Its parameters and buffers are written, on whatever device they are.
    folder : Path
        Made if it is not there.
    config : dict
        In JSON types.

    Notes
    -----
    The digests are written last, each file at once: a kill leaves the old folder, the new one, or one that
    :func:`load_weights` refuses.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> save_weights(nn.Linear(2, 1), folder, {"dim": 2})
    >>> state, config = load_weights(folder)
    >>> sorted(state), config
    (['bias', 'weight'], {'dim': 2})
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    # Own copies in standard order: safetensors refuses shared memory and channels-last strides.
    tensors = {name: value.detach().cpu().clone().contiguous() for name, value in model.state_dict().items()}
    contents = {WEIGHTS: safetensors.torch.save(tensors), CONFIG: json.dumps(config, indent=2).encode() + b"\n"}
    for name, content in contents.items():
        write_atomic(folder / name, content)
    write_sums(folder, {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()})


def load_weights(folder: Path | str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what :func:`save_weights` wrote, after checking every byte of it.

    Parameters
    ----------
    folder : Path

    Returns
    -------
    state : dict of Tensor
        On the CPU, for ``load_state_dict``.
    config : dict
        As it was given, in JSON types.

    Raises
    ------
    InputError
        A file that is not there or does not match its digest.

    Notes
    -----
    O(size of the files).

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> model = nn.Linear(2, 1)
    >>> save_weights(model, folder, {"dim": 2})
    >>> state, config = load_weights(folder)
    >>> bool((state["weight"] == model.weight).all()), config
    (True, {'dim': 2})
    >>> _ = (folder / "config.json").write_text("{}")
    >>> load_weights(folder)
    Traceback (most recent call last):
    spectral_jepa._validation.InputError: ...config.json does not match its digest in SHA256SUMS, expected the file as it ...
    """
    folder = Path(folder)
    contents = {name: _read(folder, name) for name in (WEIGHTS, CONFIG)}
    _read(folder, DIGESTS)
    digests = read_sums(folder)
    for name, content in contents.items():
        if digests.get(name) != hashlib.sha256(content).hexdigest():
            raise InputError(
                f"{folder / name} does not match its digest in {DIGESTS}, expected the file as it was saved: "
                "restore a copy, or train again from the checkpoints"
            )
    return safetensors.torch.load(contents[WEIGHTS]), read_json(folder / CONFIG, (), "train again from the checkpoints")


def _read(folder: Path, name: str) -> bytes:
    try:
        return (folder / name).read_bytes()
    except FileNotFoundError:
        raise InputError(
            f"{folder} has no {name}, expected the folder of a finished training run: train first, or check the path"
        ) from None
