#!/usr/bin/env python3
"""What gpu_check.sh has found so far, as files that are whole at any time.

    gpu_report.py RESULTS WORK COMMIT

WORK/outcomes has a line for each family that has ended: part, name, exit code or "skipped", seconds; PART.NAME.out is what it
printed, PART.NAME.log what else it said. Makes RESULTS/gpu_check.json, gpu_check.md and gpu_check_logs.tar.gz anew; parts that
RESULTS/gpu_check.json has already, and that do not run now, stay in it.
"""
import io
import json
import os
import re
import sys
import tarfile
import tempfile
import zlib
from pathlib import Path

import gpu_tables

# What tools say that a machine does not support, by part.
MISSING = r"command not found|failed to run command"
NOT_SUPPORTED = {
    "facts": MISSING,
    "peers": r"No module named|" + MISSING,
    "models": r"No module named|" + MISSING,
    "sanitizer": r"^(?:=+ *)?Error: .*not supported|" + MISSING,
    "ncu": r"ERR_NVGPUCTRPERM|refuses its counters|Failed to initialize the profiler|found no ncu|not supported on|" + MISSING,
    "sass": MISSING,
}
SANITIZER_FOUND = 9  # its exit code for errors in the program
KEPT_LINES = 40  # of what a family said


def read(path):
    return path.read_text(errors="replace") if path.exists() else ""


def no_constant(name):
    raise ValueError(f"{name} is no JSON")


def parse(text):
    return json.loads(text, parse_constant=no_constant)


def is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def is_timed(row):
    """A row of gpu_bench."""
    return (all(isinstance(row.get(key), str) for key in ("what", "variant", "precision", "rows"))
            and all(is_number(row.get(key)) for key in ("batch", "hidden", "steps"))
            and all(isinstance(row[key], list) and row[key] and all(map(is_number, row[key]))
                    for key in row if key.endswith("us")))


def is_peer(row):
    """A row of peers_gpu.py."""
    return "torch" in row or (all(isinstance(row.get(key), str) for key in ("precision", "kind"))
                              and is_number(row.get("batch"))
                              and all(is_number(row[key]) for key in ("ratio", "us", "reel_us") if key in row))


def rows_of(text, is_row):
    """The lines that are rows; how many are not."""
    rows, garbage = [], 0
    for line in text.splitlines():
        try:
            row = parse(line)
        except ValueError:
            row = None
        if isinstance(row, dict) and is_row(row):
            rows.append(row)
        elif line.strip():
            garbage += 1
    return rows, garbage


def summary_of(text):
    """summary.json of a run, or null."""
    try:
        summary = parse(text)
    except ValueError:
        return None
    good = isinstance(summary, dict) and all(is_number(summary.get(key)) for key in ("test_accuracy", "train_seconds"))
    return summary if good else None


def tests_of(text):
    """Names of tests by how they ended; one that began and did not end is the one that hung or crashed."""
    found = {"passed": [], "failed": [], "skipped": [], "unfinished": []}
    running = None
    for line in text.splitlines():
        match = re.match(r"\[ +(RUN|OK|FAILED|SKIPPED) +\] ([^ ,]+)", line)
        if not match:
            continue
        state, name = match.groups()
        if state == "RUN":
            running = name
        elif name == running:
            found[{"OK": "passed", "FAILED": "failed", "SKIPPED": "skipped"}[state]].append(name)
            running = None
    if running:
        found["unfinished"].append(running)
    return found


def outcome_of(code, log, part):
    if code == "skipped":
        return "no time left"
    code = int(code)
    if code == 0:
        return "passed"
    found = part == "sanitizer" and code == SANITIZER_FOUND
    if part in NOT_SUPPORTED and not found and (code in (126, 127) or re.search(NOT_SUPPORTED[part], log, re.M | re.I)):
        return "not supported here"
    if code in (124, 137):
        return "ran out of time"
    return f"crashed (signal {code - 128})" if code > 128 else f"failed ({code})"


def family(part, name, code, seconds, work):
    out, log = read(work / f"{part}.{name}.out"), read(work / f"{part}.{name}.log")
    result = {"outcome": outcome_of(code, log + out, part), "seconds": int(seconds)}
    if part in ("steps", "recurrence", "grid", "peers", "models"):
        result["rows"], result["garbage"] = rows_of(out, is_peer if part in ("peers", "models") else is_timed)
    elif part == "tests":
        result |= tests_of(out)
        if result["outcome"] == "passed" and not result["passed"]:
            result["outcome"] = "no test ran"
    elif part == "training":
        if summary := summary_of(out):
            result["summary"] = summary
        elif result["outcome"] == "passed":
            result["outcome"] = "failed (no summary)"
    else:
        result["text"] = out.splitlines()[:400]
    if result.get("garbage") and result["outcome"] == "passed":
        result["outcome"] = f"failed ({result['garbage']} lines are no results)"
    if result["outcome"] not in ("passed", "no time left"):
        result["said"] = log.splitlines()[-KEPT_LINES:]
    return result


def outcome_of_all(outcomes):
    """A part has passed if some of its families have, and the others had no chance to."""
    no_chance = ("not supported here", "no time left")
    if outcomes - {"passed", *no_chance}:
        return "failed"
    return "passed" if "passed" in outcomes else next(o for o in no_chance if o in outcomes)


def collect(base, work, commit):
    parts = {}
    for line in read(work / "outcomes").splitlines():
        part, name, code, seconds = line.split("\t")
        parts.setdefault(part, {"families": {}})["families"][name] = family(part, name, code, seconds, work)
    for part in parts.values():
        part["outcome"] = outcome_of_all({entry["outcome"] for entry in part["families"].values()})
        part["seconds"] = sum(entry["seconds"] for entry in part["families"].values())
        part["commit"] = commit
    kept = base.get("parts") if isinstance(base, dict) else None
    return {"commit": commit, "parts": (kept if isinstance(kept, dict) else {}) | parts}


def replace(path, write):
    """The old file, or the new one, and nothing between."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def part_of(name):
    """Of a log: training.float32-1.out, ncu-mixed.ncu-rep."""
    return re.match("[a-z]*", name).group()


def pack(file, before, work, parts):
    """The logs of this call, and those that `before` has of parts that do not run now."""
    now = sorted(path for path in work.iterdir() if path.suffix in (".out", ".log", ".ncu-rep"))
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        for name, text in before.items():
            if part_of(name) not in parts:
                member = tarfile.TarInfo(f"gpu_check/{name}")
                member.size = len(text)
                archive.addfile(member, io.BytesIO(text))
        for log in now:
            archive.add(log, arcname=f"gpu_check/{log.name}")


def unpack(path):
    """The logs in an archive, by name; none of one that is damaged."""
    try:
        with tarfile.open(path) as archive:
            return {Path(member.name).name: archive.extractfile(member).read() for member in archive if member.isfile()}
    except (OSError, tarfile.TarError, EOFError, zlib.error):
        return {}


def main():
    results, work, commit = Path(sys.argv[1]), Path(sys.argv[2]), read(Path(sys.argv[3])).strip()
    try:
        base = parse(read(results / "gpu_check.json"))
    except ValueError:
        base = {}
    result = collect(base, work, commit)
    text = json.dumps(result, indent=1) + "\n"
    replace(results / "gpu_check.json", lambda file: file.write(text.encode()))
    try:
        tables = gpu_tables.summary(result)
    except Exception as error:  # the results are there all the same
        tables = f"No tables: {error!r}\n"
    replace(results / "gpu_check.md", lambda file: file.write(tables.encode()))
    running = {line.split("\t")[0] for line in read(work / "outcomes").splitlines()}
    before = unpack(results / "gpu_check_logs.tar.gz")
    replace(results / "gpu_check_logs.tar.gz", lambda file: pack(file, before, work, running))


if __name__ == "__main__":
    main()
