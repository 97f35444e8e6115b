#!/usr/bin/env bash
# One run on a TPU VM or a pod slice: launch/tpu_vm.sh VERB --name NAME --zone ZONE [flags] [-- main's flags]
#
#   create    makes the TPU VM
#   install   copies this repository to every worker and installs it there; the run folders kept here
#             go to worker 0 if it has none
#   run       starts the run, or follows the one that runs; starts it again when it was stopped and
#             saved (85); leaves with its exit status. Ctrl-C stops following, not the run
#   fetch     brings worker 0's run folders here
#   delete    deletes the TPU VM
#   all       create, install, run, fetch, delete; if the run failed, it is fetched and deleted too
#
#   --type TYPE        (create, all) the accelerator, such as v5litepod-16
#   --runtime VERSION  (create, all) the software version, such as v2-alpha-tpuv5-lite
#   --spot             cheaper, and taken away at any time: run then makes it anew and goes on
#   --assets FOLDER    (install, all) data and checkpoints, copied to every worker under FOLDER's last name
#   --runs FOLDER      where the run folders are kept here (runs/NAME)
#   --every SECONDS    between two fetches, while the run runs (600)
#   --dry-run          print the commands
#
# A worker's disk is lost with a spot TPU VM. What is kept here is what the run goes on from, so at
# most SECONDS and the time since the last checkpoint are lost; a copy of a checkpoint that was cut
# short is noticed by its manifest, and the one before it is taken. Needs gcloud and rsync; for long
# runs use a small VM near the TPU, not a laptop. Paths are relative to the repository's root.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=launch/venv.sh
source launch/venv.sh
# shellcheck source=launch/common.sh
source launch/common.sh

name=''
zone=''
type=''
runtime=''
spot=''
assets=''
runs=''
every=600
status=''
case ${1:-} in
  create | install | run | fetch | delete | all) verb=$1 && shift ;;
  -h | --help) usage && exit ;;
  *) fail "does not know ${1:-nothing}; the verbs are create, install, run, fetch, delete, all" ;;
esac
parse "name zone type runtime assets runs every" "spot dry-run" "$@"
given name "$name"
given zone "$zone"
named name "$name"
named zone "$zone"
whole every "$every"
if [[ $verb == run || $verb == all ]]; then main_flags; fi
if [[ $verb == create || $verb == all || ($verb == run && -n $spot) ]]; then
  given type "$type"
  given runtime "$runtime"
fi
if [[ -n $assets && -z $dry_run && ! -d $assets ]]; then fail "--assets $assets is not a folder"; fi
runs=${runs:-runs/$name}
needs gcloud
needs rsync

# tpu VERB WORD...: gcloud's command on this TPU VM.
tpu() { perform gcloud compute tpus tpu-vm "$1" "$name" --zone="$zone" "${@:2}"; }

# In the repository there, on every worker, or on the first and with its answer.
everywhere() { tpu ssh --worker=all --command="cd jaxdistill && $1"; }
first() {
  ask "$1" gcloud compute tpus tpu-vm ssh "$name" --zone="$zone" --worker=0 \
    --command="cd jaxdistill && $2"
}

# READY, PREEMPTED, ...; nothing when there is no such TPU VM, or no answer.
state() {
  ask READY gcloud compute tpus tpu-vm describe "$name" --zone="$zone" '--format=value(state)' || true
}

create() {
  tpu create --accelerator-type="$type" --version="$runtime" ${spot:+--spot}
}

delete() { tpu delete --quiet; }

# A folder of runs that is gone over there must not empty the one here: each is mirrored by itself,
# and what it lost is deleted only when all else has come. What says that something is finished
# comes after the checkpoints that it speaks of.
fetch() {
  local -a kept=(--rsh="launch/tpu_rsh.sh $zone" "$name:jaxdistill/runs/*" "$runs/")
  perform mkdir -p "$runs" &&
    perform rsync --archive --exclude=done.json --exclude=report.json "${kept[@]}" &&
    perform rsync --archive --delete-after "${kept[@]}"
}

# Half of the run folders must not pass for all of them: they get their name when all have come.
push() {
  local have
  have=$(first no 'if [ -d runs ]; then echo yes; else echo no; fi') || return
  if [[ $have == no && (-n $dry_run || -d $runs) ]]; then
    perform rsync --archive --exclude='worker.*' --rsh="launch/tpu_rsh.sh $zone" "$runs/" "$name:jaxdistill/runs.part/" &&
      tpu ssh --worker=0 --command="cd jaxdistill && mv runs.part runs"
  fi
}

# Every step says by its status whether the next makes sense: restore tries again.
install() {
  local archive=$runs.tgz
  local -a words=(tar --create --gzip --exclude=__pycache__ --file="$archive"
    jaxdistill configs launch pyproject.toml constraints.txt README.md LICENSE)
  if [[ -n $assets ]]; then words+=(-C "$(dirname "$assets")" "$(basename "$assets")"); fi
  # Ubuntu 22.04, on which TPU VMs run, has Python 3.10, and 3.11 as a package.
  local new="python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))'"
  local get="{ sudo apt-get update && sudo apt-get install --yes python3.11-venv; }"
  perform mkdir -p "$(dirname "$archive")" &&
    perform "${words[@]}" &&
    perform gcloud compute tpus tpu-vm scp "$archive" "$name:jaxdistill.tgz" --zone="$zone" --worker=all &&
    perform rm "$archive" &&
    tpu ssh --worker=all --command="mkdir -p jaxdistill && tar -xzf jaxdistill.tgz -C jaxdistill" &&
    everywhere "{ $new || $get; } && launch/install.sh 'jax[tpu]'" &&
    push &&
    everywhere 'touch installed'
}

# yes or no; fails without an answer.
installed() { first yes 'if [ -f installed ]; then echo yes; else echo no; fi'; }

# Brings a TPU VM back that was taken away. It may as well be there, and only the answer was missing.
restore() {
  local tries=5 now
  while ((tries)); do
    now=$(state)
    case $now in
      READY)
        if [[ $(installed || true) == yes ]] || install; then return; fi
        tries=$((tries - 1))
        ;;
      PREEMPTED | TERMINATED) delete || true ;;
      '') if create; then continue; fi ;;
      *) say "$name is $now" ;;
    esac
    perform sleep 60
  done
  say "$name is there again, but nothing can be installed on it"
  return 1
}

# Waits for the run's end and sets `status` to its exit status, or to gone, lost or none.
follow() {
  local fetched=$SECONDS
  status=running
  while [[ $status == running ]]; do
    perform sleep 60
    if ! status=$(first 0 'launch/worker.sh status'); then
      if [[ $(state) == READY ]]; then status=running; else status=gone; fi
    fi
    if [[ $status != running ]] || ((SECONDS - fetched >= every)); then
      fetch || say "could not fetch the run folders"
      fetched=$SECONDS
    fi
  done
}

# Starts the run, or finds it running.
start() {
  status=$(first none 'launch/worker.sh status') || return
  [[ $status == running ]] || everywhere "launch/worker.sh start $(quoted "${rest[@]}")"
}

# Sets `status` to how the run ended.
run() {
  local tries=5 now
  while :; do
    now=$(state)
    if [[ -n $spot && ($now != READY || $(installed || true) == no) ]]; then
      if ! restore; then status=1 && return; fi
    fi
    if start; then
      tries=5
      follow
    else
      status=unreached
    fi
    case $status in
      0 | 2) return ;; # 2 is wrong use: the same command would fail again
      85) say "stopped and saved; going on" ;;
      *)
        # No answer from it, or to the question what it is, need not be the end of the run there.
        if [[ $status == gone || $status == unreached ]]; then
          now=$(state)
          if [[ $now == READY || (-z $now && -z $spot) ]]; then
            tries=$((tries - 1))
            if ((tries)); then
              say "$name did not answer; asking again"
              perform sleep 60
              continue
            fi
          fi
        elif [[ -n $spot ]]; then
          now=$(state)
        fi
        if [[ -z $spot || $now == READY ]]; then
          [[ $status =~ ^[0-9]+$ ]] || status=1
          return
        fi
        say "$name was taken away; making it anew"
        ;;
    esac
  done
}

case $verb in
  create) create ;;
  install) install ;;
  fetch) fetch ;;
  delete) delete ;;
  run | all)
    if [[ $verb == all ]]; then
      create
      install
    fi
    run
    ((status == 0)) || say "the run ended with status $status; $runs/worker.log may say why"
    if [[ $verb == all ]]; then
      fetch # if it fails, the TPU VM stays
      delete
    fi
    exit "$status"
    ;;
esac
