#!/usr/bin/env bash
# Builds an image and runs it, with docker, podman or buildah, whichever is there; on a machine without a GPU the CPU images.
#
#   run.sh [train|test|profile] [ARGS...]      ARGS: flags of reel train, of ./run test, of bench/profile.sh
#
# REEL_ENGINE chooses between docker, podman and buildah; REEL_BASE and REEL_RUNTIME_BASE are the images to build on. Data is
# kept in the volume reel-data, runs in reel-runs (buildah: folders of these names in build/).
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
what=${1:-train}
shift || true
die() { printf 'docker/run.sh: %s\n' "$*" >&2; exit 1; }

case $what in
  train) stage=runtime arguments=(train "$@") ;;
  test) stage=test arguments=("$@") ;;
  profile) stage=profile arguments=("$@") ;;
  *) die "'$what', expected train, test or profile" ;;
esac

usable() { case $1 in docker) docker info ;; podman | buildah) "$1" version ;; *) false ;; esac >/dev/null 2>&1; }
engine=${REEL_ENGINE:-}
if [[ -n $engine ]]; then
  usable "$engine" || die "REEL_ENGINE is '$engine', expected docker, podman or buildah, ready for use"
else
  for engine in docker podman buildah none; do usable "$engine" && break; done
  [[ $engine != none ]] || die "found neither docker (with its daemon) nor podman nor buildah, expected one of them"
fi

options=(--build-arg "COMMIT=$(git -C "$root" rev-parse HEAD 2>/dev/null || echo unknown)")
options+=(--build-arg "VERSION=$(sed -n 's/^project(reel VERSION \([0-9.]*\).*/\1/p' "$root/CMakeLists.txt")")
device=()
if nvidia-smi -L >/dev/null 2>&1; then
  name=reel
  case $engine in docker) device=(--gpus all) ;; podman) device=(--device nvidia.com/gpu=all) ;; esac
  [[ $what == profile ]] && device+=(--cap-add SYS_ADMIN)  # the GPU's counters
else
  name=reel-cpu
  options+=(--build-arg BASE=debian:12-slim --build-arg RUNTIME_BASE=debian:12-slim --build-arg NSIGHT=)
fi
if [[ -n ${REEL_BASE:-} ]]; then options+=(--build-arg "BASE=$REEL_BASE"); fi
if [[ -n ${REEL_RUNTIME_BASE:-} ]]; then options+=(--build-arg "RUNTIME_BASE=$REEL_RUNTIME_BASE"); fi
[[ $engine == buildah ]] && options+=(--layers)

printf 'docker/run.sh: building %s:%s with %s\n' "$name" "$stage" "$engine" >&2
log=$(mktemp)
"$engine" build "${options[@]}" --target "$stage" -t "$name:$stage" -f "$root/docker/Dockerfile" "$root" >"$log" 2>&1 ||
  { tail -n 40 "$log" >&2; die "the build failed"; }
rm -f "$log"

if [[ $engine != buildah ]]; then
  terminal=()
  [[ -t 0 && -t 1 ]] && terminal=(--interactive --tty)
  [[ $stage == runtime ]] && device+=(--read-only)
  if [[ $what == test ]]; then arguments=(./run test --preset bundle "${arguments[@]}"); fi
  exec "$engine" run --rm --init "${terminal[@]}" "${device[@]}" -v reel-data:/data -v reel-runs:/runs "$name:$stage" "${arguments[@]}"
fi

# buildah runs commands, not entry points.
case $what in
  train) arguments=(reel "${arguments[@]}") ;;
  test) arguments=(./run test --preset bundle "${arguments[@]}") ;;
  profile) arguments=(bench/profile.sh "${arguments[@]}") ;;
esac
volumes=("$root"/build/reel-{data,runs})
mkdir -p "${volumes[@]}"
[[ $(id -u) -ne 0 ]] || chown 10001:10001 "${volumes[@]}"
container=$(buildah from "$name:$stage")
trap 'buildah rm "$container" >/dev/null' EXIT
buildah run -v "${volumes[0]}:/data" -v "${volumes[1]}:/runs" "$container" -- "${arguments[@]}"
