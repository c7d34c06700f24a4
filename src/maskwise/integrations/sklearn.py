"""scikit-learn estimators: an encoder with a likelihood, an imputer, a classifier, a regressor."""

from maskwise.integrations.sklearn_autoencoder import MaskedAutoencoder
from maskwise.integrations.sklearn_imputer import MaskedImputer
from maskwise.integrations.sklearn_predict import MaskedClassifier, MaskedRegressor

__all__ = ["MaskedAutoencoder", "MaskedClassifier", "MaskedImputer", "MaskedRegressor"]
