#!/usr/bin/env bash
# Proves that the tests see every synchronisation: deletes each barrier, wait and commit of the kernels in turn and demands
# that the emulator's tests fail, in some schedule or under ThreadSanitizer. Cluster barriers: each half, then both.
#
#   mutate.sh [FILTER]     only lines that contain FILTER, as in resident.cu
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
work=${REEL_MUTANTS:-$(mktemp -d)}
copy=$work/source
pattern='(__syncthreads\(\)|__syncwarp\(\)|cluster_(arrive|wait)\(\)|(wait_for|expect)_bytes\(.*\)|[eE]xchange(\.|::)(wait|finish)\(\)|cp_async_wait<[^>]*>\(\)|cp_async_commit\(\));'

mkdir -p "$copy"
git -C "$root" ls-files -z | (cd "$root" && xargs -0 cp --parents -t "$copy")
cd "$copy"

configure() {  # NAME SANITIZER
  cmake -S "$copy" -B "$work/$1" -G Ninja -DREEL_CUDA=OFF -DCMAKE_BUILD_TYPE=Sanitize -DREEL_SANITIZE="$2" \
    -DCMAKE_CXX_FLAGS_SANITIZE="-O1 -g1" >/dev/null
}

# tests_pass NAME FILTER: builds and runs; a mutant that hangs has failed.
tests_pass() {
  ninja -C "$work/$1" kernels_test_emulated >"$work/build.log" 2>&1 || { tail -n 20 "$work/build.log" >&2; exit 1; }
  timeout 300 "$work/$1/tests/kernels/kernels_test_emulated" --gtest_brief=1 --gtest_filter="$2" >"$work/test.log" 2>&1
}

caught_by() {
  local order
  for order in forward reverse random; do
    if ! REEL_EMULATOR_ORDER=$order tests_pass plain '*AgreeWithFloat64/Emulator*'; then
      echo "$order order"
      return
    fi
  done
  # Small shapes with ragged rows: ThreadSanitizer sees a race whatever the values are.
  if ! tests_pass threads '*AgreeWithFloat64/Emulator*:-*B64*:*B131*:*B13T31*:*H259*:*H270*:*H300*:*H512*:*H515*'; then
    echo "ThreadSanitizer"
    return
  fi
  echo nothing
}

configure plain ""
configure threads thread
tests_pass plain '*AgreeWithFloat64/Emulator*' || { echo "the tests fail without any deletion" >&2; exit 1; }

# try FILE LINE WHAT EDIT: the tests with that edit, sed's, of the file.
deleted=0 survived=0
try() {
  local file=$1 line=$2 what=$3 original by
  original=$(mktemp)
  cp "$file" "$original"
  sed -i -E "$4" "$file"
  by=$(caught_by)
  cp "$original" "$file"
  deleted=$((deleted + 1))
  if [[ $by == nothing ]]; then survived=$((survived + 1)); fi
  printf '%s:%s: without %s: caught by %s\n' "${file##*/}" "$line" "$what" "$by"
}

while IFS=: read -r file line text; do
  what=$(grep -oE "$pattern" <<<"$text" | head -n 1)
  try "$file" "$line" "$what" "${line}s/$pattern/{}/"
  if [[ $what == 'cluster_arrive();' ]]; then
    half='cluster_wait\(\);'
    try "$file" "$line" "$what and the wait for it" "${line}s/$pattern/{}/; ${line},/$half/s/$half/{}/"
  fi
done < <(grep -nE "$pattern" kernels/cuda/{,recurrence/}*.{cu,cuh} | grep -F -- "${1:-}")
echo "$deleted deletions, $((deleted - survived)) caught"
[[ $survived -eq 0 && $deleted -gt 0 ]]
