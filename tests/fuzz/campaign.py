"""Feed targets many inputs: ``python -m tests.fuzz.campaign [TARGET ...] --inputs 10000 --seed 1``.

Each target has a process of its own, with a limit on its memory, in which atheris makes the inputs, guided by
what they reach, or Hypothesis where atheris isn't installed.  An input that fails is kept as a file under its
target's name.  At the end there is a line a target: inputs, accepted, refused, edges, most memory, seconds.
"""

import argparse
import hashlib
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from importlib import import_module
from pathlib import Path
from random import Random

ROOT = Path(__file__).parents[2]
_MODULES = ("store_targets", "command_targets", "data_targets")
_ENGINES = ("atheris", "hypothesis")
_SAVE_EVERY = 1.0  # seconds between looks at how far a process is
_ROOM = 4 << 30  # bytes of addresses: what threads and allocators reserve and don't touch
_LARGEST = 1 << 20  # bytes of an input
_FRESH = 0.4  # of the inputs come from a seed: most others have a fault already, and get no further
_RAW = 0.15  # of the inputs are mutated as bytes even where a target knows better


def all_targets():
    """Every target there is, by name."""
    here = Path(__file__).parent
    modules = [import_module(f"tests.fuzz.{name}") for name in _MODULES if (here / f"{name}.py").exists()]
    return {target.name: target for module in modules for target in module.TARGETS}


class Tally:
    """What came of a target's inputs.

    Parameters
    ----------
    target, guard
        What is fed, and who watches.
    failures
        Where inputs that fail are kept.
    """

    def __init__(self, target, guard, failures):
        self.target, self.guard, self.failures = target, guard, failures
        self.counts = Counter()
        self.found = {}  # from where it failed to the first input that did
        self.began = time.monotonic()

    def feed(self, data):
        """Feed one input; keep it if it fails."""
        from tests.fuzz.target import outcome

        self.counts["inputs"] += 1
        try:
            with self.guard.on_duty(self.target.memory) as scratch:
                result = outcome(self.target, data, scratch)
            self.counts[result] += 1
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # whatever it is, it isn't a refusal
            self._keep(data, error)

    def _keep(self, data, error):
        self.counts["failed"] += 1
        where = _origin(error)
        if where not in self.found:
            path = self.failures / f"{self.target.name}-{hashlib.sha256(data).hexdigest()[:12]}"
            path.write_bytes(data)
            path.with_suffix(".txt").write_text("".join(traceback.format_exception(error)))
            self.found[where] = path.name

    def report(self):
        """Everything, as JSON values."""
        seconds = time.monotonic() - self.began
        return {**self.counts, "memory": self.guard.largest, "seconds": seconds, "found": self.found}


def _origin(error):
    """Where an error came from, so that one fault is kept once: the last line of ours, and the kind."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if "rcig_cli" in f.filename]
    last = frames[-1] if frames else None
    place = (
        f"{Path(last.filename).name}:{last.lineno}" if last else re.sub(r"[0-9a-f]{6,}|\d+", "N", str(error))
    )
    return f"{type(error).__name__} at {place}"


def child(name, engine, *, inputs, seed, folder, failures):
    """Feed one target, in this process, and leave the tally in ``folder``."""
    import sys as _sys

    _sys.dont_write_bytecode = True
    atheris = None if engine == "hypothesis" else _atheris()
    if atheris:
        # Stays in force: commands import most of what they need when they need it.
        atheris.instrument_imports(include=["rcig_cli"]).__enter__()
    from tests.fuzz.guard import Guard
    from tests.fuzz.target import outcome

    target = all_targets()[name]
    seeds = [bytes(seed) for seed in target.seeds()]
    (folder / "work").mkdir(exist_ok=True)
    tally = Tally(target, Guard(folder / "work"), failures)
    for one in seeds[:: 1 + len(seeds) // 30]:  # imports and caches aren't the input's memory
        try:
            with tally.guard.on_duty(1 << 62) as scratch:
                outcome(target, one, scratch)
        except BaseException as error:
            traceback.print_exc()
            raise SystemExit(f"{name}: a seed fails: {error!r}") from error
    tally.guard.largest = 0
    _limit_memory(target.memory)
    (_by_atheris if atheris else _by_hypothesis)(tally, seeds, inputs, seed, folder)


def _atheris():
    try:
        return import_module("atheris")
    except ImportError:
        return None


def _limit_memory(most):
    size = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (size + most + _ROOM,) * 2)


def mutated(target, data, random):
    """Another input, by the target's own means, or as bytes."""
    from tests.fuzz.mutation import mutate_bytes

    if target.mutate is not None and random.random() >= _RAW:
        try:
            return target.mutate(data, random)
        except (ValueError, OverflowError, RecursionError):
            pass  # it made something it can't write
    return mutate_bytes(data, random)


def _by_atheris(tally, seeds, inputs, seed, folder):
    import atheris

    corpus = folder / "corpus"
    corpus.mkdir()
    for one in seeds:
        (corpus / hashlib.sha256(one).hexdigest()).write_bytes(one)
    saved = time.monotonic()

    def one_input(data):
        nonlocal saved
        tally.feed(data)
        done = tally.counts["inputs"] >= inputs
        if done or time.monotonic() - saved > _SAVE_EVERY:
            saved = time.monotonic()
            (folder / "tally.json").write_text(json.dumps(tally.report()))
        if done:
            sys.stderr.flush()
            os._exit(0)

    def mutator(data, largest, number):
        random = Random(number)
        if random.random() < _FRESH:
            data = random.choice(seeds)
        if tally.target.mutate is None and random.random() < 0.5:
            return atheris.Mutate(data, largest)
        return mutated(tally.target, data, random)[:largest]

    options = [f"-seed={seed}", f"-max_len={_LARGEST}", "-len_control=0", "-rss_limit_mb=0", "-timeout=0"]
    options += [f"-artifact_prefix={folder}/"]  # libFuzzer keeps what took long, too
    atheris.Setup([sys.argv[0], *options, str(corpus)], one_input, custom_mutator=mutator)
    atheris.Fuzz()


def _by_hypothesis(tally, seeds, inputs, seed, folder):
    from hypothesis import HealthCheck, given, settings
    from hypothesis import seed as seeded
    from hypothesis import strategies as st

    made = st.builds(
        lambda one, randoms: mutated(tally.target, one, randoms),
        st.sampled_from(seeds),
        st.randoms(use_true_random=True),
    )

    @seeded(seed)
    @settings(max_examples=inputs, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(made)
    def each(data):
        tally.feed(data)

    each()
    (folder / "tally.json").write_text(json.dumps(tally.report()))


def run(name, engine, *, inputs, seconds, seed, failures):
    """Feed one target in a process of its own; return its tally."""
    memory_disk = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix=f"fuzz-{name}-", dir=memory_disk) as folder:
        command = [sys.executable, "-m", "tests.fuzz.campaign", name, "--child", folder, "--engine", engine]
        command += ["--inputs", str(inputs), "--seed", str(seed), "--failures", str(failures)]
        own = {"HOME": folder, "TMPDIR": folder, "MPLCONFIGDIR": f"{folder}/work/matplotlib", "NO_COLOR": "1"}
        environment = {**os.environ, **own, "RCIG_COMPILATION_CACHE": f"{folder}/work/compiled"}
        with (Path(folder) / "said").open("wb+") as said:
            process = subprocess.Popen(command, stdout=said, stderr=said, cwd=ROOT, env=environment)
            try:
                code = process.wait(seconds)
            except subprocess.TimeoutExpired:
                process.kill()
                code = process.wait() and 0
            said.seek(0)
            words = said.read().decode(errors="replace")
        path = Path(folder) / "tally.json"
        if code or not path.exists():
            (failures / f"{name}-ended.txt").write_text(words)
            print(f"{name}: its process ended with {code}: {words[-2000:]}")
        tally = json.loads(path.read_text()) if path.exists() else {"inputs": 0}
        edges = re.findall(r"cov: (\d+)", words)
        return {**tally, "edges": int(edges[-1]) if edges else None, "ended": code}


def main():
    """Feed the targets named, or all, each as many inputs; leave with 1 if any failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("targets", nargs="*", help="all by default")
    parser.add_argument("--inputs", type=int, default=10_000, help="for each target (10000)")
    parser.add_argument("--seconds", type=float, default=None, help="for each target, at most")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--engine", choices=("atheris", "hypothesis"), default="atheris", help="if it is there"
    )
    parser.add_argument(
        "--failures", type=Path, default=Path("fuzz-failures"), help="folder for inputs that fail"
    )
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    given.failures.mkdir(exist_ok=True)
    failures = given.failures.resolve()
    if given.child:
        child(
            given.targets[0],
            given.engine,
            inputs=given.inputs,
            seed=given.seed,
            folder=given.child,
            failures=failures,
        )
        return
    known = all_targets()
    unknown = sorted(set(given.targets) - set(known))
    if unknown:
        parser.error(f"no target {unknown[0]}; there are: {', '.join(known)}")
    print(
        f"{'target':24}{'inputs':>9}{'accepted':>10}{'refused':>9}{'failed':>8}{'edges':>8}{'MiB':>7}{'s':>7}"
    )
    bad = False
    for name in given.targets or known:
        tally = run(
            name, given.engine, inputs=given.inputs, seconds=given.seconds, seed=given.seed, failures=failures
        )
        numbers = [tally.get(key, 0) for key in ("inputs", "accepted", "refused", "failed")]
        memory, seconds = tally.get("memory", 0) >> 20, round(tally.get("seconds", 0))
        print(f"{name:24}{numbers[0]:>9}{numbers[1]:>10}{numbers[2]:>9}{numbers[3]:>8}"
              f"{tally['edges'] or '-':>8}{memory:>7}{seconds:>7}", flush=True)  # fmt: skip
        for where, kept in tally.get("found", {}).items():
            print(f"    {where}: {kept}")
        bad = bad or bool(numbers[3]) or bool(tally["ended"])
    sys.exit(bad)


if __name__ == "__main__":
    main()
