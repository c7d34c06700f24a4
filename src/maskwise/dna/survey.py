"""A dry look at sequences: what there is, and all that stands in the way of training."""

from collections.abc import Iterator, Mapping, Sequence

from maskwise.dna.data import DNADataSettings, lay, name_of, open_source
from maskwise.dna.evaluation import DNAEvaluateSettings
from maskwise.dna.fasta import SUFFIXES, Genome
from maskwise.dna.places import Parts, read_bed
from maskwise.dna.tasks import parse_dna_task, read_dna_task
from maskwise.dna.tokens import parse_tokens
from maskwise.errors import UserError, option
from maskwise.files import Entries
from maskwise.inspection import Inspection, Problem, quietly
from maskwise.settings import override
from maskwise.textio import leave_out
from maskwise.tokens.files import find_files

PATTERNS = ("scattered", "spans", "units")
SKIP = {"data.broken": "skip"}


def of_settings(data: DNADataSettings, pattern: str) -> list[Problem]:
    """Return what of some settings does not go together, whatever the sequences."""
    name = pattern.partition(":")[0]
    spans = data.tokens.startswith("overlapping")
    if name not in PATTERNS:
        known = "scattered, spans[:LENGTH] and units[:SIZE] (units:3 hides codons)"
        text = f"pattern {pattern} is not for DNA, which has {known}"
        return [Problem(text, {"pattern": "spans" if spans else "scattered"})]
    if spans and name != "spans":
        text = (
            f"tokens {data.tokens} need {option('pattern', 'spans')}: every k-mer that holds a"
            f" hidden base is hidden, and {pattern} masks would leave few visible"
        )
        return [Problem(text, {"pattern": "spans"})]
    return []


def of_tasks(evaluate: DNAEvaluateSettings) -> list[Problem]:
    """Return what is wrong with files of labelled sequences, which are read at the end only."""
    found: list[Problem] = []
    for text in dict.fromkeys([*evaluate.probes, *evaluate.finetune.tasks]):
        task = parse_dna_task(text)
        missing = [path for path in (*task.train, *task.test) if not path.is_file()]
        found += [Problem(f"{path}, which evaluation needs, does not exist") for path in missing]
        if missing:
            continue
        try:
            read_dna_task(text, evaluate.num_train, evaluate.num_test, evaluate.seed)
        except UserError as error:
            found.append(Problem.of(error))
    return found


def look(data: DNADataSettings, sequences: Sequence[str] | None) -> Inspection:
    """Say what sequences hold, and what of them stands in the way."""
    problems: list[Problem] = []
    with quietly():
        try:
            genome = open_source(data, sequences, "skip")
        except UserError as error:
            return Inspection({}, problems=[Problem.of(error)])
        problems += _left_out(genome.name, genome.left_out, data)
        found = _of_genome(genome)
        if sequences is None:
            _, others = find_files(data.source, SUFFIXES, "FASTA files", deep=False)
            found |= {"files left out": [path.name for path in others]} if others else {}
        try:
            regions = _regions(data, genome, found, problems)
        except UserError as error:
            return Inspection(found, problems=[*problems, Problem.of(error)])
        num_train = _of_windows(data, genome, regions, name_of(data, sequences), found, problems)
    return Inspection(found, num_train, problems)


def _left_out(
    where: object, broken: Mapping[str, str], data: DNADataSettings
) -> Iterator[Problem]:
    try:
        leave_out(where, broken, "stop")
    except UserError as error:
        if data.broken == "stop":
            yield Problem(str(error), SKIP)


def _of_genome(genome: Genome) -> Entries:
    counts, total = genome.counts, int(genome.lengths.sum())
    found: Entries = {
        "records": len(genome.names),
        "first names": list(genome.names[:8]),
        "bases": total,
        "longest record": int(genome.lengths.max()),
        "shortest record": int(genome.lengths.min()),
        "share of N": counts["unknown"] / total,
        "share of other letters": counts["ambiguous"] / total,
        "share in lower case": counts["repeats"] / total,
        "U read as T": counts["uracil"],
        "empty records": counts["empty_records"],
    }
    if genome.left_out:
        found["records that are no DNA"] = [
            f"{name} ({why})" for name, why in genome.left_out.items()
        ]
    return found


def _regions(
    data: DNADataSettings, genome: Genome, found: Entries, problems: list[Problem]
) -> Parts | None:
    if data.regions is None:
        return None
    regions = read_bed(data.regions, genome)
    regions.require_some(data.regions)
    found["regions"] = len(regions.names)
    if regions.broken:
        found["regions outside"] = [f"{name} ({why})" for name, why in regions.told.items()]
        problems += _left_out(data.regions, regions.told, data)
    return regions.parts


def _of_windows(
    data: DNADataSettings,
    genome: Genome,
    regions: Parts | None,
    name: str,
    found: Entries,
    problems: list[Problem],
) -> int | None:
    """Lay the windows; where that fails, look for records to hold out with which it does."""
    try:
        splits = lay(data, genome, regions, name)
    except UserError as error:
        problems.append(Problem(str(error), _held_out(data, genome, regions)))
        return None
    found |= {"window": splits.train.width, "windows held out": len(splits.test)}
    kind = parse_tokens(data.tokens)
    if not isinstance(kind, int) and kind.positions(splits.train.width) < 1:
        problems.append(
            Problem(
                f"a window of {splits.train.width} bases holds no token of {data.tokens}",
                {"data.window": str(8 * kind.k)},
            )
        )
    return len(splits.train)


def _held_out(data: DNADataSettings, genome: Genome, regions: Parts | None) -> dict[str, str]:
    """Return settings that hold something out; none, where nothing can be."""
    least = genome.names[int(genome.lengths.argmin())]
    for heldout in ("none", least, *genome.names[:8]):
        changed = override(data, {"heldout": [] if heldout == "none" else [heldout]})
        try:
            lay(changed, genome, regions, genome.name)
        except UserError:
            continue
        return {"data.heldout": heldout}
    return {}
