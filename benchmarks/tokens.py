"""(f) Tokenising SST-2's 67,349 train rows: ours, from its cache, the bare Rust tokenizer, HF's.

    python -m benchmarks.tokens --data GLUE --tokenizer CHECKPOINT

"bare Rust" is the loop anyone could write around tokenizers.encode_batch_fast, ids taken out into
one flat array; "Rust, ids left inside" is that call alone. HF is AutoTokenizer's call, without
padding and padded to 128 as in TextBrewer's notebook. All give the same ids, which is asserted.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from benchmarks.common import Measured, report, say, wait_for_quiet
from jaxdistill.data.readers import read_split
from jaxdistill.data.tasks import find_task
from jaxdistill.data.tokens import load_tokenizer, tokenize

LENGTH = 128


def main() -> None:
    """Parses the command line, checks, measures in turns."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="the folder with SST-2/train.tsv")
    parser.add_argument("--tokenizer", required=True, help="a folder with BERT's tokenizer")
    parser.add_argument("--blocks", type=int, default=9)
    parser.add_argument("--slow-blocks", type=int, default=1, help="of Hugging Face's")
    parser.add_argument("--patience", type=float, default=60, help="seconds to wait for quiet")
    args = parser.parse_args()
    texts = read_split(find_task("sst2"), "train", args.data).texts
    tokenizer = load_tokenizer(Path(args.tokenizer))
    bare = Tokenizer.from_str(tokenizer.to_str())
    bare.no_padding()
    bare.enable_truncation(LENGTH)

    def ours(cache: Path | None) -> np.ndarray:
        return tokenize(texts, tokenizer, LENGTH, cache=cache, poll=lambda: None).ids

    def rust() -> np.ndarray:
        encodings = bare.encode_batch_fast(list(texts[0]))
        return np.fromiter(chain.from_iterable(e.ids for e in encodings), np.int32)

    with tempfile.TemporaryDirectory() as cache:
        quick: dict[str, Callable[[], Any]] = {
            "bare Rust": rust,
            "Rust, ids left inside": lambda: bare.encode_batch_fast(list(texts[0])),
            "jaxdistill": lambda: ours(None),
            "jaxdistill, from cache": lambda: ours(Path(cache)),
        }
        slow = hugging_face(args.tokenizer, list(texts[0])) if args.slow_blocks else {}
        wanted = rust()
        assert (ours(None) == wanted).all() and (ours(Path(cache)) == wanted).all()
        if slow:
            found = list(chain.from_iterable(slow["HF"]()["input_ids"]))
            assert (np.array(found) == wanted).all()
        print(f"all give the same {len(wanted):,} tokens")
        measured = Measured(defaultdict(dict), {}, {}, [], [], {})
        for number in range(args.blocks):
            programs = quick | (slow if number < args.slow_blocks else {})
            measure(programs, measured, args.patience)
            say(f"block {number + 1}/{args.blocks}")
    report(__doc__.splitlines()[0], measured, {"rows": len(texts[0])})


def measure(programs: dict[str, Callable[[], Any]], measured: Measured, patience: float) -> None:
    """One block of each."""
    for name, run in programs.items():
        measured.loads.append(os.getloadavg()[0])
        measured.others.append(wait_for_quiet(patience))
        begun = time.perf_counter()
        run()
        seconds = time.perf_counter() - begun
        measured.seconds["67,349 rows"].setdefault(name, []).append(seconds)


def hugging_face(folder: str, texts: list[str]) -> dict[str, Callable[[], Any]]:
    """The calls that transformers' users make."""
    from transformers import AutoTokenizer

    theirs = AutoTokenizer.from_pretrained(folder)
    return {
        "HF": lambda: theirs(texts, truncation=True, max_length=LENGTH),
        "HF padded to 128": lambda: theirs(
            texts, truncation=True, max_length=LENGTH, padding="max_length"
        ),
    }


if __name__ == "__main__":
    main()
