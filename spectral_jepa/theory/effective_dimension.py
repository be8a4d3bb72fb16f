"""The rank of an encoder that is whitened on subspaces only, Sub-JEPA's relaxation (docs/effective_dimension.md).

K matrices W_j (d_s, k) with orthonormal rows. The optimum of E||g - f+||^2 under W_j E[f f^T] W_j^T = I, g free, minimises
sum_i (1 - s_i^2) lambda_i(Sigma) over the spectrahedron of second moments Sigma: a concave function, so that some optimum is
an extreme point, and for almost every spectrum all optima have its rank (not its effective rank, if the embedding is not
centred: lambda_1 then costs nothing and is free). Hence the dimension that the latent space really has:

- d_s, if the subspaces partition R^k (s_{d_s} > s_{d_s+1}), if the spectrum is steep at d_s, or, for some optimum and
  almost every spectrum (deterministic worlds are an exception), if K = 2;
- otherwise from d_s to r(r + 1)/2 <= min(K d_s (d_s + 1)/2, k (k + 1)/2), or to (3 d_s + 1)/2 if K = 3.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from spectral_jepa._signatures import checked
from spectral_jepa._validation import Array, InputError, as_float, check_count, require_memory
from spectral_jepa.theory.subspace_whitening import _as_subspaces
from spectral_jepa.theory.whitening import soft_whitening_value


@checked()
def pataki_rank_bound(n_subspaces: int, subspace_dim: int, dim: int) -> int:
    """The largest r with r (r + 1)/2 <= min(K d_s (d_s + 1)/2, k (k + 1)/2): some optimum has at most this rank.

    Parameters
    ----------
    n_subspaces, subspace_dim, dim : int
        K, d_s and k.

    Returns
    -------
    int

    Raises
    ------
    InputError
        If d_s is above k.

    Notes
    -----
    Counts the constraints as if they were independent; docs/effective_dimension.md, section 3 (Barvinok 1995, Pataki 1998).

    Examples
    --------
    >>> [pataki_rank_bound(n, 12 // n, 12) for n in (1, 2, 3, 4, 6, 12)]
    [12, 8, 7, 6, 5, 4]
    """
    size = check_count("dim", dim)
    inner = check_count("subspace_dim", subspace_dim, 1, size, "a subspace cannot be larger than the latent space")
    constraints = min(check_count("n_subspaces", n_subspaces) * inner * (inner + 1), size * (size + 1)) // 2
    return (math.isqrt(1 + 8 * constraints) - 1) // 2


@checked()
def subspace_rank_bound(n_subspaces: int, subspace_dim: int, dim: int) -> int:
    """The largest rank that an extreme point can have, whatever the K subspaces: Pataki's count, and less for K = 2 and 3.

    d_s for K = 1 and 2, min((3 d_s + 1)//2, k) for K = 3, :func:`pataki_rank_bound` from K = 4 on. For K d_s = k there are
    subspaces that reach it (docs/effective_dimension.md, section 4).

    Parameters
    ----------
    n_subspaces, subspace_dim, dim : int
        K, d_s and k.

    Returns
    -------
    int

    Raises
    ------
    InputError
        If d_s is above k.

    Examples
    --------
    >>> [subspace_rank_bound(n, 12 // n, 12) for n in (1, 2, 3, 4, 6, 12)]
    [12, 6, 6, 6, 5, 4]
    """
    counted = pataki_rank_bound(n_subspaces, subspace_dim, dim)
    if n_subspaces <= 2:
        return subspace_dim
    return min(counted, (3 * subspace_dim + 1) // 2) if n_subspaces == 3 else counted


@checked()
def independent_constraints(subspaces: ArrayLike) -> int:
    """Number of linearly independent equations in W_j Sigma W_j^T = I, Sigma symmetric.

    Parameters
    ----------
    subspaces : array (K, d_s, k)

    Returns
    -------
    int
        K d_s (d_s + 1)/2 where the subspaces are independent (K d_s <= k, almost surely); less where they overlap.

    Raises
    ------
    InputError
        If the shape is wrong, or the equations would not fit in memory.

    Notes
    -----
    O(min(p, q)^2 max(p, q)) with p = K d_s (d_s + 1)/2, q = k (k + 1)/2: k up to about 100.

    Examples
    --------
    Two planes in R^3 share a line, and with it one of their six equations.

    >>> independent_constraints([[[1, 0, 0], [0, 1, 0]], [[1, 0, 0], [0, 0, 1]]])
    5
    """
    stack = _as_subspaces(subspaces)
    n_subspaces, inner, dim = stack.shape
    rows, columns = np.triu_indices(inner), np.triu_indices(dim)
    shape = (n_subspaces * rows[0].size, columns[0].size)
    require_memory(shape, "the matrix of constraints", "use fewer or smaller subspaces")
    left, right = stack[:, rows[0]], stack[:, rows[1]]
    products = left[..., columns[0]] * right[..., columns[1]] + left[..., columns[1]] * right[..., columns[0]]
    # Orthonormal coordinates of symmetric matrices: off-diagonal entries count twice in the Frobenius norm.
    products *= np.where(columns[0] == columns[1], np.sqrt(0.5), 1.0)
    return int(np.linalg.matrix_rank(products.reshape(shape), tol=1e-9 * np.abs(products).max()))


@checked(infinite=("penalty",))
def partition_value(
    singular_values: ArrayLike,
    n_subspaces: int,
    subspace_dim: int,
    *,
    penalty: float = np.inf,
    centred: bool = False,
) -> float:
    """The least E||g - f+||^2 + penalty sum_j ||W_j C W_j^T - I||_F^2 when K orthogonal subspaces partition R^k.

    Every block solves the problem of dimension d_s by itself, so this is K times its soft-whitening value; under hard
    whitening, K sum_{i<=d_s} (1 - s_i^2).

    Parameters
    ----------
    singular_values : array
        All of them or the leading ones, with the first, 1, included.
    n_subspaces, subspace_dim : int
        K and d_s.
    penalty : float > 0
        lam; ``np.inf`` is hard whitening.
    centred : bool
        E f = 0 as well: the sum runs over i = 2, ..., d_s + 1.

    Returns
    -------
    float

    Raises
    ------
    InputError
        If there are too few singular values, or as in :func:`soft_whitening_value`.

    Notes
    -----
    Source: docs/effective_dimension.md, section 2. An encoder: ``subspace_whitening_embedding(exact, W.sum(axis=0))``.

    Examples
    --------
    >>> round(partition_value([1.0, 0.8, 0.6], n_subspaces=3, subspace_dim=2), 12)
    1.08
    """
    values = as_float("singular_values", singular_values, (None,))
    blocks, skipped = check_count("n_subspaces", n_subspaces), int(centred)
    why = f"there are {values.size} singular values{', and the first is left out' * centred}"
    size = check_count("subspace_dim", subspace_dim, 1, max(values.size - skipped, 1), why)
    return blocks * float(soft_whitening_value(np.sort(values)[::-1][skipped : size + skipped], penalty))


@checked()
def two_subspace_eigenvalues(subspaces: ArrayLike) -> Array:
    """Eigenvalues of E[f f^T] at an optimum for K = 2, in closed form: 1/cos^2(theta_i/2), descending, (d_s,).

    theta_i are the principal angles between the two subspaces; the least value is sum_{i<=d_s} (1 - s_i^2) lambda_i for
    every spectrum, and it is reached at rank d_s. For almost every spectrum no optimum has other eigenvalues, except the
    first where the embedding is not centred (s_1 = 1): that costs nothing, and may be larger at another optimum.

    Parameters
    ----------
    subspaces : array (2, d_s, k)
        Orthonormal rows.

    Returns
    -------
    array (d_s,)

    Raises
    ------
    InputError
        If there are not two subspaces, or rows are not orthonormal.

    Notes
    -----
    O(d_s^2 k). Source: docs/effective_dimension.md, section 5.

    Examples
    --------
    Orthogonal, and equal.

    >>> two_subspace_eigenvalues([[[1.0, 0.0]], [[0.0, 1.0]]]).round(9), two_subspace_eigenvalues([[[1.0, 0.0]]] * 2)
    (array([2.]), array([1.]))
    """
    stack = _as_subspaces(subspaces, orthonormal=True)
    if len(stack) != 2:
        raise InputError(f"subspaces hold {len(stack)} of them, expected 2: only two have a closed form")
    cosines = np.clip(np.linalg.svd(stack[0] @ stack[1].T, compute_uv=False), 0.0, 1.0)
    return np.sort(2 / (1 + cosines))[::-1]


@checked()
def steep_spectrum_ratio(subspaces: ArrayLike) -> float:
    """gamma such that 1 - s_{d_s+1}^2 > gamma (1 - s_{d_s}^2) makes every optimum have rank d_s exactly; for K d_s <= k.

    2 sqrt(K) times the condition number of sum_j W_j^T W_j on its range. Sufficient, far from necessary.

    Parameters
    ----------
    subspaces : array (K, d_s, k)
        Orthonormal rows, all K d_s of them linearly independent.

    Returns
    -------
    float

    Raises
    ------
    InputError
        If the rows of all subspaces together are linearly dependent: gamma would be infinite.

    Notes
    -----
    O((K d_s)^3). Source: docs/effective_dimension.md, section 6.

    Examples
    --------
    >>> round(steep_spectrum_ratio([[[1.0, 0.0]], [[0.6, 0.8]]]), 6)
    11.313708
    """
    stack = _as_subspaces(subspaces, orthonormal=True)
    n_subspaces, inner, dim = stack.shape
    spread = np.linalg.svd(stack.reshape(-1, dim), compute_uv=False) ** 2
    if n_subspaces * inner > dim or spread[-1] < 1e-14 * spread[0]:
        raise InputError(
            f"the {n_subspaces} subspaces of dimension {inner} are linearly dependent in R^{dim}, expected K d_s <= k and "
            "independent rows: no encoder of rank d_s need exist otherwise, so use fewer or smaller ones"
        )
    return float(2 * np.sqrt(n_subspaces) * spread[0] / spread[-1])
