"""What a report says of tables."""

from maskwise.words import LikelihoodWords, LossWords, ProbeWords, Words

WORDS = Words(
    counted=("rows seen", "values read", "predicted values"),
    shown="rows",
    loss=LossWords(
        axis="nats per hidden value",
        what="Mean loss of hidden values (half the squared error of a number, the cross-entropy"
        " of a category)",
        samples="held-out rows",
        form=".4f",
        between=("labels", "drop", "categorical", "scale", "lags"),
        differ="data, columns or pattern",
        known={
            "marginal": "each feature predicted by what it is in the training data, whatever is"
            " visible"
        },
    ),
    likelihood=LikelihoodWords(
        compare="Numbers have densities in the units of the table and categories have"
        " probabilities: compare models of the same columns only. ",
        dashed="each column as it is distributed in training rows, whatever is visible",
        tested="held-out rows",
    ),
    probes=ProbeWords(samples="rows", measures=("macro_f1",)),
)
