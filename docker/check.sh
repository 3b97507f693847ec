#!/usr/bin/env bash
# Builds every image stage and uses it, without a daemon and without a registry: buildah in a chroot, on a base system that
# mmdebstrap makes. Needs root.
#
#   check.sh cpu       on Debian 12
#   check.sh cuda      on Ubuntu 24.04, with this machine's CUDA toolkit; the tensorboard stage too
#   check.sh bundle    no images: the release bundle in bare Debian 12 and Ubuntu 24.04
#
# Runs the test stage; trains in the runtime image as its unprivileged user on a read-only root, stops that with SIGTERM and
# resumes it. Images and base systems are kept in REEL_IMAGES (/var/tmp/reel-images), so that a second call is quick.
set -euo pipefail
variant=${1:?check.sh cpu|cuda|bundle}
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
home=${REEL_IMAGES:-/var/tmp/reel-images}
work=$(mktemp -d)
mkdir -p "$home"
export BUILDAH_ISOLATION=chroot

say() { printf 'docker/check.sh: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }
[[ $(id -u) -eq 0 ]] || die "found user $(id -un), expected root"

# Layers by overlay where this system can mount one, else as copies.
overlay() { mkdir -p "$work"/{a,b,c,d} && mount -t overlay overlay -o "lowerdir=$work/a,upperdir=$work/b,workdir=$work/c" "$work/d" && umount "$work/d"; }
if overlay 2>/dev/null; then driver=overlay; else driver=vfs; fi
buildah() { command buildah --root "$home/$driver" --runroot "$home/run" --storage-driver "$driver" "$@"; }

containers=()
clean_up() {
  for container in "${containers[@]}"; do buildah rm "$container" >/dev/null 2>&1 || true; done
  rm -rf "$work"
}
trap clean_up EXIT

# Ubuntu's signing keys are not on every machine; the checks need its packages, not its trust.
untrusted=(--aptopt='Acquire::AllowInsecureRepositories "true"' --aptopt='APT::Get::AllowUnauthenticated "true"')

# base SUITE: the image localhost/SUITE, a minimal system.
base() {
  buildah inspect --type image "localhost/$1" >/dev/null 2>&1 && return
  say "base system: $1"
  local options=(--variant=minbase --include=apt,ca-certificates)
  [[ $1 != noble ]] || options+=(--components=main,universe "${untrusted[@]}")
  [[ -s $home/$1.tar ]] || mmdebstrap --quiet "${options[@]}" "$1" "$home/$1.tar"
  local container
  container=$(buildah from scratch)
  buildah add --quiet "$container" "$home/$1.tar" / >/dev/null
  buildah commit --quiet "$container" "localhost/$1" >/dev/null
  buildah rm "$container" >/dev/null
}

# check_bundle SUITE: installs it as its INSTALL.md says, and uses it.
check_bundle() {
  base "$1"
  local container archive=("$root"/build/reel-*-linux-x86_64.tar.gz)
  container=$(buildah from "localhost/$1")
  containers+=("$container")
  buildah copy --quiet "$container" "${archive[0]}.sha256" "${archive[0]}" /tmp/ >/dev/null
  buildah run -v "$root/tests/fixtures:/fixtures:ro" "$container" -- bash -euc '
    cd /tmp
    sha256sum -c --quiet reel-*.tar.gz.sha256
    tar -xzf reel-*-linux-x86_64.tar.gz -C /opt
    cd /opt/reel-*-linux-x86_64 && sha256sum -c --quiet SHA256SUMS
    ln -s /opt/reel-*-linux-x86_64/bin/reel /usr/local/bin/reel
    cd /tmp && reel info
    reel train --data /fixtures/aclImdb.tar.gz --epochs 2 --out run --quiet
    echo "fine film" | reel predict run
    for program in /opt/reel-*/tests/*_test; do
      REEL_TEST_FILES=$(dirname "$program") REEL_PROGRAM=/usr/local/bin/reel "$program" --gtest_brief=1 \
        --gtest_filter="-*Gpu*:RealData*" >/tmp/log 2>&1 || { tail -n 20 /tmp/log; exit 1; }
      tail -n 3 /tmp/log | grep PASSED
    done'
  say "the bundle runs on $1"
}

# What this machine has compiled before, for the same system, is not compiled again.
cache=${CCACHE_DIR:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/ccache}
mkdir -p "$cache"
mounts=(-v "$cache:/ccache")
case $variant in
  cpu) suite=bookworm ;;
  cuda)
    suite=noble
    cuda=$(readlink -f "$(dirname "$(readlink -f "$(command -v nvcc)")")/..") || die "no nvcc on the PATH: expected the CUDA toolkit"
    mounts+=(-v "$cuda:/usr/local/cuda:ro")
    ;;
  bundle)
    "$root/run" bundle
    check_bundle bookworm
    check_bundle noble
    exit
    ;;
  *) die "'$variant', expected cpu, cuda or bundle" ;;
esac
base "$suite"

image=localhost/$suite
if [[ $variant == cuda ]]; then
  # nvcc on the PATH, as in NVIDIA's images; pip for the tensorboard stage, which trusts whom this machine trusts.
  image=localhost/noble-cuda
  if ! buildah inspect --type image "$image" >/dev/null 2>&1; then
    container=$(buildah from localhost/noble)
    containers+=("$container")
    buildah run "$container" -- sh -c 'apt-get update -q && apt-get install -y -q --no-install-recommends python3-pip' >/dev/null
    buildah copy --quiet "$container" /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ >/dev/null
    buildah config --env PATH=/usr/local/cuda/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
      --env PIP_BREAK_SYSTEM_PACKAGES=1 --env PIP_CERT=/etc/ssl/certs/ca-certificates.crt "$container"
    buildah commit --quiet "$container" "$image" >/dev/null
  fi
fi
version=$(sed -n 's/^project(reel VERSION \([0-9.]*\).*/\1/p' "$root/CMakeLists.txt")
commit=$(git -C "$root" rev-parse HEAD 2>/dev/null || echo unknown)
mkdir "$work/source"
(cd "$root" && git ls-files -z | xargs -0 cp --parents -t "$work/source")

# stage NAME: builds it; earlier stages come from the store.
stage() {
  local begin=$SECONDS log=$work/$1.log
  if ! buildah build --layers "${mounts[@]}" --target "$1" --build-arg "BASE=$image" --build-arg "RUNTIME_BASE=$image" \
    --build-arg "TENSORBOARD_BASE=$image" --build-arg NSIGHT= --build-arg CCACHE_DIR=/ccache --build-arg "VERSION=$version" --build-arg "COMMIT=$commit" \
    -t "reel-$variant:$1" -f "$work/source/docker/Dockerfile" "$work/source" >"$log" 2>&1; then
    tail -n 40 "$log" >&2
    die "stage $1: the build failed"
  fi
  local container
  container=$(buildah from "reel-$variant:$1")
  printf '%-12s %5d s  %5d MB\n' "$1" $((SECONDS - begin)) "$(du -smx "$(buildah mount "$container")" | cut -f1)"
  buildah rm "$container" >/dev/null
}

# start STAGE: a container of it; its name is left in $container.
start() {
  container=$(buildah from "reel-$variant:$1")
  containers+=("$container")
}

# in_runtime FOLDER ARGS...: the runtime image's entry point as its user, on a read-only root, as process 1; FOLDER/data and
# FOLDER/runs are its volumes.
in_runtime() {
  local folder=$1
  shift
  exec unshare --mount --pid --fork --kill-child bash -c '
    set -euo pipefail
    tree=$1 folder=$2 bin=/opt/reel/bin/reel
    shift 2
    mount --bind "$tree" "$tree" && mount -o remount,bind,ro "$tree"
    for volume in data runs; do mount --bind "$folder/$volume" "$tree/$volume"; done
    mount -o remount,bind,ro "$tree/data"
    mount -t proc proc "$tree/proc"
    cd "$tree"
    exec chroot --userspec=10001:10001 "$tree" env -i PATH=/opt/reel/bin:/usr/bin XDG_CACHE_HOME=/data "$bin" "$@"' \
    in_runtime "$tree" "$folder" "$@"
}

# process_of PATTERN: the trainer's id, seen from here.
process_of() { pgrep -u 10001 -f "$1"; }
steps_in() { sed -n 's/.*"split":"train".*/&/p' "$1" | sed -E 's/.*"step":([0-9]+).*/\1/'; }

check_runtime() {
  local folder=$work/volumes train
  mkdir -p "$folder"/{data,runs}
  cp "$root/tests/fixtures/aclImdb.tar.gz" "$folder/data"
  chown -R 10001:10001 "$folder"/runs
  start runtime
  tree=$(buildah mount "$container")
  [[ $(buildah inspect --type image --format '{{.OCIv1.Config.User}}' "reel-$variant:runtime") == 10001:10001 ]] ||
    die "runtime: runs as another user than 10001"
  (in_runtime "$folder" info) | sed 's/^/  /'
  train=(train --device cpu --data /data/aclImdb.tar.gz --out /runs/one --epochs 2000 --log-every 1 --quiet)
  (in_runtime "$folder" "${train[@]}") >"$work/first.log" 2>&1 &
  local job=$! metrics=$folder/runs/one/metrics.jsonl
  for _ in $(seq 600); do
    if [[ -e $metrics ]] && [[ $(wc -l <"$metrics") -gt 20 ]]; then break; fi
    kill -0 $job 2>/dev/null || { cat "$work/first.log" >&2; die "runtime: training ended early"; }
    sleep 0.1
  done
  kill -TERM "$(process_of 'out /runs/one')"
  wait $job && code=0 || code=$?
  local logged
  logged=$(steps_in "$metrics" | tail -n 1)
  cp "$metrics" "$work/before.jsonl"
  say "SIGTERM after $logged logged steps: exit code $code"
  [[ $code -eq 143 ]] || die "runtime: ended with $code, expected 143"
  (in_runtime "$folder" train --resume /runs/one --max-steps $((logged + 5)) --quiet) || die "runtime: the run does not resume"
  cmp -s -n "$(stat -c %s "$work/before.jsonl")" "$work/before.jsonl" "$metrics" || die "runtime: steps that had been logged are lost"
  [[ $(steps_in "$metrics" | sort -n | uniq -d | wc -l) -eq 0 ]] || die "runtime: steps are logged twice"
  [[ $(steps_in "$metrics" | tail -n 1) -gt $logged ]] || die "runtime: nothing was trained after resuming"
  if (in_runtime "$folder" train --device cpu --data /data/aclImdb.tar.gz --out /opt/run --epochs 1) >"$work/ro.log" 2>&1; then
    die "runtime: wrote to a read-only root"
  fi
  sed 's/^/  /' "$work/ro.log"
  grep -q 'Read-only file system' "$work/ro.log" || die "runtime: expected a read-only root"
}

# A run's metrics arrive in TensorBoard.
check_tensorboard() {
  stage tensorboard
  local folder=$work/tensorboard tree
  mkdir -p "$folder/one"
  printf '{"step":%d,"split":"train","loss":0.5}\n' 1 2 3 >"$folder/one/metrics.jsonl"
  start tensorboard
  tree=$(buildah mount "$container")
  buildah run -v "$folder:/runs:ro" --user 10001:10001 "$container" -- timeout 60 python3 /usr/local/lib/tensorboard.py /runs >"$work/tb.log" 2>&1 &
  for _ in $(seq 50); do
    if curl -sf http://localhost:6006/data/plugin/scalars/tags | grep -q '"one/train"'; then say "tensorboard shows the run"; return; fi
    sleep 1
  done
  cat "$work/tb.log" >&2
  die "tensorboard: the run does not appear"
}

stage deps
stage build
stage test
stage runtime
stage profile
if [[ $variant == cuda ]]; then check_tensorboard; fi
say "runtime: training, SIGTERM, resuming"
check_runtime
say "test stage"
start test
buildah run "${mounts[@]}" "$container" -- ./run test --preset bundle >"$work/tests.log" 2>&1 ||
  { grep -Ev ' Start +[0-9]+:| Passed +[0-9.]+ sec|\*\*\*Skipped' "$work/tests.log" | tail -n 100 >&2; die "test stage: failed"; }
grep -E 'tests passed' "$work/tests.log"
say "all stages of the $variant images work"
