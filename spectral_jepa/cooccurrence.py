"""The action-conditioned co-occurrence matrix M(a) and its normalised form (arXiv 2606.27014, eq. 5).

Per action: M(a)[x, y] = w(x) P(y|x,a) and Mbar(a) = D^-1/2 M(a) D+(a)^-1/2, where D holds the row normaliser w and D+(a)
the column normaliser w+(.|a). Stacked (pooled): the rows are pairs (x, a), A = D_rho^-1/2 [rho(x,a) P(y|x,a)] D_q^-1/2
with rho(x, a) = p(a) w(x) and q = sum_a p(a) w+(.|a): what one encoder shared by all actions, with a free predictor,
factorises. Rows and columns without mass are dropped: 0/0 := 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spectral_jepa._late import sparse as sp
from spectral_jepa._notebook import matrices_html
from spectral_jepa._validation import (
    Array,
    InputError,
    as_array,
    as_distribution,
    as_float,
    as_model,
    check_choice,
    check_flag,
    check_indices,
    check_type,
    read_only,
    require_memory,
)
from spectral_jepa.data import Transitions
from spectral_jepa.linalg import inverse_or_zero, singular_value_decomposition, squared_norm
from spectral_jepa.mdp import TabularMDP

Matrices = Array | tuple[Any, ...]  # csr_arrays
NORMALIZATIONS = ("plug-in", "known", "reference")
# Above this many entries (64 MiB of float64) sampled counts are held as CSR unless the caller says otherwise.
DENSE_ENTRIES = 2**23
PAIR_TOLERANCE = 1e-12
SPARSE_ADVICE = "use CoOccurrence.from_transitions(..., sparse=True) or TabularMDP.as_sparse() and ask for a few dimensions"


@dataclass(frozen=True, eq=False, repr=False)
class CoOccurrence:
    """Co-occurrence matrices of all actions, exact or estimated: one type for both.

    Build it with :meth:`exact` or :meth:`from_transitions`.

    Parameters
    ----------
    joint : array (A, S, S) or tuple of A CSR matrices (S, S)
        M(a), or its estimate; sums to 1 for each action that was seen.
    row_weight : array (A, S)
        Normaliser of the rows, w(x) or its estimate.
    column_weight : array (A, S)
        Normaliser of the columns, w+(y|a), its estimate, or a reference measure.
    action_frequency : array (A,)
        p(a).
    n_samples : array (A,) or None
        Number of transitions behind each matrix; None for an exact one.
    normalization : str
        "exact", "plug-in" (the counts' own marginals), "known" (the true marginals) or "reference".

    Examples
    --------
    >>> mdp = TabularMDP([[[0.9, 0.1], [0.1, 0.9]]])
    >>> CoOccurrence.exact(mdp).normalized.round(3)
    array([[[0.9, 0.1],
            [0.1, 0.9]]])
    """

    joint: Matrices
    row_weight: Array
    column_weight: Array
    action_frequency: Array
    n_samples: NDArray[np.int64] | None = None
    normalization: str = "exact"

    def __post_init__(self) -> None:
        row_weight = as_float("row_weight", self.row_weight, (None, None))
        n_actions, n_states = row_weight.shape
        samples = self.n_samples
        if samples is not None:
            samples = check_indices("n_samples", as_array("n_samples", samples), 2**62, "number of transitions")
            if samples.shape != (n_actions,):
                raise InputError(f"n_samples has shape {samples.shape}, expected ({n_actions},): one number an action")
        joint = as_model("joint", self.joint, n_actions, n_states)
        if isinstance(joint, np.ndarray) and joint.ndim != 3:
            raise InputError(f"joint has shape {joint.shape}, expected three axes: (action, state, next state)")
        values = dict(
            joint=joint,
            row_weight=row_weight,
            column_weight=as_float("column_weight", self.column_weight, (n_actions, n_states)),
            action_frequency=as_float("action_frequency", self.action_frequency, (n_actions,)),
            n_samples=samples,
            normalization=check_choice("normalization", self.normalization, ("exact", *NORMALIZATIONS)),
        )
        for name in ("row_weight", "column_weight", "action_frequency"):
            array = np.asarray(values[name])
            if (array < 0).any():
                raise InputError(
                    f"{name} holds {array.min():.4g}, expected masses >= 0: build it with exact or from_transitions"
                )
        for name, value in values.items():
            object.__setattr__(self, name, value)

    @classmethod
    def exact(cls, mdp: TabularMDP) -> CoOccurrence:
        """The population matrices of an MDP under its data law. O(A S^2), or O(non-zeros) when sparse."""
        weight = check_type("mdp", mdp, TabularMDP, "a TabularMDP").weight
        joint: Matrices
        if isinstance(mdp.transition, tuple):
            joint = tuple(sp.csr_array(sp.diags_array(weight) @ rows) for rows in mdp.transition)
        else:
            require_memory(mdp.transition.shape, "the co-occurrence", SPARSE_ADVICE)
            joint = weight[None, :, None] * mdp.transition
        rows = np.broadcast_to(weight, (mdp.n_actions, mdp.n_states))
        return cls(joint, rows, read_only(mdp.next_weight), mdp.action_frequency)

    @classmethod
    def from_transitions(
        cls,
        data: Transitions,
        normalization: str = "plug-in",
        *,
        known: TabularMDP | CoOccurrence | None = None,
        reference: ArrayLike | None = None,
        unseen_actions: str = "error",
        sparse: bool | None = None,
    ) -> CoOccurrence:
        """Estimate the matrices from transitions.

        Parameters
        ----------
        data : Transitions
        normalization : {"plug-in", "known", "reference"}
            "plug-in": the counts' own marginals; Phat rows then sum to 1 at every rank, the planner's choice.
            "known": the marginals of ``known``; the estimate is unbiased and the sampling theory is exact.
            "reference": own row marginals and the column measure ``reference`` > 0; finite on states never reached.
        known : TabularMDP or exact CoOccurrence
            Needed by "known".
        reference : array (S,)
            Needed by "reference": a positive probability vector.
        unseen_actions : {"error", "zero"}
            What to do with an action that never occurs: refuse, or give it a matrix of zeros.
        sparse : bool, optional
            Hold CSR matrices. Default: only when the dense array would pass 64 MiB.

        Raises
        ------
        InputError
            An action never seen, a normaliser that is missing or has zeros, a dense array that would not fit.

        Examples
        --------
        >>> from spectral_jepa.data import Transitions
        >>> data = Transitions([0, 0, 1], [0, 0, 0], [0, 1, 0], n_states=3)
        >>> CoOccurrence.from_transitions(data).normalized.round(3)
        array([[[0.5  , 0.707, 0.   ],
                [0.707, 0.   , 0.   ],
                [0.   , 0.   , 0.   ]]])
        """
        check_choice("normalization", normalization, NORMALIZATIONS)
        check_choice("unseen_actions", unseen_actions, ("error", "zero"))
        seen = check_type("data", data, Transitions, "Transitions").actions_seen
        if sparse is not None:
            check_flag("sparse", sparse)
        if unseen_actions == "error" and (seen == 0).any():
            missing = int(np.flatnonzero(seen == 0)[0])
            label = f" ({data.action_labels[missing]!r})" if data.action_labels else ""
            raise InputError(
                f"action {missing}{label} never appears in the {len(data)} transitions, expected every one of the "
                f"{data.n_actions} actions: collect it, lower n_actions, or pass unseen_actions='zero' for a zero matrix"
            )
        shape = (data.n_actions, data.n_states, data.n_states)
        scale = inverse_or_zero(seen.astype(np.float64))
        joint: Matrices
        if sparse if sparse is not None else np.prod(shape, dtype=float) > DENSE_ENTRIES:
            joint = tuple(counts * s for counts, s in zip(data.sparse_counts(), scale, strict=True))
        else:
            require_memory(shape, "the co-occurrence counts", SPARSE_ADVICE, copies=2)
            joint = data.counts() * scale[:, None, None]
        rows = np.stack([np.asarray(m.sum(axis=1)).ravel() for m in joint])
        columns = np.stack([np.asarray(m.sum(axis=0)).ravel() for m in joint])
        frequency = seen / len(data)
        if normalization == "known":
            if known is None:
                raise InputError("normalization 'known' needs the true marginals, got none: pass known=mdp or known=exact")
            true = cls.exact(known) if isinstance(known, TabularMDP) else known
            check_type("known", true, CoOccurrence, "a TabularMDP or a CoOccurrence")
            if true.row_weight.shape != rows.shape:
                raise InputError(
                    f"known has {true.row_weight.shape} actions x states, expected {rows.shape} as in the data: "
                    "use the same spaces"
                )
            rows, columns, frequency = true.row_weight, true.column_weight, true.action_frequency
        elif normalization == "reference":
            if reference is None:
                raise InputError("normalization 'reference' needs a measure, got none: pass reference=, for example uniform")
            measure = as_distribution("reference", reference, data.n_states)
            if not (measure > 0).all():
                state = int(np.argmin(measure))
                raise InputError(f"reference[{state}] is 0, expected a positive mass on every state: mix in a uniform law")
            columns = np.broadcast_to(measure, columns.shape)
        return cls(joint, rows, columns, frequency, seen, normalization)

    def __repr__(self) -> str:
        size = "exact" if self.n_samples is None else f"{int(self.n_samples.sum())} transitions, {self.normalization}"
        return f"CoOccurrence({self.n_actions} actions, {self.n_states} states, {size})"

    def _repr_html_(self) -> str:
        names = [f"action {a}" for a in range(self.n_actions)]
        return matrices_html(f"{self!r}: M(a) between states and next states", list(self.joint), names)

    @property
    def n_states(self) -> int:
        """Number of states S."""
        return int(self.row_weight.shape[1])

    @property
    def n_actions(self) -> int:
        """Number of actions A."""
        return int(self.row_weight.shape[0])

    @property
    def is_sparse(self) -> bool:
        """Whether the matrices are held as scipy CSR."""
        return isinstance(self.joint, tuple)

    @property
    def pooled_weight(self) -> Array:
        """rho(x, a) = p(a) w(x), the law of the row pairs, shape (A, S)."""
        return self.action_frequency[:, None] * self.row_weight

    @cached_property
    def pooled_column_weight(self) -> Array:
        """q(y) = sum_a p(a) w+(y|a), shape (S,)."""
        return self.action_frequency @ self.column_weight

    @cached_property
    def normalized(self) -> Matrices:
        """Mbar(a), shape (A, S, S), or a tuple of A CSR matrices when sparse."""
        rows, columns = inverse_or_zero(np.sqrt(self.row_weight)), inverse_or_zero(np.sqrt(self.column_weight))
        if isinstance(self.joint, tuple):
            return tuple(
                sp.csr_array(sp.diags_array(r) @ m @ sp.diags_array(c))
                for m, r, c in zip(self.joint, rows, columns, strict=True)
            )
        require_memory(self.joint.shape, "the normalised co-occurrence", SPARSE_ADVICE, copies=2)
        return self.joint * rows[:, :, None] * columns[:, None, :]

    @cached_property
    def stacked(self) -> Array | sp.csr_array:
        """The pooled matrix, shape (A * S, S); row a * S + x is the pair (x, a)."""
        # rho P / sqrt(rho q) = sqrt(p) M(a) / sqrt(w q): the joint of each action already carries w.
        rows = np.sqrt(self.action_frequency)[:, None] * inverse_or_zero(np.sqrt(self.row_weight))
        columns = inverse_or_zero(np.sqrt(self.pooled_column_weight))
        if isinstance(self.joint, tuple):
            scaled = sp.diags_array(rows.ravel()) @ sp.vstack(self.joint) @ sp.diags_array(columns)
            return sp.csr_array(scaled)
        require_memory(self.joint.shape, "the stacked co-occurrence", SPARSE_ADVICE, copies=2)
        return (self.joint * rows[:, :, None] * columns).reshape(-1, self.n_states)

    @cached_property
    def decomposition(self) -> tuple[Array, Array, Array]:
        """SVD of every Mbar(a): left (A, S, S), values (A, S), right (A, S, S). One serves every dimension. O(A S^3)."""
        matrices = self._dense(self.normalized)
        require_memory(matrices.shape, "the singular vectors", SPARSE_ADVICE, copies=4)
        return singular_value_decomposition(matrices, _constant_pair(matrices, self.row_weight, self.column_weight))

    @cached_property
    def stacked_decomposition(self) -> tuple[Array, Array, Array]:
        """SVD of the stacked matrix: left (A * S, S), values (S,), right (S, S). O(A S^3)."""
        matrix = self._dense(self.stacked)
        require_memory(matrix.shape, "the singular vectors of the stack", SPARSE_ADVICE, copies=4)
        return singular_value_decomposition(matrix, self.constant_pair(None))

    def constant_pair(self, action: int | None) -> tuple[Array, Array]:
        """The trivial singular pair sqrt(w), sqrt(w+) of one action (None: of the stack), of value 1.

        It belongs to the constant function. Zeros where it is no pair: normalisers that are not the marginals, or no data.
        """
        if action is None:
            return _constant_pair(self.stacked, self.pooled_weight.ravel(), self.pooled_column_weight)
        return _constant_pair(self.normalized[action], self.row_weight[action], self.column_weight[action])

    def conditional(self) -> Array:
        """P(y|x,a) = M(a)[x, y] / w(x), shape (A, S, S); zero rows where a state was never an anchor."""
        return self.dense_joint() * inverse_or_zero(self.row_weight)[:, :, None]

    def dense_joint(self) -> Array:
        """M(a) as one array (A, S, S), or one sentence when that would not fit in memory."""
        return self._dense(self.joint)

    def action_norms(self) -> Array:
        """||Mbar(a)||_F^2 for each action, shape (A,): one plus the chi-square information of (x, x+) given a."""
        return np.array([squared_norm(m) for m in self.normalized])

    def _dense(self, matrices: Matrices | sp.csr_array) -> Array:
        if self.is_sparse:
            shape = (self.n_actions, self.n_states, self.n_states)
            require_memory(
                shape,
                "the normalised co-occurrence",
                "ask for a few dimensions, which uses Lanczos on the sparse matrix",
                copies=2,
            )
            return np.stack([m.toarray() for m in matrices]) if isinstance(matrices, tuple) else matrices.toarray()  # type: ignore[union-attr]
        return matrices  # type: ignore[return-value]


def _constant_pair(matrix: Matrices | sp.csr_array, row_weight: Array, column_weight: Array) -> tuple[Array, Array]:
    """sqrt(row_weight), sqrt(column_weight) where they are a singular pair of value 1, else zeros; a batch at once."""
    left, right = np.sqrt(row_weight), np.sqrt(column_weight)
    transposed = np.swapaxes(matrix, -1, -2) if isinstance(matrix, np.ndarray) else matrix.T  # type: ignore[union-attr]
    off_left = np.abs((matrix @ right[..., None])[..., 0] - left).max(axis=-1, keepdims=True)
    off_right = np.abs((transposed @ left[..., None])[..., 0] - right).max(axis=-1, keepdims=True)
    is_pair = np.maximum(off_left, off_right) < PAIR_TOLERANCE
    return left * is_pair, right * is_pair
