#!/usr/bin/env bash
# Sources of the host are compiled some at a time: each must have all that it needs by itself too. A dozen by REEL_TEST_SEED;
# all of them with REEL_TEST_DEEP=1.
#
#   compile_alone.sh ROOT COMPILER
set -euo pipefail
root=$1 compiler=$2
cd "$root"
mapfile -t sources < <(find host -name '*.cpp' | LC_ALL=C sort)
chosen=("${sources[@]}")
if [[ -z ${REEL_TEST_DEEP:-} ]]; then
  chosen=()
  for i in $(seq 0 11); do chosen+=("${sources[(${REEL_TEST_SEED:-0} + i * ${#sources[@]} / 12) % ${#sources[@]}]}"); done
fi
failures=0
for source in "${chosen[@]}"; do
  "$compiler" -std=c++20 -fsyntax-only -I. -DREEL_VERSION='"0"' "$source" || failures=$((failures + 1))
done
echo "${#chosen[@]} of ${#sources[@]} sources, $failures failures"
[[ $failures -eq 0 ]]
