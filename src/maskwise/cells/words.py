"""What a report says of cells."""

from maskwise.words import LikelihoodWords, LossWords, ProbeWords, Words

WORDS = Words(
    counted=("cells seen", "values read", "predicted values"),
    shown="rows",
    more="Probes and clusters need the types of cells, a column of obs:",
    more_options=" --data.labels COLUMN",
    loss=LossWords(
        axis="nats per hidden value",
        what="Mean loss of hidden values (half the squared error, or minus the log-probability"
        " of a count)",
        samples="held-out cells",
        form=".4f",
        between=("layer", "values", "loss", "num_genes", "genes"),
        differ="data, genes, loss or pattern",
        known={
            "marginal": "each feature predicted by what it is in the training data, whatever is"
            " visible"
        },
    ),
    likelihood=LikelihoodWords(
        compare="Counts have probabilities and normalised values have densities: compare models"
        " of one loss and of the same genes only. ",
        dashed="each gene as it is distributed in training cells, whatever is visible",
        tested="held-out cells",
    ),
    probes=ProbeWords(samples="cells", measures=("macro_f1",)),
)
