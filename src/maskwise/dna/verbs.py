"""What only models of DNA do on the command line; see `maskwise.verbs`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from maskwise.arguments import Arg, Verb
from maskwise.errors import UserError, option

if TYPE_CHECKING:
    from maskwise.dna.tokens import DNA
    from maskwise.tokens.model import LanguageModel


def variants(
    run: Annotated["LanguageModel[DNA]", Arg(metavar="RUN", model="own")],
    variants: Annotated[
        Path,
        Arg(".vcf, or .tsv or .csv with chrom, pos (from 1), ref and alt; also .gz", "VARIANTS"),
    ],
    *,
    fasta: Annotated[Path, Arg("the genome of the variants")],
    out: Annotated[Path, Arg("a .tsv or .tsv.gz file")],
    effect: Annotated[
        str | None, Arg("measured effects, to compare the scores with", "COLUMN")
    ] = None,
    group: Annotated[str | None, Arg("compare in each group, such as elements", "COLUMN")] = None,
) -> None:
    """Score variants of DNA."""
    import numpy as np

    from maskwise.dna.fasta import open_genome
    from maskwise.dna.variant_tables import check_columns, effects_of_file, score_file
    from maskwise.theory.advice import aligned

    if group is not None and effect is None:
        raise UserError(
            f"{option('group')} is for measured effects: give {option('effect', 'COLUMN')} too"
        )
    check_columns(variants, effect, group)
    genome = open_genome(fasta, "skip")
    counts, scores = score_file(run, genome, variants, out)
    print(f"{out}: {sum(counts.values()):,} variants")
    for status, num in counts.items():
        print(f"{num:10,}  {status}")
    for method, values in scores.items():
        low, middle, high = np.quantile(values, [0.05, 0.5, 0.95])
        print(
            f"log p(alt) - log p(ref), nats, {method}: mean {values.mean():.3f}, median"
            f" {middle:.3f}, from {low:.3f} (5%) to {high:.3f} (95%)"
        )
    if effect is not None:
        table = [["group", "predictor", "variants", "Spearman, 95%", "AUROC of size, 95%"]]
        for row in effects_of_file(out, genome, run.tokenizer.window, effect, group):
            cells = [
                f"{row[what]:.3f} [{row[f'{what}_low']:.3f}, {row[f'{what}_high']:.3f}]"
                for what in ("spearman", "auroc")
            ]
            table.append([row["group"], row["predictor"], f"{row['num']:,}", *cells])
        print(aligned(table))


VERBS: dict[str, Verb] = {"variants": variants}
