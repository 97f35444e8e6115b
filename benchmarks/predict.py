"""What `predict` keeps in memory over a million lines: python -m benchmarks.predict RUN

Generates lines of 0 to 60 words, sends them through the verb's pipe, checks that every row is
answered in order, and prints the process' resident memory after every tenth of them. Flat from the
second line on is what is promised: the first has the compiler's work in it.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import IO

WORDS = (
    "the a film plot cast story it is was very not good bad dull warm clever and of with".split()
)


def send(pipe: IO[bytes], rows: int, longest: int) -> None:
    """Writes that many lines and closes the pipe."""
    draw = random.Random(0)
    for start in range(0, rows, 1000):
        lines = (
            " ".join(draw.choices(WORDS, k=draw.randrange(longest)))
            for _ in range(min(1000, rows - start))
        )
        pipe.write(("\n".join(lines) + "\n").encode())
    pipe.close()


def resident(process: int) -> float:
    """Megabytes that the process has in memory."""
    status = Path(f"/proc/{process}/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("VmRSS:"))
    return float(line.split()[1]) * 1024 / 1e6


def main() -> None:
    """The program."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", help="a finished run over single texts, such as runs/quickstart")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--longest", type=int, default=60, help="words of a line, at most")
    args = parser.parse_args()
    child = subprocess.Popen(
        [sys.executable, "-m", "jaxdistill.predict", args.run],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ,
    )
    assert child.stdin and child.stdout
    threading.Thread(target=send, args=(child.stdin, args.rows, args.longest), daemon=True).start()
    begun, every, seen = time.monotonic(), max(1, args.rows // 10), []
    expected = -1
    for expected, line in enumerate(child.stdout):
        answer = json.loads(line)
        if answer["row"] != expected:
            raise SystemExit(f"row {expected} was expected, {answer['row']} came")
        if (expected + 1) % every == 0 and expected + 1 < args.rows:  # alive: more is to come
            seen.append(resident(child.pid))
            seconds = time.monotonic() - begun
            print(f"{expected + 1:>10,} rows  {seen[-1]:8.1f} MB  {seconds:7.1f} s", flush=True)
    if child.wait() != 0 or expected + 1 != args.rows:
        raise SystemExit(f"{expected + 1:,} of {args.rows:,} rows, exit {child.returncode}")
    seconds = time.monotonic() - begun
    print(
        json.dumps(
            {
                "rows": args.rows,
                "megabytes": [round(number, 1) for number in seen],
                "rows_per_second": round(args.rows / seconds, 1),
            }
        )
    )


if __name__ == "__main__":
    main()
