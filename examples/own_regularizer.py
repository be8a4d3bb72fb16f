"""A regulariser of one's own: the log-determinant of the second moment, which no direction can leave."""

import numpy as np
import torch

import spectral_jepa as sj
from spectral_jepa.jepa import JepaConfig, Run, train_jepa


def log_det(latents, weight=None):
    """Latents (R, N, D) of R runs, weights (R, N) or None -> one value a run: tr C - log det C, least at C = I."""
    share = torch.ones_like(latents[..., 0]) if weight is None else weight
    moment = torch.einsum("rn,rnd,rne->rde", share / share.sum(1, keepdim=True), latents, latents)
    return moment.diagonal(dim1=1, dim2=2).sum(1) - torch.logdet(moment)


exact = sj.CoOccurrence.exact(sj.make_block(n_states=12, n_blocks=3, n_actions=2, seed=0))
trained = train_jepa(exact, [Run(dim=3, strength=2.0)], JepaConfig(regularizer=log_det, n_steps=200))
print(f"directions alive of 3: {np.linalg.matrix_rank(trained.encoded[0], tol=1e-3)}")
