"""Thm 3.1 and Thm 4.3 of arXiv 2606.27014 as printed, with the hypotheses that they carry, and the clash between them."""

from __future__ import annotations

import numpy as np

from spectral_jepa._signatures import checked
from spectral_jepa._validation import check_count
from spectral_jepa.cooccurrence import CoOccurrence
from spectral_jepa.embedding import Embedding, tail
from spectral_jepa.theory.bound import Assumption, Bound
from spectral_jepa.theory.goal_bounds import PAPER, TOLERANCE
from spectral_jepa.theory.risks import _check_spaces, jepa_loss, printed_risk_constant, unit_norm_risk_floor


@checked()
def printed_risk_identity(exact: CoOccurrence, embedding: Embedding, *, action: int = 0) -> Bound:
    """Thm 3.1 as printed, read as a bound: R_S(a) = loss of eq 3 minus the constant 2 - ||Mbar(a)||_F^2.

    The right side is R_S(a) + E||f(x+)||^2 + E||g||^2 - 2 for any f and g: an equality if both means are 1, which is weaker
    than the unit norms that the theorem asks for; a bound if they sum to 2 or more; too small where they sum to less.
    Whatever the norms, R_S is :func:`spectral_loss` plus ||Mbar||_F^2.

    Parameters
    ----------
    exact : CoOccurrence
    embedding : Embedding
    action : int

    Returns
    -------
    Bound
        On R_S(a); the ceiling is the risk of predicting nothing.

    Raises
    ------
    InputError
        An action out of range, or an embedding of other spaces.

    Notes
    -----
    O(A S^2 k). Source: arXiv 2606.27014, Thm 3.1; docs/theory.md, 2.1.

    Examples
    --------
    >>> from spectral_jepa import TabularMDP, spectral_risk
    >>> exact = CoOccurrence.exact(TabularMDP([[[0.9, 0.1], [0.1, 0.9]]]))
    >>> constant = Embedding(np.ones((2, 1)), np.ones((1, 2, 1)), np.array([0.5, 0.5]))
    >>> identity = printed_risk_identity(exact, constant)
    >>> identity.holds, round(identity.value, 12), spectral_risk(exact, constant).round(12)
    (True, 0.64, array([0.64]))
    """
    _check_spaces(exact, embedding)
    check_count("action", action, 0, exact.n_actions - 1, "the ids of its actions")
    target_norm = float(exact.column_weight[action] @ np.sum(embedding.targets[action] ** 2, axis=1))
    predicted_norm = float(exact.row_weight[action] @ np.sum(embedding.predicted[action] ** 2, axis=1))
    unit = max(abs(target_norm - 1), abs(predicted_norm - 1)) < TOLERANCE
    return Bound(
        float(jepa_loss(exact, embedding)[action] - printed_risk_constant(exact)[action]),
        "pretraining error R_S(a)",
        float(exact.action_norms()[action]),
        (Assumption("E||f(x+)||^2 = E||g(f(x),a)||^2 = 1", unit),),
        f"{PAPER}, Thm 3.1",
    )


@checked()
def printed_approximation_error(exact: CoOccurrence, dim: int, *, action: int = 0, unit_norm: bool = False) -> Bound:
    """Thm 4.3 as printed: the least R_S(a) at dimension k is tail_k(a).

    Right for free f, g. With the unit norms of Thm 3.1 it is right only at k = 1 or where the spectrum happens to allow it;
    :func:`unit_norm_risk_floor` says how far off it is.

    Parameters
    ----------
    exact : CoOccurrence
    dim : int in [1, S]
        Latent dimension k.
    action : int
    unit_norm : bool
        Ask for the unit norms of Thm 3.1 as well.

    Returns
    -------
    Bound
        On the least R_S(a); the ceiling is the risk of predicting nothing.

    Raises
    ------
    InputError
        If ``dim`` is not between 1 and the number of states.

    Notes
    -----
    O(A S^3), dense. Source: arXiv 2606.27014, Thm 4.3; docs/theory.md, 2.2 and 2.3.

    Examples
    --------
    >>> from spectral_jepa import TabularMDP
    >>> exact = CoOccurrence.exact(TabularMDP([np.eye(4)]))
    >>> free, unit = (printed_approximation_error(exact, 2, unit_norm=flag) for flag in (False, True))
    >>> round(free.value, 12), free.holds, unit.holds
    (2.0, True, False)
    """
    check_count("dim", dim, 1, exact.n_states, "the largest possible rank is the number of states")
    check_count("action", action, 0, exact.n_actions - 1, "the ids of its actions")
    value = float(tail(exact, dim)[action])
    reachable = not unit_norm or float(unit_norm_risk_floor(exact, dim)[action]) <= value + TOLERANCE
    return Bound(
        value,
        "least pretraining error R_S(a)",
        float(exact.action_norms()[action]),
        (
            Assumption("each action has its own encoder", True),
            Assumption("the norms of f and g are free, or the spectrum fits in nuclear norm 1", reachable, printed=False),
        ),
        f"{PAPER}, Thm 4.3",
    )
