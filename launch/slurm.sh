#!/usr/bin/env bash
# One run as a SLURM job that goes on after every preemption: launch/slurm.sh [flags] -- main's flags
#
#   --nodes N            machines (1)
#   --gpus-per-node G    GPUs of each; 0 for a run on CPUs (0)
#   --tasks-per-node T   processes on each, which share its GPUs out among them (1)
#   --cpus-per-task C    cores of each process; without it SLURM's default
#   --time T             the limit, as 24:00:00; without it the partition's
#   --warning S          seconds before the limit at which the run is told to save (120)
#   --partition P, --account A, --name NAME (jaxdistill)
#   --python FILE        the Python to run on the nodes; without it .venv's (launch/install.sh makes it)
#   --dry-run            print the command and the job's script
#
# What else sbatch is to know goes into its own variables, such as SBATCH_QOS and SBATCH_CONSTRAINT.
# The folder of this repository must be there on every node; the run folder needs no shared disk.
# Output goes to runs/NAME-JOBID.out. The job leaves with 0 when the run is done.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=launch/venv.sh
source launch/venv.sh
# shellcheck source=launch/common.sh
source launch/common.sh

nodes=1
gpus_per_node=0
tasks_per_node=1
cpus_per_task=''
time=''
warning=120
partition=''
account=''
name=jaxdistill
python=$PWD/$venv
parse "nodes gpus-per-node tasks-per-node cpus-per-task time warning partition account name python" \
  dry-run "$@"
main_flags
whole nodes "$nodes"
[[ $gpus_per_node == 0 ]] || whole gpus-per-node "$gpus_per_node"
whole tasks-per-node "$tasks_per_node"
[[ -z $cpus_per_task ]] || whole cpus-per-task "$cpus_per_task"
whole warning "$warning"
[[ $time =~ ^[0-9:-]*$ ]] || fail "--time is $time, and must be as 90, 24:00:00 or 2-00:00:00"
[[ $name =~ ^[A-Za-z0-9_.-]+$ ]] || fail "--name is ${name:-empty}, and becomes part of a file's name"
((gpus_per_node % tasks_per_node == 0)) ||
  fail "--gpus-per-node $gpus_per_node cannot be shared out evenly over --tasks-per-node $tasks_per_node"
[[ -n $dry_run || -x $python ]] || fail "$python is not there: launch/install.sh makes it, or say --python"
needs sbatch

# Without B: the warning goes to the tasks of the step, which save, and not to the job's shell.
command=(sbatch --job-name="$name" --nodes="$nodes" --ntasks-per-node="$tasks_per_node"
  --signal="USR1@$warning" --requeue --open-mode=append --output="runs/%x-%j.out")
if ((gpus_per_node)); then command+=(--gpus-per-node="$gpus_per_node"); fi
if [[ -n $cpus_per_task ]]; then command+=(--cpus-per-task="$cpus_per_task"); fi
if [[ -n $time ]]; then command+=(--time="$time"); fi
if [[ -n $partition ]]; then command+=(--partition="$partition"); fi
if [[ -n $account ]]; then command+=(--account="$account"); fi

# A task that leaves must not take the others with it while they save: --kill-on-bad-exit=0, --wait=0.
# (When one dies, the others leave by themselves within JAX's heartbeat.)
step=(srun --kill-on-bad-exit=0 --wait=0)
if [[ -n $cpus_per_task ]]; then step+=(--cpus-per-task="$cpus_per_task"); fi # srun does not take sbatch's
run=("$python" -m jaxdistill.main "${rest[@]}")
if ((gpus_per_node)); then
  each=$((gpus_per_node / tasks_per_node))
  # Every task sees all GPUs of its node and is told its own: left alone, JAX would take one a task.
  step+=(--gpu-bind=none)
  # shellcheck disable=SC2016  # for the task's shell
  share='first=$((SLURM_LOCALID * EACH)) && JAX_LOCAL_DEVICE_IDS=$(seq -s, $first $((first + EACH - 1))) exec "$@"'
  run=(bash -c "${share//EACH/$each}" task "${run[@]}")
fi

job() {
  cat <<JOB
#!/usr/bin/env bash
# Written by launch/slurm.sh.
cd $(quoted "$PWD") || exit 1
step=''
# A signal that comes to this shell must not end it before its step. As SIGUSR1 it can be passed on
# though the tasks may have had it themselves: a second SIGTERM would make them leave without saving.
trap '[[ -z \$step ]] || kill -USR1 "\$step" 2>/dev/null' TERM INT USR1
$(quoted "${step[@]}" "${run[@]}") &
step=\$!
while kill -0 "\$step" 2>/dev/null; do wait "\$step"; done
wait "\$step"
status=\$?
if [[ \$status == 85 ]]; then
  echo "stopped and saved; the job goes back to the queue"
  scontrol requeue "\$SLURM_JOB_ID"
fi
exit "\$status"
JOB
}

if [[ -n $dry_run ]]; then
  printf "%s <<'JOB'\n" "$(quoted "${command[@]}")"
  job
  echo JOB
else
  mkdir -p runs # SLURM makes no folder for the output
  job | "${command[@]}"
fi
