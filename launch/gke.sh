#!/usr/bin/env bash
# One run on a Kubernetes cluster with JobSet, such as GKE: launch/gke.sh [flags] -- main's flags
#
#   --name NAME        of the JobSet
#   --image IMAGE      holds this repository, installed, as its working folder (docs/scaling.md)
#   --claim CLAIM      a PersistentVolumeClaim that every machine can mount (ReadWriteMany): the runs
#   --mount FOLDER     where the image expects them (/jaxdistill/runs)
#   --nodes N          machines, with one process each (1)
#   --tpu TYPE, --topology SHAPE, --chips C   GKE's names of a TPU slice, as tpu-v5-lite-podslice and 4x4,
#                      and the chips of each machine (4); N times C must be what the slice has
#   --gpus G           NVIDIA GPUs of each machine; --gpu TYPE, GKE's name, as nvidia-h200-141gb
#   --spot             on machines that may be taken away
#   --restarts N       how often all processes may start again, after a preemption or a crash (100)
#   --namespace SPACE  without it kubectl's
#   --dry-run          print the command and what it applies
#
# When a process ends with anything but 0 all are started again together, and go on from the last
# checkpoint; at 2, wrong use, the JobSet fails. Afterwards: kubectl logs job/NAME-run-0 -f, kubectl get
# jobset NAME, kubectl delete jobset NAME.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=launch/venv.sh
source launch/venv.sh
# shellcheck source=launch/common.sh
source launch/common.sh

name=''
image=''
claim=''
mount=/jaxdistill/runs
nodes=1
tpu=''
topology=''
chips=4
gpus=''
gpu=''
spot=''
restarts=100
namespace=''
parse "name image claim mount nodes tpu topology chips gpus gpu restarts namespace" "spot dry-run" "$@"
main_flags
given name "$name"
given image "$image"
given claim "$claim"
named name "$name"
whole nodes "$nodes"
whole restarts "$restarts"
[[ $mount == /* ]] || fail "--mount is ${mount:-empty}, and must be a folder from the root, as /jaxdistill/runs"
[[ -z $tpu || -z $gpus$gpu ]] || fail "--tpu and --gpus are for different machines: one or the other"
[[ -z $gpu || -n $gpus ]] || fail "--gpu $gpu wants --gpus too: how many of them each machine has"
if [[ -n $tpu ]]; then
  given topology "$topology"
  whole chips "$chips"
  shape='^[1-9][0-9]*(x[1-9][0-9]*){1,2}$'
  [[ $topology =~ $shape ]] || fail "--topology is $topology, and must be as 4x4 or 2x2x4"
  ((${topology//x/*} == nodes * chips)) ||
    fail "a slice of $topology has $((${topology//x/*})) chips, not --nodes $nodes times --chips $chips"
fi
[[ -z $gpus ]] || whole gpus "$gpus"
needs kubectl

# text WORD: as a JSON string, which is a YAML string too.
text() {
  local word=$1
  word=${word//\\/\\\\}
  word=${word//\"/\\\"}
  word=${word//$'\n'/\\n}
  word=${word//$'\t'/\\t}
  printf '"%s"' "$word"
}

# argument WORD: one of main's; Kubernetes puts variables in the place of $(NAME), and $ for $$.
argument() { printf '%20s- %s\n' '' "$(text "${1//\$/\$\$}")"; }

selector() {
  local -a lines=()
  if [[ -n $tpu ]]; then
    lines+=("cloud.google.com/gke-tpu-accelerator: $(text "$tpu")"
      "cloud.google.com/gke-tpu-topology: $(text "$topology")")
  fi
  if [[ -n $gpu ]]; then lines+=("cloud.google.com/gke-accelerator: $(text "$gpu")"); fi
  if [[ -n $spot ]]; then lines+=('cloud.google.com/gke-spot: "true"'); fi
  if ((${#lines[@]})); then
    printf '              nodeSelector:\n'
    printf '                %s\n' "${lines[@]}"
  fi
  if [[ -n $spot ]]; then
    printf '              tolerations:\n'
    printf '                - {key: cloud.google.com/gke-spot, operator: Equal, value: "true", effect: NoSchedule}\n'
  fi
}

resources() {
  if [[ -n $tpu ]]; then
    printf '                  resources: {limits: {google.com/tpu: %s}}\n' "$chips"
  elif [[ -n $gpus ]]; then
    printf '                  resources: {limits: {nvidia.com/gpu: %s}}\n' "$gpus"
  fi
}

# One machine needs no coordinator. Of several the first is found by the name that JobSet gives it.
together() {
  if ((nodes == 1)); then return; fi
  printf '%20s- %s\n' '' "\"--coordinator=$name-run-0-0.$name:8482\"" '' "\"--processes=$nodes\"" \
    '' "\"--process=\$(PROCESS)\""
}

manifest() {
  cat <<YAML
apiVersion: jobset.x-k8s.io/v1alpha2
kind: JobSet
metadata:
  name: $name
spec:
  failurePolicy:
    maxRestarts: $restarts
    rules:
      - action: FailJobSet # below: status 2 alone
        onJobFailureReasons: [PodFailurePolicy]
  replicatedJobs:
    - name: run
      replicas: 1
      template:
        spec:
          completionMode: Indexed
          completions: $nodes
          parallelism: $nodes
          backoffLimit: 0
          podFailurePolicy:
            rules:
              - action: FailJob
                onExitCodes: {containerName: main, operator: In, values: [2]}
          template:
            spec:
              restartPolicy: Never
              terminationGracePeriodSeconds: 120
$(selector)
              containers:
                - name: main
                  image: $(text "$image")
                  command: [python, -m, jaxdistill.main]
                  args:
$(together)
$(for word in "${rest[@]}"; do argument "$word"; done)
                  env:
                    - name: PROCESS
                      valueFrom:
                        fieldRef:
                          fieldPath: metadata.annotations['batch.kubernetes.io/job-completion-index']
$(resources)
                  volumeMounts:
                    - {name: runs, mountPath: $(text "$mount")}
              volumes:
                - name: runs
                  persistentVolumeClaim: {claimName: $(text "$claim")}
YAML
}

command=(kubectl apply --filename=-)
if [[ -n $namespace ]]; then command+=(--namespace="$namespace"); fi
if [[ -n $dry_run ]]; then
  printf "%s <<'YAML'\n" "$(quoted "${command[@]}")"
  manifest | sed '/^$/d'
  echo YAML
else
  manifest | sed '/^$/d' | "${command[@]}"
fi
