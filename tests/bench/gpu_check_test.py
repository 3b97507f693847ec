#!/usr/bin/env python3
"""A rehearsal of gpu_check.sh: stand-in programs that hang, crash, print garbage, or are killed with it, in each of its parts.

    gpu_check_test.py BENCH     the folder bench/

What came before is there and valid, and a family that fails costs itself alone.
"""
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import textwrap
import time
import unittest
from pathlib import Path

BENCH = Path(sys.argv.pop(1)).resolve()
PARTS = ["facts", "tests", "steps", "training", "models", "recurrence", "peers", "sanitizer", "ncu", "sass"]
# A family of each part, and how its stand-in knows it by its arguments.
FAULTY = {"facts": ("reel", "reel info --device cuda"), "tests": ("model-GpuMixed", "model_test *GpuMixed_\\**"),
          "steps": ("mixed-64", "gpu_bench step precision=mixed batch=64"),
          "training": ("float32-2", "reel train *--precision float32 --seed 2 *"),
          "models": ("gru-64", "peers_gpu.py *--batches 64 * --cell gru"),
          "recurrence": ("cudnn-standard-mixed-batch-64-rows-full", "gpu_bench recurrence peer=cudnn-standard precision=mixed * batch=64 rows=full"),
          "peers": ("64", "peers_gpu.py *--batches 64"), "sanitizer": ("memcheck-Gpu", "compute-sanitizer --tool memcheck *Gpu_*"),
          "ncu": ("float32", "profile.sh ncu *--precision float32"), "sass": ("reel", "cuobjdump -sass *")}

STAND_IN = """\
#!/usr/bin/env bash
# Does what REHEARSAL says where its arguments match a line of REHEARSAL_WHERE, else prints what the real one would.
call="$(basename "$0") $*"
while IFS= read -r pattern; do
  [[ $call == $pattern ]] || continue
  case $REHEARSAL in
    hang) trap '' TERM; printf '%s\\n' "$ROW"; while true; do sleep 0.05; done ;;
    crash) printf '%s\\n' "$ROW"; kill -SEGV $$ ;;
    garbage) printf '{"what": "training_step"\\n{}\\n[1]\\nNaN\\n{"what":"x","variant":"x","precision":"x","rows":"x","batch":1,"hidden":1,"steps":1,"us":[NaN]}\\n'; exit 0 ;;
    kill) kill -KILL "$(cat "$REHEARSAL_CHECK")"; exit 0 ;;
  esac
done <<<"$REHEARSAL_WHERE"
case $call in
  gpu_bench*)
    what=recurrence_forward variants="reel cudnn-standard" precision=float32 cell=tanh layers=1 directions=1
    for word in "$@"; do [[ $word == *=* ]] && declare "${word%%=*}=${word#*=}"; done
    [[ $1 != layer ]] || what=layer_forward
    [[ $1 == recurrence || $1 == layer ]] || { what=training_step variants=reel; }
    [[ $call != "gpu_bench recurrence cell="* ]] || variants=reel
    for variant in $variants; do
      printf '{"what":"%s","variant":"%s","precision":"%s","batch":64,"hidden":128,"steps":200,"rows":"full","cell":"%s","layers":%s,"directions":%s,"us":[1,2,3]}\\n' \\
        "$what" "$variant" "$precision" "$cell" "$layers" "$directions"
    done ;;
  *_test*) printf '[ RUN      ] A.B/Gpu_1\\n[       OK ] A.B/Gpu_1 (0 ms)\\n' ;;
  *" train "*)
    while [[ $# -gt 0 ]]; do [[ $1 == --out ]] && out=$2; shift; done
    mkdir -p "$out"; printf '{"test_accuracy": 0.86, "train_seconds": 0.5}\\n' >"$out/summary.json" ;;
  *" info "*) echo "calling init: /lib/libcublas.so.13"; echo "LIBRARIES $LD_LIBRARY_PATH" ;;
  peers_gpu.py*) printf '%s\\n' '{"torch": "2.11"}' '{"batch": 64, "precision": "float32", "kind": "graph", "ratio": 5}' ;;
  *) echo "$call" ;;
esac
"""
PEERS = """\
import os, subprocess, sys
os.execv(os.path.join(os.path.dirname(__file__), "peers_gpu_stand_in"), ["peers_gpu.py", *sys.argv[1:]])
"""
ROW = ('{"what":"training_step","variant":"reel","precision":"mixed","batch":64,"hidden":128,"steps":200,"rows":"full",'
       '"us":[1.5],"kind":"eager"}')


def read(path):
    try:
        return path.read_text(errors="replace").replace("\0", " ")
    except OSError:  # it has ended
        return ""


class Rehearsal(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.home = tempfile.TemporaryDirectory()
        home = Path(cls.home.name)
        for name in ("bin/reel", "bench/gpu_bench", "bench/profile.sh", "bench/peers_gpu_stand_in", "tests/kernels_test",
                     "tests/model_test", "tests/train_test", "path/nvidia-smi", "path/compute-sanitizer", "path/cuobjdump", "path/ldd"):
            path = home / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(STAND_IN.replace('call="$(basename "$0") $*"', 'call="peers_gpu.py $*"')
                            if "peers" in name else STAND_IN)
            path.chmod(0o755)
        (home / "bench/peers_gpu.py").write_text(PEERS)
        for name in ("gpu_check.sh", "gpu_report.py", "gpu_tables.py", "tables.py"):
            shutil.copy(BENCH / name, home / "bench" / name)
        (home / "COMMIT").write_text("0123456789abcdef\n")
        for package in ("cu13", "cudnn", "nvjitlink"):
            (home / "site/nvidia" / package / "lib").mkdir(parents=True)
        cls.root = home

    @classmethod
    def tearDownClass(cls):
        cls.home.cleanup()

    def setUp(self):
        self.results = Path(tempfile.mkdtemp(dir=self.root))

    def check(self, parts, fault="", where=()):
        """Runs gpu_check.sh; its exit code."""
        return self.start(parts, fault, where).wait(timeout=300)

    def start(self, parts, fault="", where=(), seconds=3):
        # Of this call alone: a family that survives the one before may still want to kill that.
        number = Path(tempfile.mkdtemp(dir=self.root)) / "pid"
        environment = os.environ | {
            "PATH": f"{self.root / 'path'}:{os.environ['PATH']}", "PYTHONPATH": str(self.root / "site"), "ROW": ROW,
            "PYTHONDONTWRITEBYTECODE": "1", "REHEARSAL": fault, "REHEARSAL_WHERE": "\n".join(where),
            "REHEARSAL_CHECK": str(number), "REEL_CHECK_FAMILY_SECONDS": str(seconds) if fault == "hang" else "60",
            "REEL_CHECK_GRACE_SECONDS": "1"}
        command = f'echo $$ >{number}; exec {self.root / "bench/gpu_check.sh"} {self.results} {" ".join(parts)}'
        # What starts the tests in the background lets them ignore SIGINT, and bash cannot trap what it began with ignoring.
        return subprocess.Popen(["bash", "-c", command], env=environment, stdout=subprocess.DEVNULL,
                                stderr=subprocess.DEVNULL, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))

    def processes(self):
        return [line for path in Path("/proc").glob("[0-9]*/cmdline") if str(self.root) in (line := read(path))]

    def tearDown(self):
        end = time.monotonic() + 10  # what is killed takes a moment to be gone
        while self.processes() and time.monotonic() < end:
            time.sleep(0.05)
        self.assertEqual(self.processes(), [], "a hung process would hold the GPU while the next ones are measured")

    def result(self):
        """gpu_check.json, with the two others valid too."""
        self.assertIn("gpu_check.sh at commit 0123456789abcdef", (self.results / "gpu_check.md").read_text())
        parts = json.loads((self.results / "gpu_check.json").read_text())["parts"]
        with tarfile.open(self.results / "gpu_check_logs.tar.gz") as archive:
            logs = archive.getnames()
        ran = [f"{part}.{name}" for part, entry in parts.items() for name, family in entry["families"].items()
               if family["outcome"] != "no time left"]
        self.assertLessEqual({f"gpu_check/{name}.{kind}" for name in ran for kind in ("out", "log")}, set(logs))
        return parts

    def assert_others_passed(self, parts):
        self.assertEqual(sorted(parts), sorted(PARTS))
        for part, (faulty, _) in FAULTY.items():
            for name, family in parts[part]["families"].items():
                if name != faulty:
                    self.assertEqual(family["outcome"], "passed", f"{part} {name}: {family}")

    def test_all_is_well(self):
        self.assertEqual(self.check(PARTS), 0)
        parts = self.result()
        self.assert_others_passed(parts)
        self.assertEqual({part: len(parts[part]["families"]) for part in ("steps", "training", "models", "recurrence", "peers")},
                         {"steps": 20, "training": 10, "models": 8, "recurrence": 92, "peers": 2})
        text = (self.results / "gpu_check.md").read_text()
        self.assertIn("| forward, B 64, H 128, T 200, full rows | float32 | 2.0 | 2.0 (standard) | 1.0 |", text)
        self.assertIn("| forward, B 64, H 128, T 200, full rows, lstm | float32 | 2.0 |  |  |", text)
        self.assertIn("| layer forward, B 64, H 128, T 200, full rows, lstm | float32 | 2.0 | 2.0 (standard) | 1.0 |", text)
        for layers in ("gru", "lstm", "tanh, 2 layers", "tanh, both directions"):
            self.assertIn(f"| training step, {layers} | 64 | float32 | 2.0 | 1.0 | 3.0 |", text)
        self.assertIn("| mixed | 3 | 86.0 86.0 86.0 | 86.0 % | 0.50 |", text)
        self.assertIn("| bidirectional-float32 | 1 | 86.0 | 86.0 % | 0.50 |", text)
        self.assertIn("## PyTorch, other models", text)
        self.assertEqual(sorted(path.name for path in self.results.iterdir()),
                         ["gpu_check.json", "gpu_check.md", "gpu_check_logs.tar.gz"])
        # Wherever NVIDIA's packages for Python put their libraries, the loader finds them.
        libraries = next(line for line in parts["facts"]["families"]["reel"]["text"] if line.startswith("LIBRARIES"))
        for package in ("cu13", "cudnn", "nvjitlink"):
            self.assertIn(str(self.root / "site/nvidia" / package / "lib"), libraries)

    def test_each_call_keeps_what_the_others_found(self):
        for call in ("first", "second", "third"):
            self.assertEqual(self.check([call]), 0)
        self.assert_others_passed(self.result())

    def test_a_part_that_is_none_is_refused(self):
        self.assertEqual(self.check(["facts", "trainigs"]), 99)
        self.assertEqual(self.check(["first", "third"]), 99)

    def test_ended_while_a_family_hangs_it_ends_that_too(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            with self.subTest(number=number):
                self.setUp()
                process = self.start(["facts", "steps"], "hang", [FAULTY["steps"][1]], seconds=60)
                while not any("precision=mixed batch=64" in line for line in self.processes()):
                    time.sleep(0.05)
                process.send_signal(number)
                self.assertEqual(process.wait(timeout=20), 143)
                self.assertEqual(self.result()["facts"]["outcome"], "passed")
                self.tearDown()

    def test_a_family_that_hangs_costs_itself_alone(self):
        self.assertEqual(self.check(PARTS, "hang", [where for _, where in FAULTY.values()]), len(PARTS))
        parts = self.result()
        self.assert_others_passed(parts)
        for part, (name, _) in FAULTY.items():
            self.assertEqual(parts[part]["families"][name]["outcome"], "ran out of time", part)
        self.assertEqual(parts["steps"]["families"]["mixed-64"]["rows"], [json.loads(ROW)], "the row before it hung")

    def test_a_family_that_crashes_costs_itself_alone(self):
        self.check(PARTS, "crash", [where for _, where in FAULTY.values()])
        parts = self.result()
        self.assert_others_passed(parts)
        for part, (name, _) in FAULTY.items():
            if part != "training":  # whose shell tries again, without graphs
                self.assertIn(parts[part]["families"][name]["outcome"], ("crashed (signal 11)", "failed (139)"), part)
        self.assertEqual(parts["recurrence"]["families"][FAULTY["recurrence"][0]]["rows"], [json.loads(ROW)])
        self.assertIn("without CUDA graphs:", parts["training"]["families"]["float32-2"]["said"])

    def test_garbage_costs_its_family_alone(self):
        self.check(PARTS, "garbage", [where for _, where in FAULTY.values()])
        parts = self.result()
        self.assert_others_passed(parts)
        for part in ("steps", "recurrence", "peers", "models"):
            family = parts[part]["families"][FAULTY[part][0]]
            self.assertEqual((family["rows"], family["outcome"]), ([], "failed (5 lines are no results)"), part)
        self.assertEqual(parts["training"]["families"]["float32-2"]["outcome"], "failed (1)")
        self.assertEqual(parts["tests"]["families"]["model-GpuMixed"]["outcome"], "no test ran")

    def test_killed_in_each_part_what_came_before_is_there(self):
        for part in PARTS[1:]:
            with self.subTest(part=part):
                self.setUp()
                self.assertEqual(self.check(["facts", part], "kill", [FAULTY[part][1]]), -signal.SIGKILL)
                parts = self.result()
                self.assertEqual(len(parts["facts"]["families"]), 5)
                self.assertEqual(parts["facts"]["families"]["reel"]["outcome"], "passed")
                first = len(parts.get(part, {"families": {}})["families"])
                # The next call goes on in the same folder.
                self.assertEqual(self.check(["sass"]), 0)
                parts = self.result()
                self.assertEqual(len(parts["facts"]["families"]), 5)
                self.assertEqual(parts["sass"]["families"]["reel"]["outcome"], "passed")
                if part != "sass":
                    self.assertEqual(len(parts.get(part, {"families": {}})["families"]), first)

    def test_what_a_machine_does_not_support_is_an_outcome(self):
        tools = {"compute-sanitizer": "echo '========= Error: Device not supported.' >&2; exit 1",
                 "cuobjdump": "exit 127"}
        try:
            for name, text in tools.items():
                (self.root / "path" / name).write_text(f"#!/bin/sh\n{text}\n")
            (self.root / "bench/profile.sh").write_text(
                "#!/bin/sh\necho 'profile.sh: the driver refuses its counters (ERR_NVGPUCTRPERM)' >&2; exit 1\n")
            self.assertEqual(self.check(["sanitizer", "ncu", "sass"]), 0)
            parts = self.result()
            # A race is none the less one because something else is not supported.
            (self.root / "path/compute-sanitizer").write_text("#!/bin/sh\necho '========= Error: x not supported' >&2; exit 9\n")
            self.assertEqual(self.check(["sanitizer"]), 1)
            self.assertEqual(self.result()["sanitizer"]["outcome"], "failed")
        finally:
            for path in (*(self.root / "path" / name for name in tools), self.root / "bench/profile.sh"):
                path.write_text(STAND_IN)
        for part, result in parts.items():
            self.assertEqual({f["outcome"] for f in result["families"].values()}, {"not supported here"}, part)
            self.assertEqual(result["outcome"], "not supported here", part)

    def test_a_damaged_result_of_before_is_replaced(self):
        (self.results / "gpu_check.json").write_text('{"parts": {"fac')
        self.assertEqual(self.check(["sass"]), 0)
        self.assertEqual(list(self.result()), ["sass"])

    def test_the_three_calls_are_all_parts(self):
        text = (BENCH / "gpu_check.sh").read_text()
        for call, minutes in (("first", 9), ("second", 9), ("third", 8)):
            self.assertIn(f"{call}) minutes={minutes} parts=(", text)
        named = " ".join(line.split("parts=(")[1].split(")")[0] for line in text.splitlines() if "minutes=" in line and "parts=(" in line and ") minutes" in line)
        self.assertEqual(named.split(), PARTS)


if __name__ == "__main__":
    unittest.main()
