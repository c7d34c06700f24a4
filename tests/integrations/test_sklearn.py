"""The estimators keep scikit-learn's promises."""

import pytest

from maskwise.integrations.sklearn import MaskedAutoencoder, MaskedImputer

SMALL = MaskedAutoencoder(steps=5, width=16, depth=1, code=4)


@pytest.mark.parametrize(
    "estimator",
    [SMALL, MaskedImputer(SMALL), MaskedImputer()],
    ids=["encoder", "imputer", "closed form"],
)
def test_all_checks_of_scikit_learn_pass(estimator):
    from sklearn.utils.estimator_checks import check_estimator

    done = check_estimator(estimator, on_skip=None, on_fail="raise")
    assert sum(each["status"] == "passed" for each in done) > 35
