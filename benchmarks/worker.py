"""A child of benchmarks.common: reads requests, one JSON list a line, and answers each by a line.

python -m benchmarks.worker '{"kind": "ours", ...}'
"""

from __future__ import annotations

import importlib
import json
import os
import sys

KINDS = {
    "ours": ("benchmarks.ours", "Training"),
    "torch": ("benchmarks.peers", "Training"),
    "textbrewer": ("benchmarks.textbrewer_peer", "Training"),
    "our_inference": ("benchmarks.ours", "Inference"),
    "torch_inference": ("benchmarks.peers", "Inference"),
    "our_bilstm": ("benchmarks.bilstm", "Ours"),
    "torch_bilstm": ("benchmarks.bilstm", "Torch"),
}
"""Where the workers are. Each has threads(), check(), warm() and block()."""


def main() -> None:
    """Serves until standard input ends."""
    channel = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a library prints goes to the log
    options = json.loads(sys.argv[1])
    module, name = KINDS[options["kind"]]
    worker = getattr(importlib.import_module(module), name)(options)
    for line in sys.stdin:
        what, *arguments = json.loads(line)
        print(json.dumps(getattr(worker, what)(*arguments)), file=channel, flush=True)


if __name__ == "__main__":
    main()
