#!/usr/bin/env bash
# The run on one worker of a TPU VM, kept alive without the connection that started it:
#
#   launch/worker.sh start main's flags   starts main; waits first for one that is about to end
#   launch/worker.sh status               running, its exit status, lost (the machine went down) or none
#
# launch/tpu_vm.sh calls it there. What main prints is in runs/worker.log.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=launch/venv.sh
source launch/venv.sh
# shellcheck source=launch/common.sh
source launch/common.sh

leader=runs/worker.pid
result=runs/worker.status
patience=180 # seconds: longer than JAX's heartbeat, after which a process that waits for a dead one ends

# By the result first: a process that nobody waits for may stay as a zombie after its end.
running() { [[ ! -f $result && -f $leader ]] && kill -0 "$(<"$leader")" 2>/dev/null; }

start() {
  local waited=0
  while running; do
    if ((waited >= patience)); then
      say "the last run does not end; killing it"
      kill -KILL -- "-$(<"$leader")" || true
    fi
    sleep 1
    waited=$((waited + 1))
  done
  mkdir -p runs
  rm -f "$result"
  # setsid: the end of the connection ends nothing. The status appears whole or not at all.
  # shellcheck disable=SC2016  # for the inner shell
  setsid bash -c '
    result=$1
    shift
    status=0
    "$@" || status=$?
    echo "$status" >"$result.new" && mv "$result.new" "$result"
  ' worker "$result" "$venv" -m jaxdistill.main "$@" </dev/null >>runs/worker.log 2>&1 &
  echo "$!" >"$leader"
}

case ${1:-} in
  start) start "${@:2}" ;;
  status)
    if [[ -f $result ]]; then
      cat "$result"
    elif running; then
      echo running
    elif [[ -f $leader ]]; then
      echo lost
    else
      echo none
    fi
    ;;
  -h | --help) usage ;;
  *) fail "does not know ${1:-nothing}; --help says what it does" ;;
esac
