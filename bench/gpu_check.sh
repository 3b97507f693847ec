#!/usr/bin/env bash
# Checks and measures Reel on a machine with a GPU that is lent for half an hour. Runs from a bundle (./run bundle); needs the
# driver and python3, and for the parts that use them compute-sanitizer, ncu, cuobjdump, PyTorch with NumPy.
#
#   gpu_check.sh RESULTS first          facts, GPU tests, training steps, training on IMDB, and
#                                       PyTorch beside GRU, LSTM, two layers, both directions     at most 9 minutes
#   gpu_check.sh RESULTS second         the recurrence beside every algorithm of cuDNN, PyTorch   at most 8
#   gpu_check.sh RESULTS third          compute-sanitizer, Nsight Compute, machine code           at most 8
#   gpu_check.sh RESULTS PART...        facts tests steps training models recurrence peers sanitizer ncu sass; only if asked
#                                       for, and for as long as it takes: grid, the recurrence at every batch, length and width
#
# A part is a row of processes (families), each with a time limit that also ends what ignores SIGTERM: one that hangs, crashes
# or prints garbage costs itself alone. After each of them RESULTS/gpu_check.json, gpu_check.md and gpu_check_logs.tar.gz are
# whole and valid; other parts that are in there already stay. What a tool does not support here is an outcome, no failure.
# The exit code is the number of parts that failed.
set -uo pipefail
bundle=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
results=$(mkdir -p "${1:?gpu_check.sh RESULTS first|second|third|PART...}" && cd "$1" && pwd)
shift
command -v python3 >/dev/null || { echo "gpu_check.sh: found no python3, expected it on the PATH" >&2; exit 99; }

minutes=600
case ${1:-} in
  first) minutes=9 parts=(facts tests steps training models) ;;
  second) minutes=9 parts=(recurrence peers) ;;
  third) minutes=8 parts=(sanitizer ncu sass) ;;
  '') echo "gpu_check.sh: expected first, second, third or parts" >&2; exit 99 ;;
  *) parts=("$@") ;;
esac
[[ $minutes -eq 600 || $# -eq 1 ]] || { echo "gpu_check.sh: '$2' after $1, expected one call at a time" >&2; exit 99; }
for part in "${parts[@]}"; do
  [[ " facts tests steps training models recurrence peers sanitizer ncu sass grid " == *" $part "* ]] ||
    { echo "gpu_check.sh: '$part', expected first, second, third or parts" >&2; exit 99; }
done
end=$((SECONDS + 60 * minutes - 10))  # the last report needs a few seconds too
# At most, and from SIGTERM to SIGKILL; a rehearsal has no time to wait.
longest=${REEL_CHECK_FAMILY_SECONDS:-600} grace=${REEL_CHECK_GRACE_SECONDS:-5}
export CUBLAS_WORKSPACE_CONFIG=:4096:2  # cuDNN's products: the same bits on every run
# No part takes the time of those after it.
budget() { case $1 in facts) echo 90 ;; tests) echo 150 ;; steps) echo 150 ;; training) echo 90 ;; recurrence) echo 330 ;; sanitizer) echo 250 ;; ncu) echo 130 ;; *) echo 36000 ;; esac; }

# cuBLAS and cuDNN, where the loader does not know them: the toolkit's, or those that came with PyTorch, whichever of
# NVIDIA's packages they lie in.
wheels=$(timeout -k 1 20 python3 -c '
import glob, os, sys
print(":".join(path for folder in sys.path for path in sorted(glob.glob(os.path.join(folder, "nvidia", "*", "lib")))))' 2>/dev/null)
# Those of PyTorch first: it refuses a cuDNN of another version.
export LD_LIBRARY_PATH=${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}${wheels:+$wheels:}/usr/local/cuda/lib64
export REEL_TEST_FILES=$bundle/tests REEL_PROGRAM=$bundle/bin/reel PYTHONUNBUFFERED=1
rm -f "$results"/.gpu_check*  # of a report that was killed
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
group=  # of processes, that of the family that runs
trap '[[ -z $group ]] || kill -KILL -- "-$group" 2>/dev/null; exit 143' TERM INT HUP

# Beside the recipe's tanh, one layer, one direction: what gpu_bench and reel train call the others. Within a part they come last.
declare -A bench_word=([gru]=cell=gru [lstm]=cell=lstm [two-layers]=layers=2 [bidirectional]=directions=2)
declare -A train_flag=([gru]="--cell gru" [lstm]="--cell lstm" [two-layers]="--layers 2" [bidirectional]=--bidirectional)
other_models=(gru lstm two-layers bidirectional)

report() { timeout -k 5 60 python3 "$bundle/bench/gpu_report.py" "$results" "$work" "$bundle/COMMIT"; }

# family PART NAME SECONDS COMMAND...: PART.NAME.out is what it printed, and what counts; PART.NAME.log the rest.
family() {
  local part=$1 name=$2 seconds=$3 begin=$SECONDS code=skipped
  shift 3
  [[ $seconds -le $longest ]] || seconds=$longest
  [[ $seconds -le $((deadline - SECONDS)) ]] || seconds=$((deadline - SECONDS))
  if [[ $seconds -gt 0 ]]; then
    timeout -k "$grace" "$seconds" "$@" >"$work/$part.$name.out" 2>"$work/$part.$name.log" </dev/null &
    group=$!  # timeout leads a group of its own
    while kill -0 "$group" 2>/dev/null; do sleep 0.05; done  # of a signal that comes just before it waits, bash learns late
    wait "$group"
    code=$?
    kill -KILL -- "-$group" 2>/dev/null  # whatever it left behind, which would hold the GPU
    group=
  fi
  printf '%s\t%s\t%s\t%s\n' "$part" "$name" "$code" $((SECONDS - begin)) >>"$work/outcomes"
  printf '%s %s: %s, %s s\n' "$part" "$name" "$code" $((SECONDS - begin))
  [[ $code == skipped ]] || report
}

facts() {
  family facts gpu 20 nvidia-smi --query-gpu=name,driver_version,clocks.sm,clocks.max.sm,clocks.mem,temperature.gpu,memory.total --format=csv
  family facts reel 30 "$bundle/bin/reel" info --device cuda
  family facts machine 60 bash -c 'uname -a; nproc; systemd-detect-virt; cat /proc/driver/nvidia/version; nvidia-smi -q | grep -iA3 virtualization
    nvcc --version | tail -n 2; python3 -c "import torch; print(\"PyTorch\", torch.__version__, \"cuDNN\", torch.backends.cudnn.version())"; true'
  family facts linked 20 bash -c 'for program in "$0"/bin/reel "$0"/bench/gpu_bench "$0"/tests/*_test; do echo "$program"; ldd "$program"; done' "$bundle"
  # Which of CUDA's libraries the loader takes.
  family facts loaded 60 bash -c 'LD_DEBUG=libs "$0/bin/reel" info --device cuda --recurrence cudnn 2>&1 | grep -E "calling init: .*lib(cuda|cublas|cudnn|nv)|^reel:"' "$bundle"
}

tests() {
  local program device
  for program in train model kernels; do  # the longest last
    for device in Gpu GpuMixed GpuCudnn GpuCudnnStandard; do
      family tests "$program-$device" 45 "$bundle/tests/${program}_test" --gtest_color=no --gtest_filter="*/$device:*/${device}_*"
    done
  done
}

steps() {
  local precision batch model few=(samples=10 runs=10)  # of steps that may be launches for each of 200 timesteps
  for batch in 64 1024; do
    for precision in float32 mixed; do
      family steps "$precision-$batch" 40 "$bundle/bench/gpu_bench" step "precision=$precision" "batch=$batch"
      family steps "window-$precision-$batch" 30 "$bundle/bench/gpu_bench" window "precision=$precision" "batch=$batch" samples=5
    done
  done
  for model in "${other_models[@]}"; do
    for batch in 64 1024; do
      family steps "$model-$batch" 30 "$bundle/bench/gpu_bench" step "batch=$batch" "${bench_word[$model]}" "${few[@]}"
    done
    family steps "window-$model-64" 30 "$bundle/bench/gpu_bench" window batch=64 "${bench_word[$model]}" samples=3 runs=10
  done
}

# trained NAME FLAGS...: the recipe to its end; where that fails, without graphs.
trained() {
  local name=$1
  shift
  family training "$name" 60 bash -c '
    train=("$0/bin/reel" train --device cuda "${@:2}" --data "$0/data" --quiet)
    "${train[@]}" --out "$1/graphs" >&2 && cat "$1/graphs/summary.json" && exit
    code=$?
    echo "without CUDA graphs:" >&2
    "${train[@]}" --no-graph --out "$1/no-graph" >&2 && cat "$1/no-graph/summary.json"
    exit $code' "$bundle" "$(mktemp -d -p "$work")" "$@"
}

# The CPU's mean accuracy is 86.4 %, of tanh.
training() {
  local seed precision model
  for seed in 1 2 3; do
    for precision in float32 mixed; do trained "$precision-$seed" --precision "$precision" --seed "$seed"; done
  done
  # shellcheck disable=SC2086
  for model in "${other_models[@]}"; do trained "$model-float32-1" --precision float32 --seed 1 ${train_flag[$model]}; done
}

# beside_torch PART NAME SECONDS BATCH FLAGS...
beside_torch() {
  local part=$1 name=$2 seconds=$3 batch=$4
  shift 4
  family "$part" "$name" "$seconds" env -u CUBLAS_WORKSPACE_CONFIG python3 "$bundle/bench/peers_gpu.py" --reel "$bundle/bin/reel" --data "$bundle/data" --batches "$batch" "$@"
}

models() {
  local batch model
  for batch in 64 1024; do
    for model in "${other_models[@]}"; do
      # shellcheck disable=SC2086
      beside_torch models "$model-$batch" 70 "$batch" --precisions float32 --rounds 3 --epochs 2 ${train_flag[$model]}
    done
  done
}

# recurrences PART SHAPE: Reel beside each algorithm, in both precisions. SHAPE is words for gpu_bench.
recurrences() {
  local part=$1 peer precision
  shift
  for precision in float32 mixed; do
    for peer in cudnn-persist-small-h cudnn-standard cudnn-persist-static cudnn-persist-dynamic; do
      family "$part" "$(tr '=' '-' <<<"$peer-$precision-$*" | tr ' ' '-')" 30 \
        "$bundle/bench/gpu_bench" recurrence "peer=$peer" "precision=$precision" samples=15 "$@"
    done
  done
}

# Of GRU and LSTM, whose input cuDNN projects itself, Reel's recurrence alone, and whole layers of both beside each other.
cells() {
  local cell batch rows peer
  for cell in gru lstm; do
    for rows in full ragged; do
      for batch in 64 1024; do
        family recurrence "$cell-batch-$batch-rows-$rows" 30 \
          "$bundle/bench/gpu_bench" recurrence "cell=$cell" "batch=$batch" "rows=$rows" samples=10 runs=10
      done
    done
    family recurrence "$cell-mixed-batch-1024-rows-full" 30 \
      "$bundle/bench/gpu_bench" recurrence "cell=$cell" precision=mixed batch=1024 rows=full samples=10 runs=10
    family recurrence "$cell-hidden-256-batch-64-rows-full" 30 \
      "$bundle/bench/gpu_bench" recurrence "cell=$cell" hidden=256 batch=64 rows=full samples=10 runs=10
    for batch in 64 1024; do
      for peer in cudnn-persist-small-h cudnn-standard cudnn-persist-static cudnn-persist-dynamic; do
        family recurrence "layer-$cell-$peer-batch-$batch-rows-full" 30 \
          "$bundle/bench/gpu_bench" layer "cell=$cell" "peer=$peer" "batch=$batch" rows=full samples=10 runs=10
      done
      for peer in cudnn-persist-small-h cudnn-standard; do
        family recurrence "layer-$cell-$peer-batch-$batch" 30 \
          "$bundle/bench/gpu_bench" layer "cell=$cell" "peer=$peer" "batch=$batch" samples=10 runs=10
      done
    done
  done
}

recurrence() {
  recurrences recurrence batch=64 rows=full
  recurrences recurrence batch=1024 rows=full
  recurrences recurrence batch=64
  recurrences recurrence batch=1024
  recurrences recurrence batch=64 hidden=512
  recurrences recurrence batch=64 hidden=256
  cells
  recurrences recurrence batch=64 hidden=1024
}

grid() {
  local steps hidden batch rows
  for steps in 200 50 1000; do
    for hidden in 128 64 100 256 320 512 1024; do
      for batch in 64 1024 1 8 32 40 128 256 4096; do
        for rows in ragged full; do recurrences grid "batch=$batch" "hidden=$hidden" "steps=$steps" "rows=$rows"; done
      done
    done
  done
}

peers() {
  local batch
  for batch in 64 1024; do beside_torch peers "$batch" 150 "$batch"; done
}

# Small shapes: the tools slow kernels down a hundredfold.
sanitizer() {
  local tool device
  for tool in memcheck racecheck; do
    for device in Gpu GpuMixed; do
      family sanitizer "$tool-$device" 100 compute-sanitizer --tool "$tool" --error-exitcode 9 "$bundle/tests/kernels_test" --gtest_color=no \
        --gtest_filter="*AgreeWithFloat64/${device}_*:-*B64*:*B131*:*B13T31*"
    done
  done
}

ncu() {
  local precision
  for precision in float32 mixed; do
    family ncu "$precision" 60 "$bundle/bench/profile.sh" ncu "$work/ncu-$precision" --data "$bundle/data" --precision "$precision"
  done
}

# What the recurrence is made of: FFMA or HMMA in the loop, no local memory (LDL, STL).
sass() {
  family sass reel 60 bash -c 'set -o pipefail
    cuobjdump -sass "$0/bin/reel" | awk "
      /Function :/ { name = \$3 }
      match(\$0, /(FFMA|HMMA|LDL|STL|LDGSTS|BAR|SHFL|LDS)/) { ++count[name \"\\t\" substr(\$0, RSTART, RLENGTH)] }
      END { for (key in count) if (key ~ /rnn_/) print key \"\\t\" count[key] }" | sort' "$bundle"
}

deadline=$end
report
for part in "${parts[@]}"; do
  deadline=$((SECONDS + $(budget "$part")))
  [[ $deadline -le $end ]] || deadline=$end
  "$part"
  report
done
cat "$results/gpu_check.md"
failures=$(python3 -c '
import json, sys
print(sum(part["outcome"] == "failed" for name, part in json.load(open(sys.argv[1]))["parts"].items() if name in sys.argv[2:]))' \
  "$results/gpu_check.json" "${parts[@]}")
exit "${failures:-99}"
