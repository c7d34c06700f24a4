"""What a report says of DNA."""

from maskwise.words import LikelihoodWords, LossWords, ProbeWords, Words

WORDS = Words(
    counted=("windows seen", "encoder tokens", "predicted tokens"),
    shown="tokens",
    aligned=True,
    more="Only the loss was measured. Probes and fine-tuning need files of labelled sequences:",
    more_options=" --evaluate.probes FILE --evaluate.finetune.tasks FILE",
    loss=LossWords(
        axis="nats per hidden token",
        what="Mean cross-entropy of hidden tokens",
        samples="held-out windows",
        form=".4f",
        between=("tokens", "window", "stride", "regions"),
        differ="data, tokens or pattern",
        known={
            "unigram": "each token predicted by its share of the training data alone",
            "base composition": "each base predicted by its share of the training data alone,"
            " which costs the entropy of the composition: a model above it has learned nothing",
        },
        headline=0.15,
    ),
    likelihood=LikelihoodWords(
        kind="probability",
        compare="Bits per base can be compared between kinds of tokens, the other values cannot. ",
        dashed="equal probabilities for all tokens",
        tested="held-out windows",
    ),
    probes=ProbeWords(samples="sequences"),
)
