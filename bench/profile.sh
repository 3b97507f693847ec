#!/usr/bin/env bash
# Profiles a few training steps, after warm-up, with NVIDIA's tools, and prints a short table.
#
#   profile.sh nsys OUT [FLAGS...]     Nsight Systems: share of the step by NVTX range, and the longest kernels
#   profile.sh ncu OUT [FLAGS...]      Nsight Compute: the recurrence's two kernels: occupancy, tensor and FMA pipes, barriers
#
# OUT is the report's name without its ending; FLAGS are those of reel train, as in --precision mixed --batch-size 1024.
# REEL_PROGRAM is the program, if it is not found beside this script. What to do when the GPU's counters are refused stands
# in docker/README.md.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
tool=${1:-nsys}
out=${2:-profile}
shift $(($# < 2 ? $# : 2))
die() { printf 'profile.sh: %s\n' "$*" >&2; exit 1; }

program=${REEL_PROGRAM:-}
for candidate in "$here"/../bin/reel "$here"/../build/{bundle,cuda}/host/cli/reel; do
  if [[ -z $program && -x $candidate ]]; then program=$candidate; fi
done
[[ -n $program ]] || die "found no reel beside this script, expected its path in REEL_PROGRAM"
command -v "$tool" >/dev/null || die "found no $tool, expected it on the PATH (the CUDA Toolkit or the profile image have it)"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# train STEPS: Reel's flag --profile brackets the steps that are recorded. Kernels are started one by one, so that each lies
# in its range.
train=("$program" train --device cuda --no-graph --quiet --out "$work/run" "$@")
steps() { echo --profile "$1" --max-steps $((20 + $1 + 1)); }

# columns FILE NAME...: these columns of a CSV file, tab-separated; a column is known by how its name begins.
columns() {
  python3 - "$@" <<'PYTHON'
import csv
import sys

path, wanted = sys.argv[1], sys.argv[2:]
with open(path, newline="") as file:
    lines = [line for line in file if line.count(",") >= 2]
rows = list(csv.reader(lines))
columns = [next(i for i, name in enumerate(rows[0]) if name.startswith(want)) for want in wanted]
for row in rows[1:]:
    if len(row) == len(rows[0]):
        print("\t".join(row[index] for index in columns))
PYTHON
}

# The time that the device spent on each range, and its share of the steps.
nsys_table() {
  printf '| range | calls | us a call | share of the step |\n| --- | --- | --- | --- |\n'
  columns "$1" Range "Range Instances" "Total Proj Time" | awk -F'\t' '
    { sub(/^:/, "", $1); sub(/^.*:/, "", $1); calls[$1] += $2; time[$1] += $3; if (!($1 in seen)) { seen[$1] = ++n; name[n] = $1 } }
    END { for (i = 1; i <= n; ++i) { r = name[i]; printf "| %s | %d | %.1f | %.1f %% |\n", r, calls[r], time[r] / calls[r] / 1000, (time["step"] > 0 ? 100 * time[r] / time["step"] : 0) } }'
}
kernel_table() {
  printf '\n| kernel | calls | us a call | share of the kernels |\n| --- | --- | --- | --- |\n'
  columns "$1" Name Instances "Avg (ns)" "Time (%)" | head -n 12 |
    awk -F'\t' '{ sub(/^void /, "", $1); gsub(/[A-Za-z_]+::|<unnamed>::|\(anonymous namespace\)::/, "", $1); sub(/\([^()]*\)$/, "", $1); printf "| %s | %d | %.1f | %s %% |\n", $1, $2, $3 / 1000, $4 }'
}

# Nsight Compute's names of: achieved occupancy, tensor pipe, FMA pipe (all in % of what the device could do), cycles that a
# warp waits at a barrier for each instruction, duration.
metrics=(
  sm__warps_active.avg.pct_of_peak_sustained_active
  sm__inst_executed_pipe_tensor.avg.pct_of_peak_sustained_active
  sm__pipe_fma_cycles_active.avg.pct_of_peak_sustained_active
  smsp__average_warps_issue_stalled_barrier_per_issue_active.ratio
  gpu__time_duration.sum
)
ncu_table() {
  printf '| kernel | occupancy, %% | tensor pipe, %% | FMA pipe, %% | barrier stalls, cycles | us |\n'
  printf '| --- | --- | --- | --- | --- | --- |\n'
  columns "$1" "Kernel Name" "${metrics[@]}" | awk -F'\t' '
    $1 != "" { sub(/\(.*/, "", $1); printf "| %s | %.1f | %.1f | %.1f | %.2f | %.1f |\n", $1, $2, $3, $4, $5, $6 / 1000 }'
}

case $tool in
  nsys)
    # shellcheck disable=SC2046
    nsys profile --trace=cuda,nvtx --capture-range=cudaProfilerApi --capture-range-end=stop --force-overwrite=true \
      --output "$out" "${train[@]}" $(steps 20)
    nsys stats --force-export=true --report nvtx_gpu_proj_sum,cuda_gpu_kern_sum --format csv --output "$work/table" "$out.nsys-rep" >/dev/null
    nsys_table "$work/table_nvtx_gpu_proj_sum.csv"
    kernel_table "$work/table_cuda_gpu_kern_sum.csv"
    ;;
  ncu)
    # shellcheck disable=SC2046
    ncu --profile-from-start off --clock-control none --kernel-name-base function --kernel-name 'regex:rnn_(forward|backward)' --launch-count 4 \
      --metrics "$(IFS=, && echo "${metrics[*]}")" --section SpeedOfLight --section Occupancy --section WarpStateStats \
      --section ComputeWorkloadAnalysis --force-overwrite --export "$out" "${train[@]}" $(steps 2) >"$work/log" 2>&1 && code=0 || code=$?
    if grep -q ERR_NVGPUCTRPERM "$work/log"; then die "the driver refuses its counters (ERR_NVGPUCTRPERM): see docker/README.md"; fi
    if [[ $code -ne 0 ]]; then tail -n 20 "$work/log" >&2; die "ncu failed"; fi
    ncu --import "$out.ncu-rep" --csv --page raw --print-units base >"$work/raw.csv"
    ncu_table "$work/raw.csv"
    ;;
  *) die "'$tool', expected nsys or ncu" ;;
esac
