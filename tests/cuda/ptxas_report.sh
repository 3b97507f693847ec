#!/usr/bin/env bash
# What ptxas says of every kernel, on every architecture that Reel is compiled for: fails if one spills registers or keeps an
# array in local memory, or if kernel_resources.tsv is not what ptxas says for sm_90 (with the nvcc that it names).
#
#   ptxas_report.sh           check: sources whose checksum is in the table have passed on all architectures, and do so again on
#                             sm_90 and one other (REEL_TEST_SEED says which); on all with REEL_TEST_DEEP=1
#   ptxas_report.sh --write   check on all, and write kernel_resources.tsv anew
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
table=$here/kernel_resources.tsv
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# A kernel's symbol: what follows the anonymous namespace in the mangled name, which all compilers mangle alike.
symbol='function symbol(mangled) {
  mangled = substr(mangled, length("_ZN4reel4cuda") + 1)
  match(mangled, /^[0-9]+/)
  return substr(mangled, RLENGTH + 1 + substr(mangled, 1, RLENGTH))
}'

# bounds FILE: lines "symbol threads" of the kernels that have __launch_bounds__.
bounds() {
  nvcc -std=c++20 --expt-relaxed-constexpr -fmad=false -I"$root" -I"$root/kernels/cuda/language" -arch=compute_90 -ptx \
    -o "$work/ptx" "$1"
  awk "$symbol"'
    /\.entry/ { sub(/\(.*/, ""); mangled = $NF }
    /^\.maxntid/ { sub(/,.*/, ""); print symbol(mangled) "\t" $2 }' "$work/ptx"
}

# report FILE ARCH: lines "symbol registers shared local_bytes name".
report() {
  nvcc -std=c++20 --expt-relaxed-constexpr -fmad=false -I"$root" -I"$root/kernels/cuda/language" -arch="sm_$2" -cubin \
    -Xptxas -v -o "$work/$2.cubin" "$1" >"$work/$2.log" 2>&1 || { cat "$work/$2.log" >&2; return 1; }
  awk "$symbol"'
    /Compiling entry function/ { match($0, /\047[^\047]*\047/); mangled = substr($0, RSTART + 1, RLENGTH - 2) }
    /bytes stack frame/ { local = $1 + $5 + $9 }
    /Used [0-9]+ registers/ {
      name = symbol(mangled)
      shared = 0
      if (match($0, /[0-9]+ bytes smem/)) shared = substr($0, RSTART, RLENGTH) + 0
      match($0, /Used [0-9]+/); print name "\t" substr($0, RSTART + 5, RLENGTH - 5) "\t" shared "\t" local "\t" mangled
    }' "$work/$2.log" | c++filt | sed -E 's/\(anonymous namespace\)::|reel::cuda::|reel::|void //g; s/\([A-Za-z]*Args(<[^()]*>)?\)$//'
}

failures=0
printf '# symbol, registers, bytes of static shared memory, most threads, name; sm_90, nvcc %s\n' \
  "$(nvcc --version | sed -n 's/.*release \([0-9.]*\),.*/\1/p')" >"$work/table"
sources=$(cd "$root" && find kernels/*.h kernels/contract kernels/cuda -name '*.h' -o -name '*.cu' -o -name '*.cuh' | LC_ALL=C sort | xargs cat | sha256sum | cut -d ' ' -f 1)
printf '# sources that passed on every architecture: %s\n' "$sources" >>"$work/table"
others=(80 86 89 100 120)
architectures=(90 "${others[@]}")
if [[ ${1:-} != --write && -z ${REEL_TEST_DEEP:-} ]] && grep -q "^# sources.*$sources" "$table"; then
  architectures=(90 "${others[${REEL_TEST_SEED:-0} % ${#others[@]}]}")
fi
echo "architectures: ${architectures[*]}"
for file in "$root"/kernels/cuda/{,recurrence/}*.cu; do
  [[ $(basename "$file") == cub.cu ]] && continue  # CUB has kernels of its own
  for architecture in "${architectures[@]}"; do
    report "$file" "$architecture" >"$work/kernels"
    if [[ $architecture == 90 ]]; then
      bounds "$file" >"$work/bounds"
      awk -F'\t' -v OFS='\t' 'FILENAME == ARGV[1] { most[$1] = $2; next } { print $1, $2, $3, ($1 in most ? most[$1] : 1024), $5 }' \
        "$work/bounds" "$work/kernels" | sort >>"$work/table"
    fi
    while IFS=$'\t' read -r _ _ _ local_bytes name; do
      if [[ $local_bytes -gt 0 ]]; then
        echo "${file##*/}: $name: sm_$architecture: $local_bytes bytes spilled or in local memory, expected 0" >&2
        failures=$((failures + 1))
      fi
    done <"$work/kernels"
  done
done
if [[ ${1:-} == --write && $failures -eq 0 ]]; then cp "$work/table" "$table"; fi
if [[ $(head -n 1 "$table") == "$(head -n 1 "$work/table")" ]] && ! diff <(grep -v '^# sources' "$table") <(grep -v '^# sources' "$work/table") >&2; then
  echo "kernel_resources.tsv is not what ptxas says; tests/cuda/ptxas_report.sh --write makes it anew" >&2
  failures=$((failures + 1))
fi
[[ $failures -eq 0 ]]
