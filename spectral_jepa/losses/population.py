"""Exact expectations of the losses under the law of a finite world, given as a joint law of (row, column) pairs.

A row is a state-action pair (or a state, with one law for each action on a leading axis), a column is the next state.
Every expectation needs the joint law only through one matrix product, joint @ target, and its two marginals. A law
shared by all runs is applied to all of them in a single product: their columns stand side by side.
"""

from __future__ import annotations

import torch
from torch import Tensor

from spectral_jepa._signatures import checked
from spectral_jepa._validation import InputError, check_count, check_tensor
from spectral_jepa.losses._weights import at_least_float32, check_law, check_samples, shares, without_autocast
from spectral_jepa.losses.sigreg import sigreg
from spectral_jepa.losses.variance import second_moment


@checked()
def expected_prediction_loss(predicted: Tensor, target: Tensor, joint: Tensor, *, stop_gradient: bool = False) -> Tensor:
    """Expected squared distance of prediction and target, E ||g - f+||^2 under a joint law.

    Parameters
    ----------
    predicted : Tensor (..., M, D)
        g, one row a state-action pair.
    target : Tensor (..., S, D)
        f, one row a next state.
    joint : Tensor (M, S) or (..., M, S)
        Probability of each pair, up to a factor. Leading axes broadcast; an axis that the law lacks costs no copy of it.
        Treated as a constant.
    stop_gradient : bool
        Treat the target as a constant.

    Returns
    -------
    Tensor (...)
        Summed over D. Computed as E||g||^2 + E||f+||^2 - 2 E g^T f+, so a value near 0 is known to the rounding error of
        these, about 1e-16 times them in float64 and 1e-7 in float32.

    Raises
    ------
    InputError
        Shapes that do not match.

    Notes
    -----
    O(M S D) for each leading index, one matrix product forward and one backward. Source: arXiv 2606.27014, eq. 1;
    docs/theory.md, 2.5.

    Examples
    --------
    >>> import torch
    >>> joint = torch.tensor([[0.5, 0.0], [0.25, 0.25]])
    >>> expected_prediction_loss(torch.tensor([[0.0], [1.0]]), torch.tensor([[0.0], [2.0]]), joint)
    tensor(0.5000)
    """
    predicted, target, joint, rows, columns = _prepared(predicted, target.detach() if stop_gradient else target, joint)
    with without_autocast(predicted):
        norms = (rows * predicted.square().sum(-1)).sum(-1) + (columns * target.square().sum(-1)).sum(-1)
        return norms - 2 * _expected_product(predicted, target, joint)


@checked()
def expected_spectral_loss(predicted: Tensor, target: Tensor, joint: Tensor) -> Tensor:
    """Spectral loss -2 E[g^T f+] + E[(g^T f')^2] under a joint law; f' follows its column marginal, independent of g.

    Parameters
    ----------
    predicted : Tensor (..., M, D)
        g, one row a state-action pair.
    target : Tensor (..., S, D)
        f, one row a next state.
    joint : Tensor (M, S) or (..., M, S)
        Probability of each pair, up to a factor. With rows all state-action pairs this is the pooled form; with the
        actions on a leading axis, (..., A, S, S), it gives the loss of each action with its own marginals. Treated as a
        constant.

    Returns
    -------
    Tensor (...)
        At least minus the sum of the D largest squared singular values of the normalised joint law.

    Raises
    ------
    InputError
        Shapes that do not match.

    Notes
    -----
    O(M S D) for each leading index, one matrix product forward and one backward. Source: docs/theory.md, 2.1 and 2.2.

    Examples
    --------
    The constant function alone, on any law: its singular value is 1.

    >>> import torch
    >>> joint = torch.tensor([[0.5, 0.0], [0.25, 0.25]])
    >>> expected_spectral_loss(torch.ones(2, 1), torch.ones(2, 1), joint)
    tensor(-1.)
    """
    predicted, target, joint, rows, columns = _prepared(predicted, target, joint)
    with without_autocast(predicted):
        moments = second_moment(predicted, rows, centered=False), second_moment(target, columns, centered=False)
        square = (moments[0] * moments[1]).sum((-2, -1))
        return square - 2 * _expected_product(predicted, target, joint)


@checked()
def expected_sigreg(
    values: Tensor,
    directions: Tensor,
    weight: Tensor,
    batch_size: int,
    *,
    factor: float | None = None,
    n_knots: int = 17,
    t_max: float = 3.0,
) -> Tensor:
    """Mean of SIGReg over batches of independent samples from a law, for given directions.

    Parameters
    ----------
    values : Tensor (..., S, D)
        f, one row a state.
    directions : Tensor (..., D, M)
        Unit columns.
    weight : Tensor (..., S)
        Law of the states, up to a factor; a constant.
    batch_size : int
        N, samples of a batch.
    factor : float, optional
        What the integral is multiplied by. Default: N, the published convention.
    n_knots, t_max
        As in :func:`spectral_jepa.losses.sigreg`.

    Returns
    -------
    Tensor (...)
        Above SIGReg of the law itself, by (factor / N) times the integral of u (1 - |phi|^2).

    Raises
    ------
    InputError
        Shapes that do not match, a batch without a sample.

    Notes
    -----
    O(S M (D + n_knots)), twice. E |phi_N - u|^2 = (1 - 1/N) |phi - u|^2 + (1/N) (1 - 2 u Re phi + u^2), and the second
    bracket is the mean of |exp(i t h) - u|^2 over single samples. Source: docs/theory.md, section 5; docs/sigreg_phase.md.

    Examples
    --------
    A fair coin at +-1: two samples agree half of the time, and a batch of them is then further from normal.

    >>> import torch
    >>> coin, weight, one = torch.tensor([[1.0], [-1.0]]), torch.ones(2), torch.ones(1, 1)
    >>> expected_sigreg(coin, one, weight, 2, factor=1)
    tensor(0.6444)
    >>> equal, mixed = (sigreg(batch, one, factor=1) for batch in (torch.ones(2, 1), coin))
    >>> torch.allclose(expected_sigreg(coin, one, weight, 2, factor=1), (equal + mixed) / 2)
    True
    """
    share = 1 / check_count("batch_size", batch_size)
    check_samples("values", values, weight)
    if factor is None:
        factor = float(batch_size)
    settings = {"factor": factor, "n_knots": n_knots, "t_max": t_max}
    law = sigreg(values, directions, weight, **settings)  # type: ignore[arg-type]
    check_law("weight", weight, values, 1)
    # A law on one state, for each state: its SIGReg is the statistic of a single sample.
    singles = sigreg(values.unsqueeze(-2), directions.unsqueeze(-3), **settings)  # type: ignore[arg-type]
    return (1 - share) * law + share * (shares(weight.detach()).to(singles.dtype) * singles).sum(-1)


def _prepared(predicted: Tensor, target: Tensor, joint: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Checked inputs in float32 or float64, and the two marginals of the law, each summing to 1."""
    check_samples("predicted", predicted)
    check_samples("target", target)
    expected = (predicted.shape[-2], target.shape[-2])
    if joint.ndim < 2 or joint.shape[-2:] != expected:
        raise InputError(
            f"joint has shape {tuple(joint.shape)}, expected (..., {expected[0]}, {expected[1]}): "
            "one row a row of predicted, one column a row of target"
        )
    if predicted.shape[-1] != target.shape[-1]:
        raise InputError(
            f"target has {target.shape[-1]} coordinates, expected {predicted.shape[-1]} as predicted: use one dimension"
        )
    joint = check_tensor("joint", joint, "... M S").detach()
    check_law("joint", joint, predicted, 2)
    check_tensor("target", at_least_float32(target), "... S D", like=at_least_float32(predicted))
    check_tensor("joint", joint, "... M S", like=at_least_float32(predicted))
    rows, columns = joint.sum(-1), joint.sum(-2)
    total = rows.sum(-1, keepdim=True)
    return at_least_float32(predicted), at_least_float32(target), joint, rows / total, columns / total


def _expected_product(predicted: Tensor, target: Tensor, joint: Tensor) -> Tensor:
    # einsum puts an axis that only one operand has beside the rows or columns of one product: no copy of the law a run.
    image = torch.einsum("...ms,...sd->...md", joint, target)
    return (predicted * image).sum((-2, -1)) / joint.sum((-2, -1))
