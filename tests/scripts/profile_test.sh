#!/usr/bin/env bash
# profile_test.sh PROFILE_SCRIPT: what bench/profile.sh asks of Nsight's tools and makes of their reports.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export PATH=$work:$PATH REEL_PROGRAM=$work/reel

cat >"$work/nsys" <<'NSYS'
#!/usr/bin/env bash
echo "$*" >>"$(dirname "$0")/calls"
[[ $1 == stats ]] || exit 0
while [[ $# -gt 0 ]]; do if [[ $1 == --output ]]; then out=$2; fi; shift; done
cat >"${out}_nvtx_gpu_proj_sum.csv" <<'CSV'
Range,Style,Total Proj Time (ns),Total Range Time (ns),Range Instances,Proj Avg (ns)
:step,PushPop,2000000,3000000,20,100000
:rnn_forward,PushPop,500000,600000,20,25000
CSV
cat >"${out}_cuda_gpu_kern_sum.csv" <<'CSV'
Time (%),Total Time (ns),Instances,Avg (ns),Med (ns),Name
60.0,1200000,20,60000.0,59000.0,"void reel::<unnamed>::rnn_forward_kernel<(long)128, (Cell)0>(Args)"
CSV
NSYS
cat >"$work/ncu" <<'NCU'
#!/usr/bin/env bash
echo "$*" >>"$(dirname "$0")/calls"
[[ $1 == --import ]] || { [[ ! -e $(dirname "$0")/refuse ]] || echo "==ERROR== ERR_NVGPUCTRPERM - The user does not have permission"; exit 0; }
cat <<'CSV'
==PROF== Connected to process 1
"ID","Kernel Name","gpu__time_duration.sum","sm__warps_active.avg.pct_of_peak_sustained_active","sm__inst_executed_pipe_tensor.avg.pct_of_peak_sustained_active","sm__pipe_fma_cycles_active.avg.pct_of_peak_sustained_active","smsp__average_warps_issue_stalled_barrier_per_issue_active.ratio"
"","","nsecond","%","%","%","inst"
"0","rnn_forward_kernel(Args)","61000","12.5","0","55.25","1.75"
CSV
NCU
touch "$work/reel"
chmod +x "$work"/{nsys,ncu,reel}

expect() { grep -qF -- "$2" "$1" || { printf 'expected "%s" in:\n' "$2" >&2; cat "$1" >&2; exit 1; }; }

"$1" nsys "$work/report" --batch-size 64 >"$work/table"
expect "$work/calls" "--capture-range=cudaProfilerApi"
expect "$work/calls" "train --device cuda --no-graph"
expect "$work/calls" "--batch-size 64 --profile 20 --max-steps 41"
expect "$work/table" "| step | 20 | 100.0 | 100.0 % |"
expect "$work/table" "| rnn_forward | 20 | 25.0 | 25.0 % |"
expect "$work/table" "| 20 | 60.0 | 60.0 % |"
"$1" ncu "$work/report" >"$work/table"
expect "$work/table" "| rnn_forward_kernel | 12.5 | 0.0 | 55.2 | 1.75 | 61.0 |"
touch "$work/refuse"
if "$1" ncu "$work/report" >"$work/table" 2>&1; then echo "expected a failure where counters are refused" >&2; exit 1; fi
expect "$work/table" "the driver refuses its counters (ERR_NVGPUCTRPERM): see docker/README.md"
