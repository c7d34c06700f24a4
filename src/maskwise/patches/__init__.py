"""Masked models of grids of real-valued patches: images, and whatever looks like them."""
