"""Workers, the check that they agree, the choice of their settings, and the rounds."""

import array
import json
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import setup

STEP = 32  # images of a training step


@dataclass(frozen=True)
class Work:
    """What is timed. `batches`: the batch sizes that a peer may choose from."""

    name: str
    title: str
    set: str
    count: int
    batches: tuple
    images: int  # that the reported time is for: 1, or a training step's


def works(quick):
    many, few, attack = (200, 100, 200) if quick else (1000, 200, 400)
    # All test images of MNIST.
    whole = {"digits": many if quick else 10_000, "dense": many}
    batches = (many,) if quick else (40, 200, 1000)
    steps, hard_steps = (30, 4) if quick else (400, 12)
    result = [
        Work("train", "training step", "train", steps * STEP, (STEP,), STEP),
        Work("adversarial_train", "PGD-7 adversarial training step", "train", hard_steps * STEP, (STEP,), STEP),
    ]
    for images in ("digits", "dense"):
        result += [
            Work("forward", "forward, one image", images, few, (1,), 1),
            Work("forward", f"forward, {many} images", images, many, batches, 1),
            Work("fgsm", "FGSM, one image", images, few, (1,), 1),
            Work("fgsm", f"FGSM, {whole[images]} images", images, whole[images], batches, 1),
        ]
    return [*result, Work("mi_fgsm", f"MI-FGSM of 10 steps, {attack} images", "digits", attack, batches, 1)]


class Worker:
    """A process that answers requests."""

    def __init__(self, folder, key, threads):
        self.key = key
        self.folder = folder
        self.log = folder / f"{key}-{threads}.log"
        words = [str(word) for word in setup.command(folder, key, threads)]
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(
                words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True,
                env=setup.environment(folder, threads),
            )
        hello = self.read()
        self.name, self.version, self.work = hello["name"], hello["version"], hello["work"]

    def read(self):
        line = self.process.stdout.readline()
        try:
            answer = json.loads(line)
        except json.JSONDecodeError:
            sys.exit(f"run.py: {self.key} answered {line!r} instead of JSON; its messages are in {self.log}")
        if "error" in answer:
            sys.exit(f"run.py: {self.key}: {answer['error']}; its messages are in {self.log}")
        return answer

    def ask(self, work, images, count, batch, setting, block=0, out=None):
        request = {"work": work, "set": images, "count": count, "batch": batch, "setting": setting, "block": block}
        print(json.dumps(request | ({"out": str(out)} if out else {})), file=self.process.stdin, flush=True)
        return self.read()

    def values(self, work, images, count, batch, setting):
        """The results themselves."""
        out = self.folder / f"{self.key}.out"
        self.ask(work, images, count, batch, setting, out=out)
        values = array.array("f", out.read_bytes())
        if sys.byteorder == "big":
            values.byteswap()
        return values

    def stop(self):
        self.process.stdin.close()
        self.process.wait()


def takes_part(worker, work):
    """The Rust libraries are measured on single images only."""
    return work.name in worker.work and (work.batches == (1,) or worker.key not in ("tract", "candle", "burn"))


# ---- agreement

IMAGES, STEPS = 64, 50
# Largest difference of logits (relative to the largest if that is above 1) and losses. Of gradients and adversarial images
# the fraction of pixels that differ: a ReLU or a sign that rounding decides changes a few of them.
LIMITS = {"forward": 1e-4, "gradient": 2e-3, "fgsm": 2e-3, "mi_fgsm": 2e-2, "train": 1e-3}
# candle's gradient is known to be wrong: its agreement is reported, not required.
ONLY_REPORTED = {("candle", "gradient"), ("candle", "fgsm")}


def difference(work, expected, found):
    if len(expected) != len(found):
        sys.exit(f"run.py: {work}: expected {len(expected)} values, found {len(found)}")
    pairs = list(zip(expected, found))
    scale = max(1.0, max(map(abs, expected))) if work != "gradient" else max(map(abs, expected))
    if work in ("gradient", "fgsm", "mi_fgsm"):
        return sum(not abs(a - b) <= 1e-5 * scale for a, b in pairs) / len(pairs)
    return max(abs(a - b) if a == a and b == b else float("inf") for a, b in pairs) / scale


def losses(worker, setting):
    """The loss of each of the first training steps."""
    return [worker.ask("train", "train", STEP, STEP, setting, block)["loss"] for block in range(STEPS)]


def check_agreement(workers, choices):
    """Stops unless all workers compute the same as midge; returns rows (peer, work, set, setting, difference)."""
    midge, rows, expected = workers[0], [], {}
    for worker in workers[1:]:
        for work in [name for name in worker.work if name in LIMITS]:
            chosen = [(key[:2], setting) for key, (setting, _) in choices.items()]
            settings = {setting for key, setting in chosen if key == (worker.key, work)}
            for setting in sorted(settings or worker.work[work][:1]):
                for images in ("train",) if work == "train" else ("digits", "dense"):
                    compare = work, images
                    if compare not in expected:
                        expected[compare] = results(midge, work, images, "default")
                    error = difference(work, expected[compare], results(worker, work, images, setting))
                    rows.append((worker.key, work, images, setting, error))
                    accepted = error <= LIMITS[work] or (worker.key, work) in ONLY_REPORTED
                    print(f"   {worker.key} {work} {images} ({setting}): {error:.2g}", flush=True)
                    if not accepted:
                        where = f"{work} of {images}, {setting}"
                        sys.exit(f"run.py: {worker.key} and midge disagree: {where}: {error:.3g} > {LIMITS[work]}")
    return rows


def results(worker, work, images, setting):
    if work == "train":
        return losses(worker, setting)
    return worker.values(work, images, IMAGES, IMAGES, setting)


# ---- settings

def tune(workers, all_works, known):
    """The fastest setting and batch size of every worker for every work, the best of three.

    Chosen on digits and for FGSM; dense images and MI-FGSM, whose steps are those of FGSM, take the same.
    """
    choices = {}
    for worker in workers:
        for work in [work for work in all_works if takes_part(worker, work)]:
            like = "fgsm" if work.name == "mi_fgsm" else work.name
            # midge spreads whatever comes over its threads.
            batches = work.batches[-1:] if worker.key == "midge" else work.batches
            candidates = [(setting, batch) for setting in worker.work[work.name] for batch in batches]
            name = "|".join(map(str, (worker.key, worker.version, like, candidates)))
            if name not in known:
                known[name] = fastest(worker, work, candidates)
                print(f"   {worker.key}, {work.title}: {known[name][0]}, batches of {known[name][1]}", flush=True)
            choices[worker.key, work.name, work.title, work.set] = tuple(known[name])
    return choices


def fastest(worker, work, candidates):
    if len(candidates) == 1:
        return candidates[0]
    return min(candidates, key=lambda candidate: trial(worker, work, candidate))


def trial(worker, work, candidate):
    setting, batch = candidate
    count = max(1, work.count // 5 // batch) * batch
    # The first call compiles.
    times = [worker.ask(work.name, work.set, count, batch, setting, block)["seconds"] / count for block in range(4)]
    return min(times[1:])


# ---- the machine

BUSY = 0.05  # more than this and the figures are worth nothing
STAT = Path("/proc/stat")


def taken_by_others(seconds=2.0):
    """Fraction of the machine's processor time that is used while all workers wait; None where nothing tells (no Linux)."""
    if not STAT.is_file():
        return None
    time.sleep(1)  # until the threads of the workers sleep
    before = [int(field) for field in STAT.read_text().split("\n")[0].split()[1:9]]
    time.sleep(seconds)
    after = [int(field) for field in STAT.read_text().split("\n")[0].split()[1:9]]
    spent = [b - a for a, b in zip(before, after)]
    return 1 - (spent[3] + spent[4]) / max(1, sum(spent))  # idle, waiting for the disk


# ---- rounds

# Seconds between two turns: the threads of some libraries spin for a while after their work, on the next one's cores.
PAUSE = 0.25


def rounds(workers, all_works, choices, number):
    """Every worker does every work once a round, each round beginning with another worker."""
    seconds, curves = {}, {}
    for round_ in range(number + 1):
        order = workers[round_ % len(workers):] + workers[: round_ % len(workers)]
        for work in all_works:
            for worker in [worker for worker in order if takes_part(worker, work)]:
                setting, batch = choices[worker.key, work.name, work.title, work.set]
                time.sleep(PAUSE)
                answer = worker.ask(work.name, work.set, work.count, batch, setting, round_)
                if work.name == "train":
                    curves.setdefault(worker.key, []).append(answer["loss"])
                # Round 0 warms up.
                if round_ > 0:
                    per_item = answer["seconds"] / work.count * work.images
                    seconds.setdefault((work, worker.key), []).append(per_item)
        print(f"   round {round_} of {number}" if round_ else "   warmed up", flush=True)
    return seconds, curves


def ratio(seconds, work, key):
    """Median, least and greatest of a peer's time over midge's in the same round."""
    ratios = [theirs / ours for theirs, ours in zip(seconds[work, key], seconds[work, "midge"])]
    return statistics.median(ratios), min(ratios), max(ratios)
