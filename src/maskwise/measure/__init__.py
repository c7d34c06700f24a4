"""How good a model is, measured on arrays and on what every kind of data has."""
