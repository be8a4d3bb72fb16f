from sklearn.utils.estimator_checks import parametrize_with_checks

from spectral_jepa.factorizers import AlternatingLeastSquares, FullSVD, LanczosSVD, RandomizedSVD


@parametrize_with_checks([FullSVD(), LanczosSVD(), RandomizedSVD(), AlternatingLeastSquares()])
def test_scikit_learn_checks(estimator, check):
    check(estimator)
