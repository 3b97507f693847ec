#!/usr/bin/env python3
"""Changes the product in one place at a time and sees whether the tests notice: a sample of universalmutator's mutants.

    mutate.py WORK [N [SEED]]     from the repository's root; universalmutator's `mutate` has to be on the PATH

Judges N mutants (300) of host/ and kernels/cpu/, drawn by SEED (1) from all of them. Those that do not compile, or compile
to the same code, do not count. One is caught if a test program fails, crashes or takes three times as long as without it
and half a minute more. WORK/results.jsonl has a line for each; called again on the same product, it goes on from there, and
asks new tests about the survivors. The tests that need an emulator or a GPU are not asked: a survivor may be caught by them.
"""
import hashlib
import json
import os
import queue
import random
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

AREAS = ("kernels/cpu", "host/files", "host/text", "host/model", "host/predict", "host/train", "host/cli")
# The programs that may notice, by area, the nearest first.
PROGRAMS = {
    "kernels/cpu": ("kernels/kernels_test", "model/model_test", "train/train_test"),
    "host/files": ("files/files_test", "text/text_test", "text/text_memory_test", "train/train_test", "cli/cli_test"),
    "host/text": ("text/text_test", "text/text_memory_test", "train/train_test", "cli/cli_test"),
    "host/model": ("model/model_test", "predict/predict_test", "train/train_test", "cli/cli_test"),
    "host/predict": ("predict/predict_test", "train/train_test", "cli/cli_test"),
    "host/train": ("train/train_test", "cli/cli_test"),
    "host/cli": ("cli/cli_test",),
}
SHARDS = {"cli/cli_test": 4}  # its tests wait more than they compute
# The kernels for this processor's instructions alone: they are one source for all.
FLAGS = "-O1 -march=native -DHWY_COMPILE_ONLY_STATIC"
# What most files include, parsed once: three of four mutants are no C++, and clang says so in a second.
COMMON = """algorithm chrono cmath cstdio cstdlib filesystem fstream functional map memory mutex numeric optional random span
            string thread variant vector CLI/CLI.hpp fmt/format.h nlohmann/json.hpp"""
LIBRARIES = ("reel_kernels", "reel_files", "reel_text", "reel_model", "reel_predict", "reel_train", "reel")
MEMORY = 8 << 30


def area_of(path):
    return next(area for area in AREAS if str(path).startswith(area))


def sha256(path):
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def tree(*folders):
    files = sorted(p for folder in folders for p in Path(folder).rglob("*") if p.is_file() and "__pycache__" not in p.parts)
    return hashlib.sha256("".join(f"{p} {sha256(p)}\n" for p in files).encode()).hexdigest()


def product():
    return tree("host", "kernels")


def tests():
    """Of those that are asked."""
    asked = {Path(program).parts[0] for several in PROGRAMS.values() for program in several}
    return tree(*(f"tests/{area}" for area in asked | {"fixtures", "golden", "support"}))


def generate(work):
    """Every mutant as (file, the product's hash, the line's number, what it becomes, the mutated file)."""
    mutants, current = [], product()
    for path in sorted(p for area in AREAS for p in Path(area).glob("*") if p.suffix in (".h", ".cpp")):
        folder = work / "mutants" / path.parent / path.name
        done = folder / "done"
        if not done.exists() or done.read_text() != sha256(path):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            command = ["mutate", str(path), "cpp", "--noCheck", "--mutantDir", str(folder)]
            subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
            done.write_text(sha256(path))
        original = path.read_text().splitlines()
        for mutant in folder.glob(f"{path.stem}.mutant.*{path.suffix}"):
            lines = mutant.read_text().splitlines()
            at = next((i for i, (a, b) in enumerate(zip(original, lines)) if a != b), None)
            if at is not None and not original[at].lstrip().startswith(("//", "#include", "#pragma")):
                mutants.append((str(path), current, at + 1, lines[at].strip(), str(mutant)))
    return sorted(mutants)


class Worker:
    """A copy of the tree with its own build; judges one mutant after the other."""

    def __init__(self, root):
        self.source, self.build, self.times = root / "source", root / "build", {}
        root.mkdir(parents=True, exist_ok=True)
        # By contents, and without times: a file that is put back has to be newer than what was made of its mutant.
        subprocess.run(["rsync", "-rlp", "--checksum", "--delete", "--exclude", "build", "--exclude", ".git", "./", f"{self.source}/"], check=True)
        subprocess.run(["cmake", "-S", self.source, "-B", self.build, "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Mutants",
                        "-DCMAKE_CXX_COMPILER_LAUNCHER=ccache",  # a file that is put back has been compiled before
                        f"-DCMAKE_CXX_FLAGS_MUTANTS={FLAGS}", "-DREEL_CUDA=OFF", "-DREEL_UNITY_HOST=OFF", "-DCMAKE_DISABLE_FIND_PACKAGE_CUDAToolkit=ON"],
                       stdout=subprocess.DEVNULL, check=True)
        self.compiling = {**os.environ, "CCACHE_DIR": str(root.parent / "ccache"), "CCACHE_BASEDIR": str(root), "CCACHE_NOHASHDIR": "1"}
        self.environment = {**os.environ, "TMPDIR": str(root / "tmp"), "HOME": str(root / "home"), "REEL_CACHE": str(root / "cache")}
        self.environment.pop("REEL_DATA", None)
        for folder in ("tmp", "home", "cache"):
            (root / folder).mkdir(exist_ok=True)
        common, self.parsed = root / "common.h", root / "common.pch"
        common.write_text("".join(f"#include <{header}>\n" for header in COMMON.split()))
        subprocess.run([*self.clang(), "-fpch-instantiate-templates", "-x", "c++-header", common, "-o", self.parsed], check=True)
        self.understood = {}

    def clang(self):
        return ["clang++", "-std=c++20", "-fPIC", "-w", *FLAGS.split(), "-DFMT_SHARED", '-DREEL_VERSION=""', "-I", self.source]

    def parses(self, file):
        command = [*self.clang(), "-include-pch", self.parsed, "-fsyntax-only", "-x", "c++", file]
        return subprocess.run(command, stderr=subprocess.DEVNULL).returncode == 0

    def is_nonsense(self, path):
        """Whether clang refuses the mutant; it refuses parts of kernels (-inl.h) without one, and then says nothing."""
        target = self.source / path
        if self.parses(target):
            return False
        if path not in self.understood:
            mutant = target.read_bytes()
            shutil.copyfile(path, target)
            self.understood[path] = self.parses(target)
            target.write_bytes(mutant)
        return self.understood[path]

    def make(self, *targets, jobs=1):
        command = ["ninja", "-C", self.build, f"-j{jobs}", *targets]
        return subprocess.run(command, env=self.compiling, stdout=subprocess.DEVNULL).returncode == 0

    def code(self):
        """Of everything but the tests."""
        files = sorted([*self.build.glob("host/**/*.o"), *self.build.glob("kernels/**/*.o")])
        return [sha256(file) for file in files]

    def passes(self, program, limit):
        def confine():
            os.setsid()
            for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # those that a background job ignores
                signal.signal(one, signal.SIG_DFL)
            resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

        shards = SHARDS.get(program, 1)
        children = [subprocess.Popen([self.build / "tests" / program, "--gtest_fail_fast", "--gtest_brief=1"],
                                     env={**self.environment, "GTEST_TOTAL_SHARDS": str(shards), "GTEST_SHARD_INDEX": str(i)},
                                     cwd=self.build, preexec_fn=confine, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                     stderr=subprocess.DEVNULL) for i in range(shards)]
        end = time.monotonic() + limit
        try:
            while any(child.poll() is None for child in children):
                if time.monotonic() > end or any(child.poll() for child in children):
                    return False
                time.sleep(0.05)
            return all(child.returncode == 0 for child in children)
        finally:
            for child in children:
                try:
                    os.killpg(child.pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
                child.wait()

    def prepare(self):
        """Builds the tree as it is and measures its tests; everything has to pass."""
        programs = sorted({program for several in PROGRAMS.values() for program in several})
        if not self.make(*LIBRARIES, *(Path(program).name for program in programs), jobs=os.cpu_count()):
            sys.exit("mutate: the tree itself does not build")
        self.original = self.code()
        for program in programs:
            begin = time.monotonic()
            if not self.passes(program, 600):
                sys.exit(f"mutate: {program} fails without a mutant")
            self.times[program] = time.monotonic() - begin

    def judge(self, mutant):
        path, mutated = mutant[0], mutant[-1]
        target = self.source / path
        shutil.copyfile(mutated, target)
        try:
            if self.is_nonsense(path) or not self.make(*LIBRARIES):
                return "does not compile"
            if self.code() == self.original:
                return "the same code"
            for program in PROGRAMS[area_of(path)]:
                if not self.make(Path(program).name):
                    return "does not compile"
                limit = 30 + 3 * self.times[program]
                # Signals and processes depend on what else runs: those tests have to fail twice.
                if not self.passes(program, limit) and not (program == "cli/cli_test" and self.passes(program, limit)):
                    return f"caught by {Path(program).name}"
            return "survived"
        finally:
            shutil.copyfile(path, target)


def main():
    if not 2 <= len(sys.argv) <= 4:
        sys.exit(__doc__)
    work, count = Path(sys.argv[1]).resolve(), int(sys.argv[2]) if len(sys.argv) > 2 else 300
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else 1
    work.mkdir(parents=True, exist_ok=True)
    mutants = generate(work)
    random.Random(seed).shuffle(mutants)
    results_file = work / "results.jsonl"
    known, asked = {}, tests()
    if results_file.exists():
        for line in results_file.read_text().splitlines():
            result = json.loads(line)
            if result["verdict"] != "survived" or result["tests"] == asked:
                known[result["file"], result["product"], result["line"], result["becomes"]] = result["verdict"]

    counted, lock, todo = [], threading.Lock(), queue.SimpleQueue()
    for mutant in mutants:
        todo.put(mutant)

    def counts(verdict):
        return verdict == "survived" or verdict.startswith("caught")

    def work_on(worker):
        while True:
            with lock:
                if len(counted) >= count or todo.empty():
                    return
                mutant = todo.get()
            verdict = known.get(mutant[:4])
            if verdict is None:
                verdict = worker.judge(mutant)
                with lock, results_file.open("a") as results:
                    named = dict(zip(("file", "product", "line", "becomes"), mutant))
                    results.write(json.dumps({**named, "tests": asked, "verdict": verdict}) + "\n")
            with lock:
                if counts(verdict) and len(counted) < count:
                    counted.append((mutant, verdict))
                    caught = sum(v != "survived" for _, v in counted)
                    print(f"{caught} of {len(counted)} caught; {mutant[0]}:{mutant[2]} {verdict}", flush=True)

    def run(worker):
        try:
            work_on(worker)
        except BaseException as error:  # a thread's SystemExit would pass unseen
            print(error, file=sys.stderr, flush=True)
            os._exit(1)

    workers = [Worker(work / f"worker{i}") for i in range(os.cpu_count())]
    for worker in workers:
        worker.prepare()
    threads = [threading.Thread(target=run, args=(worker,)) for worker in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    survivors = sorted(mutant for mutant, verdict in counted if verdict == "survived")
    print(f"{len(counted) - len(survivors)} of {len(counted)} caught, of {len(mutants)} in all; survivors:")
    for path, _, line, becomes, _ in survivors:
        original = Path(path).read_text().splitlines()[line - 1].strip()
        print(f"{path}:{line}: {original}\n  {becomes}")


if __name__ == "__main__":
    main()
