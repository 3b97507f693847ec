#!/usr/bin/env bash
# Checks Reel on a machine with a GPU: tests, compute-sanitizer, timings, training. Runs from a bundle (./run bundle DATA);
# needs nothing but the driver and, for the parts that use them, compute-sanitizer, cuobjdump and PyTorch.
#
#   gpu_check.sh RESULTS [PART...]    RESULTS is a folder; parts: facts tests bench training sanitizer peers sass
#
# Every part has a time limit and writes RESULTS/PART.log; RESULTS/gpu_check.json says how each ended, the table at the end
# says it again. A part that fails does not stop the others. The exit code is the number of parts that failed.
set -uo pipefail
bundle=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
results=$(mkdir -p "${1:?gpu_check.sh RESULTS [PART...]}" && cd "$1" && pwd)
shift
parts=("$@")
[[ ${#parts[@]} -gt 0 ]] || parts=(facts tests bench training sanitizer peers sass)
export LD_LIBRARY_PATH=${LD_LIBRARY_PATH:-}:/usr/local/cuda/lib64  # cuBLAS, where the loader does not know it
export REEL_TEST_FILES=$bundle/tests REEL_PROGRAM=$bundle/bin/reel
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

seconds_of() {
  case $1 in facts | sass) echo 30 ;; tests) echo 120 ;; bench) echo 100 ;; training) echo 150 ;; *) echo 120 ;; esac
}

facts() {
  nvidia-smi --query-gpu=name,driver_version,clocks.sm,clocks.max.sm,memory.total --format=csv
  "$bundle/bin/reel" info --device cuda
}

tests() {
  local failed=0
  "$bundle/tests/kernels_test" --gtest_brief=1 --gtest_filter='*Gpu*' || failed=1
  "$bundle/tests/model_test" --gtest_brief=1 --gtest_filter='*Gpu*' || failed=1
  local program
  for program in "$bundle"/tests/*_test; do
    "$program" --gtest_brief=1 --gtest_filter='-*Gpu*:*Emulator*:RealData*' || failed=1
  done
  return $failed
}

bench() {
  "$bundle/bench/kernels_bench" --device=cuda --benchmark_min_time=0.1 --benchmark_repetitions=5 \
    --benchmark_report_aggregates_only=true --benchmark_out="$results/kernels_bench.json" --benchmark_out_format=json
}

# Test accuracy of the recipe, both precisions, three seeds; the CPU's mean is 86.2 %.
training() {
  local precision seed failed=0
  for seed in 1 2 3; do
    for precision in float32 mixed; do
      echo "precision $precision seed $seed"
      local train=("$bundle/bin/reel" train --device cuda --precision "$precision" --seed "$seed" --data "$bundle/data")
      if ! "${train[@]}" --out "$work/$precision-$seed"; then
        failed=1
        echo "without CUDA graphs:"
        rm -rf "$work/$precision-$seed"
        "${train[@]}" --no-graph --out "$work/$precision-$seed"
      fi
      cp "$work/$precision-$seed/summary.json" "$results/summary-$precision-$seed.json" || failed=1
    done
  done
  return $failed
}

# Small shapes: the tools slow kernels down a hundredfold.
sanitizer() {
  local tool failed=0
  for tool in memcheck racecheck initcheck synccheck; do
    echo "== $tool"
    compute-sanitizer --tool "$tool" --error-exitcode 9 "$bundle/tests/kernels_test" --gtest_brief=1 \
      --gtest_filter='*AgreeWithFloat64/Gpu*:-*B64*:*B131*:*B13T31*' || failed=1
  done
  return $failed
}

peers() { python3 "$bundle/bench/peers_gpu.py" --out "$results/peers.json"; }

# Which instructions the recurrence is made of: FFMA or HMMA in the loop, no local memory.
sass() {
  cuobjdump -sass "$bundle/bin/reel" >"$work/sass" || return 1
  awk '/Function :/ { name = $3 } / (FFMA|HMMA|LDL|STL|LDGSTS|BAR)/ {
         match($0, /(FFMA|HMMA|LDL|STL|LDGSTS|BAR)/); count[name " " substr($0, RSTART, RLENGTH)]++ }
       END { for (key in count) if (key ~ /rnn_/) print key, count[key] }' "$work/sass" | sort
}

failures=0
json=
for part in "${parts[@]}"; do
  begin=$(date +%s)
  export -f "$part"
  export bundle results work
  timeout "$(seconds_of "$part")" bash -c "set -o pipefail; $part" >"$results/$part.log" 2>&1
  code=$?
  case $code in 0) outcome=passed ;; 124) outcome="ran out of time" ;; *) outcome="failed ($code)" ;; esac
  [[ $code -eq 0 ]] || failures=$((failures + 1))
  json+="${json:+,}{\"part\":\"$part\",\"outcome\":\"$outcome\",\"seconds\":$(($(date +%s) - begin))}"
  printf '{"commit":"%s","parts":[%s]}\n' "$(cat "$bundle/COMMIT")" "$json" >"$results/gpu_check.json"
  printf '%-10s %-16s %4d s\n' "$part" "$outcome" "$(($(date +%s) - begin))" >>"$work/table"
  tail -n 5 "$results/$part.log"
done
cat "$work/table"
exit $failures
