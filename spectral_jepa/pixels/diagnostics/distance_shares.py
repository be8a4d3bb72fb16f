"""What a latent distance is made of: a non-negative regression on the squared differences of all physical quantities.

An arm that fills more of the picture than a cube may fill more of the latent distance, too; then a plan that puts the cube
in its place and leaves the arm elsewhere looks worse than one that does nothing.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.optimize import nnls

from spectral_jepa._shapes import Float
from spectral_jepa._validation import InputError

COLUMNS = ["quantity", "share", "r2", "n"]
# What no quantity explains and all pairs have.
CONSTANT = "(constant)"


def distance_shares(latent: ArrayLike, differences: Mapping[str, Float[np.ndarray, "N c"]]) -> pd.DataFrame:
    """Split the mean squared latent distance among physical quantities.

    Parameters
    ----------
    latent : array (N,)
        Squared latent distances of N pairs.
    differences : dict of arrays (N, c)
        By quantity: differences of its coordinates over the same pairs.

    Returns
    -------
    DataFrame
        One row a quantity and one for a constant, largest first: ``share`` of the mean squared latent distance, ``r2`` of
        the whole regression, n. A quantity that never differs has the share 0.

    Raises
    ------
    InputError
        No difference at all, another number of pairs, a mean distance of 0.

    Notes
    -----
    min_b |latent - X b|, b >= 0 (Lawson and Hanson 1974; scipy's nnls), where X holds each coordinate's squared difference,
    divided by its mean, and ones; a share is the sum of a quantity's b over the mean of latent. Where two quantities go
    together (a finger and the joints that carry it) only the sum of their shares means something. O(N C^2).

    Examples
    --------
    A distance of which the arm makes four fifths.

    >>> rng = np.random.default_rng(0)
    >>> arm, cube = rng.normal(size=(2, 500, 1))
    >>> table = distance_shares(4 * arm[:, 0]**2 + cube[:, 0]**2, {"cube": cube, "arm": arm})
    >>> expected = 4 * np.mean(arm**2) / (4 * np.mean(arm**2) + np.mean(cube**2))
    >>> bool(np.isclose(table["share"][0], expected)), table["quantity"].tolist()
    (True, ['arm', 'cube', '(constant)'])
    """
    target = np.asarray(latent, dtype=np.float64)
    columns, owners = [np.ones(target.size)], [CONSTANT]
    for name, values in differences.items():
        squares = np.asarray(values, dtype=np.float64).reshape(len(values), -1) ** 2
        if len(squares) != target.size:
            raise InputError(
                f"differences of {name!r} are of {len(squares)} pairs, expected {target.size}: use the same pairs"
            )
        for column in squares.T:
            if column.mean() > 0:
                columns.append(column / column.mean())
                owners.append(name)
    if len(columns) == 1 or not target.mean() > 0:
        raise InputError("nothing differs between the pairs, expected distances above 0: take pairs of different frames")
    design = np.stack(columns, axis=1)
    weights, _ = nnls(design, target)
    left, spread = target - design @ weights, target - target.mean()
    r2 = 1 - np.sum(left**2) / np.sum(spread**2) if spread.any() else float("nan")
    shares = {name: float(weights[[owner == name for owner in owners]].sum() / target.mean()) for name in differences}
    shares[CONSTANT] = float(weights[0] / target.mean())
    rows = [(name, share, float(r2), target.size) for name, share in sorted(shares.items(), key=lambda item: -item[1])]
    return pd.DataFrame(rows, columns=COLUMNS)
