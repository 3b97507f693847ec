#!/usr/bin/env bash
# fuzz.sh BUILD SECONDS TARGET: one of libFuzzer's targets for so long. BUILD/findings keeps the inputs that broke it,
# BUILD/corpus those that got further; BUILD/TARGET.log is all that libFuzzer said. Prints one line.
set -euo pipefail
home=$1 seconds=$2 target=$3
dictionary=$target
case $target in
  ids | json_lines | prepared | safetensors | state | weights | word_index) dictionary=json ;;
  config | flags) dictionary=toml ;;
  npy | npz) dictionary=pickle ;;
esac
dictionary=$(dirname "$0")/dictionaries/$dictionary.dict
options=(-max_total_time="$seconds" -rss_limit_mb=512 -timeout=10 -max_len=65536 -print_final_stats=1 -print_funcs=0)
[[ -e $dictionary ]] && options+=(-dict="$dictionary")
mkdir -p "$home/corpus/$target" "$home/findings"
log=$home/$target.log
verdict="nothing found"
"$home/tests/fuzz/fuzz_$target" "${options[@]}" -artifact_prefix="$home/findings/$target-" "$home/corpus/$target" \
  "$home/seeds/$target" >"$log" 2>&1 || verdict="FOUND SOMETHING: build/fuzz/findings, build/fuzz/$target.log"
printf '%s: %s executions, %s edges covered, %s\n' "$target" \
  "$(sed -n 's/^stat::number_of_executed_units: *//p' "$log" | tail -n 1)" "$(grep -o 'cov: [0-9]*' "$log" | tail -n 1 | cut -c 6-)" "$verdict"
[[ $verdict == nothing* ]]
