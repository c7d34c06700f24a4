"""The mechanisms by which values are hidden that are compared; `maskwise.masks.hide` has more."""

from maskwise.masks import hide

MECHANISMS = ("MCAR", "MAR", "MNAR")

__all__ = ["MECHANISMS", "hide"]
