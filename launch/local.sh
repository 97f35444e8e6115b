#!/usr/bin/env bash
# One run on the devices of this machine, by one process or several: launch/local.sh [flags] -- main's flags
#
#   --processes P   that many processes, which work on one run (1)
#   --devices N     N devices in all, made of this machine's CPU; without it all GPUs here, or the CPU
#   --grace S       when a process dies, the others are asked to stop after S seconds and killed after
#                   2 S (10)
#   --python FILE   the Python to run; without it .venv's, which is made if it is not there
#   --dry-run       print the commands
#
# Several processes share the GPUs out among them. SIGTERM, SIGINT and SIGUSR1 go to all of them. The
# exit status is that of the first process that failed, else 85 if the run was stopped and saved.
# Paths are relative to the repository's root.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=launch/venv.sh
source launch/venv.sh
# shellcheck source=launch/common.sh
source launch/common.sh

processes=1
devices=''
grace=10
python=''
parse "processes devices grace python" dry-run "$@"
main_flags
whole processes "$processes"
whole grace "$grace"

# The numbers of the GPUs here that may be used, or nothing.
gpus() {
  if [[ ${JAX_PLATFORMS:-} == cpu ]]; then return; fi
  if [[ -n ${CUDA_VISIBLE_DEVICES+set} ]]; then
    printf '%s\n' "${CUDA_VISIBLE_DEVICES//,/ }"
  elif command -v nvidia-smi >/dev/null; then
    { nvidia-smi --query-gpu=index --format=csv,noheader || true; } | grep -E '^[0-9]+$' | tr '\n' ' ' || true
  fi
}

everywhere=() # the environment of every process
read -ra cards <<<"$(gpus)"
if [[ -n $devices ]]; then
  whole devices "$devices"
  ((devices % processes == 0)) ||
    fail "--devices $devices cannot be shared out evenly over --processes $processes"
  forced=--xla_force_host_platform_device_count=$((devices / processes))
  everywhere=(JAX_PLATFORMS=cpu "XLA_FLAGS=${XLA_FLAGS:+$XLA_FLAGS }$forced")
  cards=()
elif ((${#cards[@]} % processes)); then
  fail "${#cards[@]} GPU(s) cannot be shared out evenly over --processes $processes;" \
    "CUDA_VISIBLE_DEVICES says which to use"
fi

if [[ -z $python ]]; then
  python=$venv
  if [[ -z $dry_run ]]; then
    make_venv
    if ! installed test; then
      install_package package .
      mark_installed package
    fi
  fi
elif [[ -z $dry_run ]]; then
  new_enough "$python" || fail "--python $python does not run, or is older than Python 3.11"
fi

if ((processes == 1)); then
  words=(env ${everywhere[@]+"${everywhere[@]}"} "$python" -m jaxdistill.main "${rest[@]}")
  [[ -n $dry_run ]] || exec "${words[@]}"
  perform "${words[@]}"
  exit
fi

if [[ -n $dry_run ]]; then
  port=PORT
else
  free='import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
  port=$("$python" -c "$free")
fi

pids=() # every process, by its number in the run
alive=()

# forward SIGNAL: to every process that lives.
forward() {
  local pid
  for pid in ${alive[@]+"${alive[@]}"}; do kill -s "$1" "$pid" 2>/dev/null || true; done
}

# Each process leads a group, so that what it started goes with it.
finish() {
  local pid
  for pid in ${alive[@]+"${alive[@]}"}; do kill -KILL -- "-$pid" 2>/dev/null || true; done
}
for name in TERM INT USR1; do
  # shellcheck disable=SC2064  # the name as it is now
  trap "forward $name" "$name"
done
trap 'forward TERM' HUP
trap finish EXIT

each=$((${#cards[@]} / processes))
for ((i = 0; i < processes; i++)); do
  words=(env ${everywhere[@]+"${everywhere[@]}"})
  if ((each)); then
    mine=("${cards[@]:i*each:each}")
    words+=("CUDA_VISIBLE_DEVICES=$(IFS=, && printf %s "${mine[*]}")")
  fi
  words+=("$python" -m jaxdistill.main --coordinator="127.0.0.1:$port"
    --processes="$processes" --process="$i" "${rest[@]}")
  if [[ -n $dry_run ]]; then
    perform "${words[@]}"
    continue
  fi
  # With job control a process gets a group of its own: a Ctrl-C comes to this script alone, once.
  set -m
  "${words[@]}" </dev/null &
  set +m
  pids+=("$!")
  alive+=("$!")
done
[[ -z $dry_run ]] || exit 0

failed='' # status of the first process that died
preempted=''
since='' # when it was found dead
told=''
while ((${#alive[@]})); do
  still=()
  for ((i = 0; i < processes; i++)); do
    pid=${pids[i]}
    if [[ " ${alive[*]} " != *" $pid "* ]]; then continue; fi
    if kill -0 "$pid" 2>/dev/null; then
      still+=("$pid")
      continue
    fi
    status=0
    wait "$pid" || status=$?
    if ((status == 85)); then
      preempted=yes
    elif ((status)); then
      say "process $i ended with status $status"
      since=${since:-$SECONDS}
      failed=${failed:-$status}
    fi
  done
  alive=(${still[@]+"${still[@]}"})
  if [[ -n $failed ]] && ((${#alive[@]})); then
    # They may be waiting for the dead one in a collective, where no signal handler of Python runs.
    if [[ -z $told ]] && ((SECONDS - since >= grace)); then
      say "stopping the others"
      forward TERM
      told=yes
    elif ((SECONDS - since >= 2 * grace)); then
      finish
    fi
  fi
  ((${#alive[@]} == 0)) || sleep 0.5 || true
done
if [[ -n $failed ]]; then exit "$failed"; fi
if [[ -n $preempted ]]; then exit 85; fi
