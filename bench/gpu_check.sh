#!/usr/bin/env bash
# Checks Reel on a machine with a GPU: tests, compute-sanitizer, timings, training. Runs from a bundle (./run bundle DATA);
# needs nothing but the driver and, for the parts that use them, compute-sanitizer, cuobjdump and PyTorch with NumPy.
#
#   gpu_check.sh RESULTS [PART...]    RESULTS is a folder; parts: facts tests steps training recurrence peers sanitizer sass,
#                                     and, only if asked for, grid: the recurrence at every batch, length and width
#
# Every part has a time limit and writes RESULTS/PART.log; a part that fails does not stop the others. At the end
# RESULTS/gpu_check.json holds how each ended and everything that was measured, RESULTS/gpu_check.md the same as tables. The
# exit code is the number of parts that failed.
set -uo pipefail
bundle=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
results=$(mkdir -p "${1:?gpu_check.sh RESULTS [PART...]}" && cd "$1" && pwd)
shift
parts=("$@")
[[ ${#parts[@]} -gt 0 ]] || parts=(facts tests steps training recurrence peers sanitizer sass)
# cuBLAS and cuDNN, where the loader does not know them: the toolkit's, or those that came with PyTorch.
cudnn=$(python3 -c 'import nvidia.cudnn; print(list(nvidia.cudnn.__path__)[0] + "/lib")' 2>/dev/null)
export LD_LIBRARY_PATH=${LD_LIBRARY_PATH:-}:/usr/local/cuda/lib64${cudnn:+:$cudnn}
export REEL_TEST_FILES=$bundle/tests REEL_PROGRAM=$bundle/bin/reel
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

seconds_of() {
  case $1 in facts | sass) echo 30 ;; tests | sanitizer | peers) echo 120 ;; training) echo 150 ;; grid) echo 3000 ;; *) echo 80 ;; esac
}

facts() {
  nvidia-smi --query-gpu=name,driver_version,clocks.sm,clocks.max.sm,memory.total --format=csv
  "$bundle/bin/reel" info --device cuda
}

tests() {
  local failed=0
  "$bundle/tests/kernels_test" --gtest_brief=1 --gtest_filter='*Gpu*' || failed=1  # with the emulator beside
  "$bundle/tests/model_test" --gtest_brief=1 --gtest_filter='*Gpu*' || failed=1
  local program
  for program in "$bundle"/tests/*_test; do
    "$program" --gtest_brief=1 --gtest_filter='-*Gpu*:*Emulator*:RealData*' || failed=1
  done
  return $failed
}

time_kernels() {  # NAME FILTER SECONDS [FLAGS...]
  "$bundle/bench/kernels_bench" --device=cuda "${@:4}" --benchmark_filter="$2" --benchmark_min_time="$3" \
    --benchmark_repetitions=5 --benchmark_enable_random_interleaving=true --benchmark_report_aggregates_only=true \
    --benchmark_out="$results/$1.json" --benchmark_out_format=json
}
steps() { time_kernels steps '^(select|forward|backward|optimizer|training)' 0.1; }

# Reel's recurrence and cuDNN's, every algorithm, taking turns.
recurrence() { time_kernels recurrence '^recurrence' 0.02; }

grid() {
  nvidia-smi --query-gpu=clocks.sm,clocks.mem,temperature.gpu --format=csv
  time_kernels grid '^recurrence' 0.01 --grid
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

peers() {
  python3 "$bundle/bench/peers_gpu.py" --reel "$bundle/bin/reel" --data "$bundle/data" --out "$results/peers.json"
}

# Which instructions the recurrence is made of: FFMA or HMMA in the loop, no local memory.
sass() {
  cuobjdump -sass "$bundle/bin/reel" >"$work/sass" || return 1
  awk '/Function :/ { name = $3 } / (FFMA|HMMA|LDL|STL|LDGSTS|BAR)/ {
         match($0, /(FFMA|HMMA|LDL|STL|LDGSTS|BAR)/); count[name " " substr($0, RSTART, RLENGTH)]++ }
       END { for (key in count) if (key ~ /rnn_/) print key, count[key] }' "$work/sass" | sort
}

# A JSON file's content, or null.
content() { if [[ -s $1 ]]; then cat "$1"; else echo null; fi; }

write_json() {
  local summary
  {
    printf '{"commit":"%s","parts":[%s]' "$(cat "$bundle/COMMIT")" "$outcomes"
    for name in steps recurrence peers grid; do printf ',\n"%s":%s' "$name" "$(content "$results/$name.json")"; done
    printf ',\n"training":{"":null'
    for summary in "$results"/summary-*.json; do
      [[ -e $summary ]] && printf ',\n"%s":%s' "$(basename "$summary" .json)" "$(content "$summary")"
    done
    printf '}}\n'
  } >"$results/gpu_check.json"
}

write_tables() {
  printf '| part | outcome | seconds |\n| --- | --- | --- |\n%s\n' "$table"
  printf '| timed | median, us |\n| --- | --- |\n'
  cat "$results"/{steps,recurrence,grid}.log 2>/dev/null | sed -nE 's/^(.*)\/real_time_median +([0-9.]+) us .*/| \1 | \2 |/p'
  grep -h 'us a step' "$results/peers.log" 2>/dev/null | sed -E 's/^(.*[^ ]) +([0-9.]+) us a step.*/| PyTorch \1 | \2 |/'
  printf '\n| trained | |\n| --- | --- |\n'
  awk '/^precision/ { run = $0 } /^test accuracy/ { print "| " run " | " $0 " |" }' "$results/training.log" 2>/dev/null
}

failures=0 outcomes='' table=''
for part in "${parts[@]}"; do
  begin=$(date +%s)
  export -f "$part" time_kernels
  export bundle results work
  timeout "$(seconds_of "$part")" bash -c "set -o pipefail; $part" >"$results/$part.log" 2>&1
  code=$?
  case $code in 0) outcome=passed ;; 124) outcome="ran out of time" ;; *) outcome="failed ($code)" ;; esac
  [[ $code -eq 0 ]] || failures=$((failures + 1))
  [[ $code -ne 124 || ! -e $results/$part.json ]] || mv "$results/$part.json" "$results/$part.partial"
  seconds=$(($(date +%s) - begin))
  outcomes+="${outcomes:+,}{\"part\":\"$part\",\"outcome\":\"$outcome\",\"seconds\":$seconds}"
  table+="| $part | $outcome | $seconds |"$'\n'
  write_json
  tail -n 5 "$results/$part.log"
done
write_tables >"$results/gpu_check.md"
cat "$results/gpu_check.md"
exit $failures
