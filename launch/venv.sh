# shellcheck shell=bash
# Sourced by the scripts beside it: .venv in the repository's root, and what is installed into it.

say() { printf '%s: %s\n' "launch/$(basename "$0")" "$*" >&2; }

# The comment at the top of the script.
usage() { sed -n '2,/^[^#]/s/^# \{0,1\}//p' "launch/$(basename "$0")"; }

new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }

venv=.venv/bin/python

# Makes .venv with the first Python that is new enough, unless it is there.
make_venv() {
  if new_enough "$venv"; then
    # Without pip where the making of it was cut off.
    "$venv" -c 'import pip' >/dev/null 2>&1 || "$venv" -m ensurepip >&2
    return
  fi
  local base='' candidate
  for candidate in python3 python3.12 python3.11; do
    if new_enough "$candidate"; then
      base=$candidate
      break
    fi
  done
  if [[ -z $base ]]; then
    say "needs Python 3.11 or newer; found $(python3 --version 2>/dev/null || echo nothing) as" \
      "python3, and no python3.12 or python3.11. Install one of them and put it on the PATH."
    exit 2
  fi
  say "making .venv with $("$base" --version)"
  if ! "$base" -m venv --clear .venv >&2; then
    rm -rf .venv # half made
    say "$base cannot make virtual environments; on Debian and Ubuntu: apt install python3-venv"
    exit 2
  fi
}

# What decides what is installed; the folder too, for a copied .venv still imports from the old one.
fingerprint() {
  "$venv" - <<'PYTHON'
import hashlib, os, pathlib, sys
digest = hashlib.sha256(f"{sys.version} {os.getcwd()}".encode())
for name in ("pyproject.toml", "constraints.txt", "launch/venv.sh", "launch/test.sh"):
    digest.update(pathlib.Path(name).read_bytes())
print(digest.hexdigest())
PYTHON
}

pip_install() {
  "$venv" -m pip install --quiet --quiet --disable-pip-version-check --no-input "$@"
}

# installed NAME: whether what NAME stands for is installed and still what is wanted.
installed() { [[ -f .venv/installed-$1 && $(<".venv/installed-$1") == "$(fingerprint)" ]]; }

# mark_installed NAME: to be called when it is.
mark_installed() { fingerprint >".venv/installed-$1"; }

# install_package NAME REQUIREMENT: the package of this repository, editable, with what it needs.
install_package() {
  if installed "$1"; then return; fi
  say "installing into .venv; this takes a minute or two the first time"
  pip_install --constraint constraints.txt --editable "$2" >&2
}
