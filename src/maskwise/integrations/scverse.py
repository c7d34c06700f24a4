"""AnnData, where scverse users look: features in `obsm`, imputed expression in `layers`."""

from maskwise.cells.annotated import KEY, LAYER, embed, embed_file, impute, impute_file

__all__ = ["KEY", "LAYER", "embed", "embed_file", "impute", "impute_file"]
