"""What a report says of images."""

from maskwise.words import LikelihoodWords, LossWords, ProbeWords, Words

WORDS = Words(
    counted=("samples seen", "encoder tokens"),
    shown="pictures",
    loss=LossWords(
        title="Reconstruction error by ratio",
        name="Reconstruction error",
        axis="error ({} target)",
        head="error",
        table="Error on the {} target",
        what="Mean squared error at hidden positions",
        samples="test images",
        detail="{} target, ",
        form=".4g",
        tabled=False,
        pattern=False,
        differ="data or target",
    ),
    likelihood=LikelihoodWords(
        sample="image",
        kind="density",
        compare="It is a density of raw values, normal for each, so it can be compared between "
        "models of the same images, whatever their patch. ",
        dashed="independent normals with each pixel's mean and deviation in training images, which"
        " look at nothing of the image",
        tested="test images",
    ),
    probes=ProbeWords(labelled=True),
)
