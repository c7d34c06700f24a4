"""What a report says of texts."""

from maskwise.words import LikelihoodWords, LossWords, ProbeWords, Words

WORDS = Words(
    counted=("rows seen", "encoder tokens", "predicted tokens"),
    shown="tokens",
    more="Only the loss was measured. Probes, minimal pairs and fine-tuning need files:",
    more_options=" --evaluate.probes TRAIN:TEST --evaluate.token_probes TRAIN:TEST"
    " --evaluate.pairs FILE --evaluate.finetune.tasks TRAIN:TEST",
    loss=LossWords(
        axis="nats per hidden token",
        what="Mean cross-entropy of hidden tokens",
        samples="held-out rows",
        form=".3f",
        between=("tokenizer", "vocab_size", "lowercase", "length"),
        differ="data, tokens or pattern",
        known={"unigram": "each token predicted by its share of the training data alone"},
        headline=0.15,
        digits=2,
    ),
    likelihood=LikelihoodWords(
        kind="probability",
        compare="Bits per byte can be compared between tokenizers, the other values cannot. ",
        dashed="equal probabilities for all tokens",
        tested="held-out texts",
    ),
    probes=ProbeWords(samples="texts"),
)
