#!/usr/bin/env bash
# rsync's way to worker 0 of a TPU VM: rsync --rsh="launch/tpu_rsh.sh ZONE" NAME:FOLDER FOLDER
set -euo pipefail
zone=$1
name=$2
shift 2
# rsync's words are quoted for the shell over there already; ssh, too, would join them with spaces.
exec gcloud compute tpus tpu-vm ssh "$name" --zone="$zone" --worker=0 --command="$*"
