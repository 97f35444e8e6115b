"""(a) One epoch of distilling logits: 6,000 rows of SST-2, a teacher of 6 layers, a student of 3.

    python -m benchmarks.kd --data GLUE --teacher RUN --textbrewer FOLDER

RUN is a finished run or a classifier in Hugging Face's layout; FOLDER, see textbrewer_peer.py.
The loss is TextBrewer's: cross-entropy with the teacher's probabilities at temperature 8, alone.
jaxdistill and PyTorch read the teacher's logits from a cache and share the length buckets; "plain"
runs the teacher in every step, one step per dispatch; TextBrewer is used as its README uses it.
Before anything is timed the losses of the first steps, without dropout, must agree.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks.common import Variant, arguments, chosen, interleave, report
from benchmarks.material import kd_models, sst2, teacher_logits

VARIANTS = {
    "jaxdistill": Variant("ours", tuned=True),
    "jaxdistill plain": Variant("ours", {"cache": False, "chunked": False}, tuned=True),
    "jaxdistill float32": Variant("ours", {"precision": "float32"}, tuned=True),
    "PyTorch": Variant("torch"),
    "PyTorch tuned": Variant("torch", tuned=True),
    "PyTorch compile": Variant("torch", {"compile": True}),
    "PyTorch compile tuned": Variant("torch", {"compile": True}, tuned=True),
    "TextBrewer": Variant("textbrewer"),
    "TextBrewer tuned": Variant("textbrewer", tuned=True),
}


def main() -> None:
    """Parses the command line, lays the material out, checks, measures."""
    parser = arguments(__doc__, blocks=1, names=list(VARIANTS))
    parser.add_argument("--data", required=True, help="the folder with SST-2/train.tsv")
    parser.add_argument("--teacher", required=True, help="a classifier of 6 layers")
    parser.add_argument("--textbrewer", default="", help="where it was installed to")
    parser.add_argument("--rows", type=int, default=6000)
    parser.add_argument("--steps", type=int, default=0, help="of a block; 0: the whole epoch")
    parser.add_argument(
        "--textbrewer-steps", type=int, default=0, help="of its block, scaled to the epoch's"
    )
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(args.work or temporary)
        kd_models(folder, args.teacher, (2, 4, 6))
        table = sst2(folder, args.data, folder / "teacher", args.rows)
        teacher_logits(folder, table)
        setting = {
            "folder": str(folder),
            "what": "kd",
            "temperature": 8.0,
            "precision": "bfloat16",
            "rows": args.rows,
            "steps": args.steps,
            "check_steps": 4,
            "textbrewer": args.textbrewer,
            "textbrewer_steps": args.textbrewer_steps,
        }
        measured = interleave(
            chosen(VARIANTS, args.variants),
            setting,
            {"float32 losses": 1e-4, "timed losses": 1e-2},
            processes=args.processes,
            blocks=args.blocks,
            patience=args.patience,
        )
        report(__doc__.splitlines()[0], measured, setting)


if __name__ == "__main__":
    main()
