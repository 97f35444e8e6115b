"""(d) Inference: forward passes of teacher and student at batch 1 and 32, real rows of SST-2's dev.

    python -m benchmarks.inference --data GLUE --teacher RUN

Batches are spread over dev's lengths, in length buckets on both sides; the time of a pass includes
bringing the batch in and the logits out. Before anything is timed the logits must agree.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks.common import Variant, arguments, chosen, interleave, report
from benchmarks.material import kd_models, sst2

VARIANTS = {
    "jaxdistill": Variant("our_inference", tuned=True),
    "jaxdistill float32": Variant("our_inference", {"precision": "float32"}, tuned=True),
    "PyTorch": Variant("torch_inference"),
    "PyTorch tuned": Variant("torch_inference", tuned=True),
    "PyTorch float32 tuned": Variant("torch_inference", {"precision": "float32"}, tuned=True),
    "PyTorch compile": Variant("torch_inference", {"compile": True}),
    "PyTorch compile tuned": Variant("torch_inference", {"compile": True}, tuned=True),
}


def main() -> None:
    """Parses the command line, lays the material out, checks, measures."""
    parser = arguments(__doc__, blocks=5, names=list(VARIANTS))
    parser.add_argument("--data", required=True, help="the folder with SST-2/dev.tsv")
    parser.add_argument("--teacher", required=True, help="a classifier of 6 layers")
    parser.add_argument("--passes", type=int, default=28, help="forward passes of a cell's block")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(args.work or temporary)
        kd_models(folder, args.teacher, (2, 4, 6))
        sst2(folder, args.data, folder / "teacher", 0, "dev")
        setting = {"folder": str(folder), "precision": "bfloat16", "passes": args.passes}
        tolerances = {
            f"{name} logits, {which}": limit
            for which in ("teacher", "student")
            for name, limit in (("float32", 1e-4), ("timed", 0.1))
        }
        measured = interleave(
            chosen(VARIANTS, args.variants),
            setting,
            tolerances,
            processes=args.processes,
            blocks=args.blocks,
            patience=args.patience,
        )
        report(__doc__.splitlines()[0], measured, setting)


if __name__ == "__main__":
    main()
