#!/usr/bin/env bash
# What ptxas says of every kernel, on every architecture that Reel is compiled for: fails if one spills registers
# or keeps an array in local memory.
#
#   ptxas_report.sh           check
#   ptxas_report.sh ARCH      a Markdown table of registers and shared memory, as in kernels/cuda/README.md
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
architectures=(80 86 89 90 100 120)
if [[ $# -gt 0 ]]; then architectures=("$1"); fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# report FILE ARCH: lines "kernel registers shared local_bytes"
report() {
  nvcc -std=c++20 --expt-relaxed-constexpr -fmad=false -I"$root" -arch="sm_$2" -cubin -Xptxas -v -o "$work/$2.cubin" "$1" \
    >"$work/$2.log" 2>&1 || { cat "$work/$2.log" >&2; return 1; }
  sed -E "s/entry function '([^']*)'/entry function \1/" "$work/$2.log" | c++filt | awk '
    /Compiling entry function/ {
      name = $0; sub(/.*entry function (void )?/, "", name); sub(/ for .sm_.*/, "", name)
      gsub(/\(anonymous namespace\)::|reel::cuda_device::|reel::/, "", name); sub(/\([A-Za-z]*Args\)/, "", name)
    }
    /bytes stack frame/ { local = $1 + $5 + $9 }
    /Used [0-9]+ registers/ {
      shared = 0
      if (match($0, /[0-9]+ bytes smem/)) shared = substr($0, RSTART, RLENGTH) + 0
      match($0, /Used [0-9]+/); print name "\t" substr($0, RSTART + 5, RLENGTH - 5) "\t" shared "\t" local
    }'
}

failures=0
[[ $# -gt 0 ]] && printf '| kernel | registers | static shared memory, bytes |\n| --- | --- | --- |\n'
for file in "$root"/kernels/cuda/*.cu; do
  [[ $(basename "$file") == platform.cu ]] && continue  # library calls; CUB has kernels of its own
  for architecture in "${architectures[@]}"; do
    report "$file" "$architecture" >"$work/kernels"
    while IFS=$'\t' read -r name registers shared local_bytes; do
      if [[ $# -gt 0 ]]; then
        printf '| `%s` | %s | %s |\n' "$name" "$registers" "$shared"
      elif [[ $local_bytes -gt 0 ]]; then
        echo "${file##*/}: $name: sm_$architecture: $local_bytes bytes spilled or in local memory, expected 0" >&2
        failures=$((failures + 1))
      fi
    done <"$work/kernels"
  done
done
[[ $failures -eq 0 ]]
