"""What the measuring scripts share: running programs, where a number comes from, writing results."""
import json
import os
import platform
import re
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "bench" / "results"
CELL_GOALS = {"torch_padded_gru": 2.5, "torch_padded_lstm": 2.5}  # at least so many times faster, an epoch in float32


def processor():
    with open("/proc/cpuinfo") as file:
        for line in file:
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor()


def instructions():
    with open("/proc/cpuinfo") as file:
        text = file.read()
    family, model = (re.search(rf"^{key}\s*: (\d+)$", text, re.MULTILINE) for key in ("cpu family", "model"))
    best = [name for name in ("amx_bf16", "avx512_bf16", "avx512f", "avx2") if name in text]
    return f"family {family[1]} model {model[1]}, {best[0]}" if family and model and best else platform.machine()


def git(*arguments):
    """What git prints of this checkout; nothing where there is no git, or no checkout."""
    try:
        return subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True).stdout.strip()
    except FileNotFoundError:
        return ""


def origin(command):
    """Stands in every result: commit, device, versions, command."""
    changed = "+" if git("status", "--porcelain", "--", "kernels", "host") else ""
    return {"commit": git("rev-parse", "--short", "HEAD") + changed, "processor": processor(),
            "instructions": instructions(), "cores": len(os.sched_getaffinity(0)), "system": platform.platform(),
            "command": command}


def run(command, stdin=None, env=None):
    """Seconds from start to end, peak memory in bytes, and standard output."""
    begin = time.perf_counter()
    process = subprocess.Popen([str(word) for word in command], stdin=stdin, stdout=subprocess.PIPE,
                               stderr=subprocess.DEVNULL, text=True, env=env)
    with process.stdout as pipe:
        output = pipe.read()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - begin
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}: exit code {process.returncode}")
    return seconds, usage.ru_maxrss * 1024, output


def write(name, result):
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(result, indent=1) + "\n")
    print(f"bench/results/{path.name}", flush=True)
