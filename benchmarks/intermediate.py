"""(b) TinyBERT's intermediate stage: 6 layers teach 3, embeddings, hidden states, attention scores.

    python -m benchmarks.intermediate --data GLUE --teacher RUN

RUN is a finished run or a classifier in Hugging Face's layout. Both sides run the teacher in every
step, since what the loss reads of it is too large to be kept, and share the length buckets. PyTorch
is transformers with an attention function that also returns its scores, as TinyBERT's own code.
Before anything is timed the losses of the first steps, without dropout, must agree.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks.common import Variant, arguments, chosen, interleave, report
from benchmarks.material import kd_models, sst2

VARIANTS = {
    "jaxdistill": Variant("ours", tuned=True),
    "jaxdistill plain": Variant("ours", {"chunked": False}, tuned=True),
    "PyTorch": Variant("torch"),
    "PyTorch tuned": Variant("torch", tuned=True),
    "PyTorch compile": Variant("torch", {"compile": True}),
    "PyTorch compile tuned": Variant("torch", {"compile": True}, tuned=True),
}


def main() -> None:
    """Parses the command line, lays the material out, checks, measures."""
    parser = arguments(__doc__, blocks=2, names=list(VARIANTS))
    parser.add_argument("--data", required=True, help="the folder with SST-2/train.tsv")
    parser.add_argument("--teacher", required=True, help="a classifier of 6 layers")
    parser.add_argument("--rows", type=int, default=6000)
    parser.add_argument("--steps", type=int, default=64, help="of a block; 0: the whole epoch")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(args.work or temporary)
        kd_models(folder, args.teacher, (2, 4, 6))
        sst2(folder, args.data, folder / "teacher", args.rows)
        setting = {
            "folder": str(folder),
            "what": "intermediate",
            "temperature": 1.0,
            "precision": "bfloat16",
            "rows": args.rows,
            "steps": args.steps,
            "check_steps": 3,
        }
        measured = interleave(
            chosen(VARIANTS, args.variants),
            setting,
            {"float32 losses": 1e-3, "timed losses": 0.1},
            processes=args.processes,
            blocks=args.blocks,
            patience=args.patience,
        )
        report(__doc__.splitlines()[0], measured, setting)


if __name__ == "__main__":
    main()
