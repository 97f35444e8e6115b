"""The arithmetic of docs/scaling.md: hours, bytes and where more devices stop helping.

    python -m benchmarks.scaling

Nothing here is measured on an accelerator. Peaks, memories and links are the vendors' figures; the
share of a peak that is reached (MFU) and of a link are assumptions; tokenising and the lengths of
SST-2 were measured on two CPU cores. The document holds what this prints; a test compares them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Bert:
    """The sizes that decide about time and memory."""

    layers: int
    width: int
    inner: int
    heads: int = 12
    vocab: int = 30_522
    positions: int = 512

    def flops(self, length: int) -> int:
        """Of one token's forward pass in a sequence of that length, two for a multiply and add.

        A layer: 4 products of D x D, 2 of D x I, and for attention T products with keys and T with
        values, each D long. Embeddings, softmax, LayerNorm and GELU are left out.
        """
        d, i = self.width, self.inner
        return self.layers * 2 * (4 * d * d + 2 * d * i + 2 * length * d)

    def parameters(self) -> int:
        """With embeddings and pooler, without a head."""
        d, i = self.width, self.inner
        embeddings = (self.vocab + self.positions + 2) * d + 2 * d
        layer = 4 * (d * d + d) + (d * i + i) + (i * d + d) + 4 * d
        return embeddings + self.layers * layer + d * d + d


@dataclass(frozen=True)
class Chip:
    """One accelerator, in its vendor's figures."""

    name: str
    peak: float
    """bfloat16 FLOP/s, without sparsity."""
    memory: float
    """Bytes."""
    link: float
    """Bytes/s to the chips beside it, in one direction, all links together."""


TEACHER = Bert(12, 768, 3072)
STUDENTS = {"4 x 312": Bert(4, 312, 1200), "6 x 768": Bert(6, 768, 3072)}
V5E = Chip("v5e", 197e12, 16e9, 200e9)
H200 = Chip("H200", 989e12, 141e9, 450e9)
SYSTEMS = {"v5e-64": (V5E, 64), "8 x H200": (H200, 8)}

LENGTH = 128
TOKENS = 3 * 3.3e9
"""Three passes through 2,500M words: 3.3B word pieces, about 1.3 a word."""
MFU = (0.2, 0.4)
REACHED = 0.5
"""Of a link's vendor figure, in an all-reduce."""
TOKENIZED = 51_000 * 13.3
"""Word pieces/s of one thread: 51,000 sentences/s of SST-2, 13.3 each (measured, a CPU core)."""
SST2 = {16: 0.7199, 32: 0.2250, 64: 0.0550, 128: 0.0001}
"""Bucket -> share of SST-2's 67,349 train rows (measured)."""
SST2_ROWS = 67_349


def general(student: Bert, teacher: Bert = TEACHER, length: int = LENGTH) -> int:
    """FLOPs per token of general distillation: the teacher forward, the student and the projection
    of its M + 1 hidden states forward and backward (twice the forward).
    """
    projection = (student.layers + 1) * 2 * student.width * teacher.width
    return teacher.flops(length) + 3 * (student.flops(length) + projection)


def trained(student: Bert, teacher: Bert = TEACHER) -> int:
    """Parameters that have a gradient: the student's and the projection's."""
    return student.parameters() + (student.width + 1) * teacher.width


def rate(chip: Chip, count: int, flops: float, mfu: float) -> float:
    """Tokens/s of `count` chips that reach that share of their peak."""
    return count * chip.peak * mfu / flops


def reduced(parameters: int, count: int) -> float:
    """Bytes that each chip sends in a ring all-reduce of float32 gradients."""
    return 2 * (count - 1) / count * 4 * parameters


def step(
    chip: Chip, count: int, batch: int, flops: float, parameters: int, mfu: float
) -> tuple[float, float]:
    """Seconds of computing and of the all-reduce in a step over `batch` sequences in all."""
    compute = batch / count * LENGTH * flops / (chip.peak * mfu)
    return compute, reduced(parameters, count) / (chip.link * REACHED)


def resident(student: Bert, teacher: Bert = TEACHER) -> int:
    """Bytes on every chip whatever the batch: float32 parameters, gradients and two moments of what
    trains, and the teacher's parameters.
    """
    return 16 * trained(student, teacher) + 4 * teacher.parameters()


def activations(student: Bert, teacher: Bert = TEACHER, length: int = LENGTH) -> int:
    """Bytes per sequence in float32, roughly: what the losses read of the teacher (hidden states,
    scores), what the student's backward pass reads (per layer about 5 of its width, 2 of the inner
    one, scores and probabilities), and its projected states. XLA may keep less.
    """
    scores = length * length
    read = (teacher.layers + 1) * length * teacher.width + teacher.layers * teacher.heads * scores
    layer = length * (5 * student.width + 2 * student.inner) + 2 * student.heads * scores
    projected = (student.layers + 1) * length * teacher.width
    return 4 * (read + student.layers * layer + projected)


def sst2(flops: Iterable[tuple[Bert, int]]) -> float:
    """FLOPs of an epoch of SST-2 in its buckets; pairs of a model and its passes (3 to train)."""
    models = list(flops)
    return sum(
        SST2_ROWS * share * length * sum(times * model.flops(length) for model, times in models)
        for length, share in SST2.items()
    )


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """In Markdown, the first column to the left and the others to the right."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def work() -> str:
    """FLOPs per token and what is resident."""
    head = ["student", "MFLOP per token", "parameters that train", "all-reduced per step (n = 64)"]
    head += ["resident", "per sequence"]
    rows = [
        [
            name,
            f"{general(student) / 1e6:.0f}",
            f"{trained(student) / 1e6:.1f}M",
            f"{reduced(trained(student), 64) / 1e6:.0f} MB",
            f"{resident(student) / 1e9:.2f} GB",
            f"{activations(student) / 1e6:.0f} MB",
        ]
        for name, student in STUDENTS.items()
    ]
    return table(head, rows)


def hours() -> str:
    """Of general distillation, and what its text asks of the hosts."""
    head = ["", *[f"{what}, MFU {mfu:.0%}" for what in ("tokens/s", "hours") for mfu in MFU]]
    head.append(f"threads that tokenise, MFU {MFU[-1]:.0%}")
    rows = []
    for system, (chip, count) in SYSTEMS.items():
        for name, student in STUDENTS.items():
            rates = [rate(chip, count, general(student), mfu) for mfu in MFU]
            rows.append(
                [
                    f"{system}, {name}",
                    *[f"{each / 1e6:.1f}M" for each in rates],
                    *[f"{TOKENS / each / 3600:.2f}" for each in rates],
                    f"{rates[-1] / TOKENIZED:.0f}",
                ]
            )
    return table(head, rows)


def limits() -> str:
    """A step against its all-reduce, for several global batches."""
    head = ["", "global batch", "a chip", "computing, ms", "all-reduce, ms", "of the peak left"]
    rows = []
    for system, (chip, count) in SYSTEMS.items():
        for name, student in STUDENTS.items():
            for batch in (256, 1024, 4096):
                numbers = general(student), trained(student), MFU[-1]
                compute, moved = step(chip, count, batch, *numbers)
                rows.append(
                    [
                        f"{system}, {name}",
                        f"{batch:,}",
                        f"{batch // count}",
                        f"{compute * 1e3:.2f}",
                        f"{moved * 1e3:.2f}",
                        f"{MFU[-1] * compute / (compute + moved):.0%}",
                    ]
                )
    return table(head, rows)


def one_chip() -> str:
    """An epoch of SST-2 on one chip, for jobs of every day."""
    student, thin = STUDENTS["6 x 768"], STUDENTS["4 x 312"]
    jobs = {
        "fine-tuning BERT-base": [(TEACHER, 3)],
        "KD, 6 x 768, teacher cached": [(student, 3)],
        "KD, 6 x 768, teacher in the step": [(TEACHER, 1), (student, 3)],
        "TinyBERT's intermediate stage, 4 x 312": [(TEACHER, 1), (thin, 3)],
    }
    head = ["an epoch of SST-2", "PFLOP"]
    head += [f"{chip.name}, s, MFU {mfu:.0%}" for chip in (V5E, H200) for mfu in MFU]
    rows = [
        [
            name,
            f"{sst2(models) / 1e15:.2f}",
            *[f"{sst2(models) / (c.peak * mfu):.1f}" for c in (V5E, H200) for mfu in MFU],
        ]
        for name, models in jobs.items()
    ]
    return table(head, rows)


def main() -> None:
    """Prints the document's tables."""
    print("\n\n".join((work(), hours(), limits(), one_chip())))


if __name__ == "__main__":
    main()
