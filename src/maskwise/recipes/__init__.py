"""Recipes: named, complete configurations. A recipe is a function that returns one.

A new recipe is one function and one line in `RECIPES`.
"""

from collections.abc import Callable

from maskwise.recipes.images import any_images, cifar10, digits, mnist
from maskwise.train.config import Config

RECIPES: dict[str, Callable[[], Config]] = {
    "digits": digits,
    "digits-fixed": lambda: digits(law="fixed:0.65"),
    "mnist": mnist,
    "mnist-fixed": lambda: mnist(law="fixed:0.75"),
    "cifar10": cifar10,
    "cifar10-fixed": lambda: cifar10(law="fixed:0.75"),
}

__all__ = ["RECIPES", "any_images"]
