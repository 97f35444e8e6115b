#!/usr/bin/env bash
# Makes .venv in the repository's root and installs the package: launch/install.sh [requirement ...]
#
# Requirements say for which devices: 'jax[cuda13]' on NVIDIA's, 'jax[tpu]' on a TPU VM, none on a CPU.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=launch/venv.sh
source launch/venv.sh
# shellcheck source=launch/common.sh
source launch/common.sh

case ${1:-} in
  -h | --help)
    usage
    exit
    ;;
  -*) fail "does not know $1; --help says what it does" ;;
esac
make_venv
if ! installed test; then
  install_package package .
  mark_installed package
fi
if (($#)); then pip_install --constraint constraints.txt "$@" >&2; fi
