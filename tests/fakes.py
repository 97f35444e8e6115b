"""Programs on the PATH that note down how they are called, in the place of clouds and clusters.

The machine may have the real ones: none of them must ever be reached from a test.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).parents[1]
TOOLS = "gcloud kubectl rsync sbatch scontrol srun ssh".split()
AWKWARD = [
    "--config",
    "configs/kd_sst2.py",
    "--config.data.buckets=(16, 32)",
    "--config.student.pick=",
    "--a=it's",
    '--b="two"  spaces',
    "--c=$HOME $(id) `id` $$",
    "--d=\\n * ? ~ ! # & | ; < >",
    "--e=two\nlines",
    "",
    "--f=评论é",
]
"""Words for main that a shell, YAML or Kubernetes would change if it were let."""


class Fakes:
    """A folder of programs. What is not told what to do fails with 97, after noting the call."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "bin").mkdir(parents=True)
        for tool in TOOLS:
            self.does(tool, "exit 97")

    def does(self, tool: str, script: str) -> Path:
        """Makes a program of a bash script; its arguments are noted before it runs."""
        note = f"echo $$ >>'{self.folder}/pids'\n"
        note += f"{{ printf '%s\\0' {tool} \"$@\"; printf '\\036'; }} >>'{self.folder}/calls'"
        path = self.folder / "bin" / tool
        path.write_text(f"#!/usr/bin/env bash\n{note}\n{script}\n", "utf-8")
        path.chmod(0o755)
        return path

    def calls(self, tool: str | None = None) -> list[list[str]]:
        """Every call as its words, in order; of one program without its name."""
        path = self.folder / "calls"
        text = path.read_bytes().decode() if path.exists() else ""
        every = [record.split("\0")[:-1] for record in text.split("\036") if record]
        return every if tool is None else [call[1:] for call in every if call[0] == tool]

    def environment(self, **more: str) -> dict[str, str]:
        """What the scripts are run with: no GPU, nothing of SLURM or JAX, the fakes first."""
        drop = ("JAX_PLATFORMS", "SLURM_", "XLA_FLAGS")
        kept = {k: v for k, v in os.environ.items() if not k.startswith(drop)}
        path = f"{self.folder / 'bin'}:{os.environ['PATH']}"
        return {**kept, "PATH": path, "CUDA_VISIBLE_DEVICES": "", **more}

    def launch(self, script: str, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
        """Runs launch/SCRIPT and waits for it."""
        return self.run(["bash", str(ROOT / "launch" / script), *words], **more)

    def run(self, words: Sequence[str], **more: str) -> subprocess.CompletedProcess[str]:
        """Runs any command among the fakes."""
        return subprocess.run(
            words,
            env=self.environment(**more),
            cwd="/",  # the scripts find their own way
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
        )

    def end(self) -> None:
        """Kills what a failed test left running."""
        path = self.folder / "pids"
        for pid in path.read_text().split() if path.exists() else ():
            with suppress(OSError):
                if str(self.folder) in Path(f"/proc/{pid}/environ").read_bytes().decode():
                    os.kill(int(pid), signal.SIGKILL)
