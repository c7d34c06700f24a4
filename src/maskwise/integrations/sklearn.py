"""scikit-learn estimators: an encoder of tables with a likelihood, and an imputer."""

from maskwise.integrations.sklearn_autoencoder import MaskedAutoencoder
from maskwise.integrations.sklearn_imputer import MaskedImputer

__all__ = ["MaskedAutoencoder", "MaskedImputer"]
