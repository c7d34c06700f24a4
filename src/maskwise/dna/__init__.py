"""DNA: genomes, windows, tokens, variants, runs."""
