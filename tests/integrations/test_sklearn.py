"""The estimators keep scikit-learn's promises."""

from sklearn.utils.estimator_checks import parametrize_with_checks

from maskwise.integrations.sklearn import MaskedAutoencoder, MaskedImputer

SMALL = MaskedAutoencoder(steps=5, width=16, depth=1, code=4)


@parametrize_with_checks([SMALL, MaskedImputer(SMALL)])
def test_all_checks_of_scikit_learn_pass(estimator, check):
    check(estimator)
