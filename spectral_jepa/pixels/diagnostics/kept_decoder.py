"""The diagnostic decoder of a run, kept in its folder: what draws predicted latents where there are no data."""

from __future__ import annotations

from pathlib import Path

from spectral_jepa._files import file_digest
from spectral_jepa._validation import InputError
from spectral_jepa.pixels.diagnostics.decoder import Decoder
from spectral_jepa.training import load_weights, save_weights
from spectral_jepa.training.weights import WEIGHTS

FOLDER = "decoder"


def keep_decoder(decoder: Decoder, folder: str | Path) -> None:
    """Write a decoder into the folder of the run whose latents it draws.

    Parameters
    ----------
    decoder : Decoder
        As :func:`spectral_jepa.pixels.diagnostics.decoder.fit_decoder` gives it.
    folder : str or Path
        Of the run.

    Examples
    --------
    See :func:`kept_decoder`.
    """
    shape = {
        "embedding_dim": len(decoder.shift),
        "image_size": len(decoder.mean_picture),
        "width": decoder.input.out_features,
        "depth": len(decoder.layers),
    }
    save_weights(decoder, Path(folder) / FOLDER, {"decoder": shape, "of": file_digest(Path(folder) / WEIGHTS)})


def kept_decoder(folder: str | Path) -> Decoder | None:
    """The decoder that :func:`keep_decoder` left with a run.

    Parameters
    ----------
    folder : str or Path
        Of the run.

    Returns
    -------
    Decoder or None
        In evaluation mode; None where there is none, or one of other weights than the run now holds.

    Raises
    ------
    InputError
        A damaged file.

    Examples
    --------
    >>> import tempfile
    >>> from torch import nn
    >>> folder = tempfile.mkdtemp()
    >>> save_weights(nn.Linear(2, 1), folder, {})
    >>> kept_decoder(folder) is None
    True
    >>> keep_decoder(Decoder(16, 8, width=8), folder)
    >>> kept_decoder(folder).side
    8
    """
    own = Path(folder) / FOLDER
    if not (own / WEIGHTS).is_file():
        return None
    state, saved = load_weights(own)
    if saved.get("of") != file_digest(Path(folder) / WEIGHTS):
        return None
    try:
        decoder = Decoder(**saved["decoder"])
        decoder.load_state_dict(state)
    except (KeyError, TypeError, RuntimeError):
        raise InputError(
            f"{own} does not hold the decoder that its config.json describes, expected that of pixels report: run it again"
        ) from None
    return decoder.eval()
