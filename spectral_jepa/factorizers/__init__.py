"""Low-rank solvers with the scikit-learn contract: matrices in, factors out. Estimators are passed as instances."""

from spectral_jepa.factorizers.als import AlternatingLeastSquares
from spectral_jepa.factorizers.fit import fit_embedding, weighted_blocks
from spectral_jepa.factorizers.svd import FullSVD, LanczosSVD, RandomizedSVD

__all__ = ["AlternatingLeastSquares", "FullSVD", "LanczosSVD", "RandomizedSVD", "fit_embedding", "weighted_blocks"]
