"""Memory that is kept instead of given back and fetched again at every step.

XLA on a CPU allocates its buffers anew for every program it runs. glibc takes each large one from
the kernel and returns it, and the kernel clears every page again: a third to a half of a training
step on a small BERT. With the tunables below freed memory stays with the process, in huge pages
where the kernel has them. They are read when a process starts, so the process is replaced once.
"""

from __future__ import annotations

import os
import platform
import sys

TUNABLES = "glibc.malloc.hugetlb=1:glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=68719476736"
"""hugetlb=1: transparent huge pages (glibc 2.35; older ones leave it out). mmap_max=0: none of its
memory is returned by unmapping. trim_threshold: 64 GiB, so that none is returned at all."""


def keep_memory() -> None:
    """Starts this same command again with the tunables, unless the user has set some.

    Does nothing where the C library is not glibc. The process keeps its number.
    """
    if platform.libc_ver()[0] != "glibc" or "GLIBC_TUNABLES" in os.environ:
        return
    sys.stdout.flush()
    sys.stderr.flush()
    environment = {**os.environ, "GLIBC_TUNABLES": TUNABLES}
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)
