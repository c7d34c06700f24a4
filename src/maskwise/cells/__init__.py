"""Single cells: files, genes, counts, runs."""
