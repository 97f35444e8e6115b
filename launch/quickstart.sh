#!/usr/bin/env bash
# A teacher and its student on generated reviews: launch/quickstart.sh [main's flags]
# Makes .venv in the repository's root and installs into it, then trains into runs/quickstart. Needs
# Python 3.11 or newer and, for the installation, the package index; no data and no network besides.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=launch/venv.sh
source launch/venv.sh

if [[ ${1:-} == -h || ${1:-} == --help ]]; then
  usage
  exit
fi
make_venv
if ! installed test && ! installed package; then
  install_package package .
  mark_installed package
fi
exec "$venv" -m jaxdistill.main --config configs/quickstart.py --workdir runs/quickstart "$@"
