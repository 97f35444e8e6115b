"""An exported student as ONNX, by PyTorch's exporter, held against transformers in onnxruntime.

    pip install torch transformers onnx onnxscript onnxruntime
    python -m jaxdistill.export runs/tinybert_sst2 --output student
    python -m benchmarks.onnx student --output student.onnx

Any number of rows and tokens; 64-bit integers input_ids, attention_mask and token_type_ids [B, T]
in, float32 logits [B, C] out. Prints the largest difference between both programs' logits, on texts
of other numbers and lengths than it was traced with.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from benchmarks.common import machine

INPUTS = ("input_ids", "attention_mask", "token_type_ids")
TRACED = ["a fine film", "the plot is thin, and long"]
HELD = [["another text"], ["a text of some more words than the others have", "a", "one more text"]]


def main() -> None:
    """Exports, compares, prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", help="what jaxdistill.export wrote")
    parser.add_argument("--output", required=True, help="the .onnx file")
    args = parser.parse_args()
    import onnxruntime
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(args.folder)
    model = AutoModelForSequenceClassification.from_pretrained(args.folder).eval()

    def asked(texts: list[str]) -> dict[str, np.ndarray]:
        found = tokenizer(texts, truncation=True, padding=True, return_tensors="np")
        return {name: found[name].astype(np.int64) for name in INPUTS}

    def theirs(batch: dict[str, np.ndarray]) -> np.ndarray:
        with torch.no_grad():
            return model(**{name: torch.tensor(batch[name]) for name in INPUTS}).logits.numpy()

    rows = torch.export.Dim("rows", min=1)
    tokens = torch.export.Dim("tokens", min=2, max=tokenizer.model_max_length)
    torch.onnx.export(
        model,
        (),
        args.output,
        kwargs={name: torch.tensor(array) for name, array in asked(TRACED).items()},
        input_names=list(INPUTS),
        output_names=["logits"],
        dynamic_shapes={name: {0: rows, 1: tokens} for name in INPUTS},
        dynamo=True,
    )
    session = onnxruntime.InferenceSession(args.output)

    def ours(batch: dict[str, np.ndarray]) -> np.ndarray:
        logits: np.ndarray = session.run(None, batch)[0]
        return logits

    off = max(np.abs(ours(batch) - theirs(batch)).max() for batch in map(asked, HELD))
    weights = Path(f"{args.output}.data")  # beside it, where they are many
    size = sum(path.stat().st_size for path in (Path(args.output), weights) if path.exists())
    print(f"{args.output}: {size / 1e6:.1f} MB, logits off by {off:.1e} at most. {machine()}.")


if __name__ == "__main__":
    main()
