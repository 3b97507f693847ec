#!/usr/bin/env bash
# run_test.sh RUN: what `run` does where its surroundings are not as it expects, with a build that only says where it is.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/tools" "$work/reel/build/cpu/host/cli"
cp "$1" "$work/reel/run"
printf '#!/bin/sh\necho program "$@"\n' >"$work/reel/build/cpu/host/cli/reel"
printf '#!/bin/sh\necho install ok installed\n' >"$work/tools/dpkg-query"
printf '#!/bin/sh\npwd >"%s/built"\n' "$work" >"$work/tools/cmake"
chmod +x "$work"/tools/* "$work/reel/build/cpu/host/cli/reel"
export PATH=$work/tools:/usr/bin:/bin  # without nvcc

fail() { printf '%s\n' "$*" >&2; cat "$work/out" >&2; exit 1; }
expect() { grep -qF -- "$1" "$work/out" || fail "expected: $1"; }

# Called through a symbolic link it builds and runs what lies beside itself.
ln -s "$work/reel/run" "$work/link"
(cd / && "$work/link" reel info) >"$work/out" 2>&1 || fail "through a link: exit code $?"
expect "program info"
[[ $(cat "$work/built") == "$work/reel" ]] || fail "built in $(cat "$work/built")"

# A build that fails, or of which nobody could see why, is no reason to run what an older one left.
printf '#!/bin/sh\necho compiler says no; exit 1\n' >"$work/tools/cmake"
! "$work/reel/run" reel info >"$work/out" 2>&1 || fail "a failed build: exit code 0"
expect "compiler says no"
expect "run: the build failed; all of its output: build/cpu.log"
rm "$work/reel/build/cpu.log"
mkdir "$work/reel/build/cpu.log"
! "$work/reel/run" reel info >"$work/out" 2>&1 || fail "a log that cannot be written: exit code 0"
expect "run: build/cpu.log cannot be written"
! grep -qF program "$work/out" || fail "the older program ran"
