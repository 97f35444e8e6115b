"""(c) Fine-tuning: 12 layers of 768 at length 128, or a checkpoint on real rows of SST-2.

    python -m benchmarks.finetune --data GLUE --tokenizer CHECKPOINT
    python -m benchmarks.finetune --data GLUE --checkpoint CHECKPOINT [--rows 6000]

The first trains a drawn BERT on rows of exactly 128 tokens (SST-2's texts end to end, so that no
slot is padding). The second trains CHECKPOINT on SST-2 in length buckets. Both sides have the same
weights, batches, dropout, AdamW and clipping. Before anything is timed the losses of the first
steps, without dropout, must agree.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks.common import Variant, arguments, chosen, interleave, report
from benchmarks.material import BATCH, drawn_model, full_length, sst2, with_classifier

VARIANTS = {
    "jaxdistill": Variant("ours", tuned=True),
    "jaxdistill plain": Variant("ours", {"chunked": False}, tuned=True),
    "PyTorch": Variant("torch"),
    "PyTorch tuned": Variant("torch", tuned=True),
    "PyTorch compile": Variant("torch", {"compile": True}),
    "PyTorch compile tuned": Variant("torch", {"compile": True}, tuned=True),
}
VOCAB = 30522


def main() -> None:
    """Parses the command line, lays the material out, checks, measures."""
    parser = arguments(__doc__, blocks=2, names=list(VARIANTS))
    parser.add_argument("--data", required=True, help="the folder with SST-2/train.tsv")
    parser.add_argument("--tokenizer", help="a folder with BERT's tokenizer, for the drawn model")
    parser.add_argument("--checkpoint", help="train this instead, on real rows")
    parser.add_argument("--rows", type=int, default=6000, help="of SST-2, for --checkpoint")
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--width", type=int, default=768)
    parser.add_argument("--length", type=int, default=128)
    parser.add_argument("--steps", type=int, help="of a block; 3, or the epoch of --checkpoint")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(args.work or temporary)
        if args.checkpoint:
            with_classifier(folder, args.checkpoint)
            sst2(folder, args.data, folder / "student", args.rows)
            steps = args.steps or 0
        else:
            if not args.tokenizer:
                parser.error("give --tokenizer, or --checkpoint")
            tokenizer, steps = Path(args.tokenizer), args.steps or 3
            sizes = {"heads": args.width // 64, "inner": 4 * args.width, "vocab": VOCAB}
            drawn_model(folder / "student", width=args.width, layers=args.layers, **sizes)
            full_length(folder, args.data, tokenizer, 4 * BATCH, args.length)
        setting = {
            "folder": str(folder),
            "what": "finetune",
            "temperature": 1.0,
            "precision": "bfloat16",
            "steps": steps,
            "check_steps": 2,
            **{k: v for k, v in vars(args).items() if k in ("checkpoint", "rows", "width")},
        }
        measured = interleave(
            chosen(VARIANTS, args.variants),
            setting,
            {"float32 losses": 1e-3, "timed losses": 3e-2},
            processes=args.processes,
            blocks=args.blocks,
            patience=args.patience,
        )
        report(__doc__.splitlines()[0], measured, setting)


if __name__ == "__main__":
    main()
