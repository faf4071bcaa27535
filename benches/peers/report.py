"""The tables and `benches/RESULTS.md`."""

import datetime
import os
import platform
import statistics
from pathlib import Path

import measure


def machine():
    """Processor, memory and system."""
    info = {"model name": platform.processor() or platform.machine(), "flags": ""}
    if (cpuinfo := Path("/proc/cpuinfo")).is_file():
        for line in cpuinfo.read_text().splitlines():
            key, _, value = line.partition(":")
            info[key.strip()] = value.strip()
    flags = [flag for flag in ("avx2", "avx512f", "avx512_bf16", "amx_tile") if flag in info["flags"].split()]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{', '.join([info['model name'], f'{os.cpu_count()} cores', *flags])}, {memory:.0f} GiB, "
        f"{platform.system()} {platform.release()}"
    )


def time_text(seconds):
    return f"{seconds * 1e3:.2f} ms" if seconds >= 1e-3 else f"{seconds * 1e6:.1f} us"


def spread(values):
    return f"{time_text(statistics.median(values))} ({time_text(min(values))} - {time_text(max(values))})"


def table(header, rows):
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def title(work):
    return work.title if work.set == "train" else f"{work.title}, {work.set}"


def ratio_table(workers, works, seconds):
    """How many times as long as midge every peer takes."""
    rows = []
    done = {work for work, _ in seconds}
    for work in [work for work in works if work in done]:
        row = [title(work), time_text(statistics.median(seconds[work, "midge"])) if (work, "midge") in seconds else "-"]
        for worker in workers[1:]:
            if (work, worker.key) not in seconds:
                row.append("")
            elif (work, "midge") not in seconds:
                row.append(time_text(statistics.median(seconds[work, worker.key])))
            else:
                row.append("{:.2f} ({:.2f} - {:.2f})".format(*measure.ratio(seconds, work, worker.key)))
        rows.append(row)
    return table(["work", "midge", *[worker.name for worker in workers[1:]]], rows)


def time_table(workers, works, seconds, choices):
    rows = []
    for work in works:
        for worker in workers:
            if (work, worker.key) in seconds:
                setting, batch = choices[worker.key, work.name, work.title, work.set]
                rows.append([title(work), worker.name, spread(seconds[work, worker.key]), f"{setting}, batch {batch}"])
    return table(["work", "library", "time of one image or training step: median (least - most)", "setting"], rows)


def epochs(workers, works, seconds):
    work = works[0]
    steps = 60_000 // measure.STEP
    rows = [
        [worker.name, f"{steps * statistics.median(seconds[work, worker.key]):.1f} s"]
        for worker in workers if (work, worker.key) in seconds
    ]
    return table(["library", f"an epoch of {steps} steps, from the timed ones"], rows)


def curve_table(workers, works, curves):
    images = works[0].count
    rows = [[worker.name, *[f"{loss:.4f}" for loss in curves[worker.key]]] for worker in workers if worker.key in curves]
    blocks = max((len(row) for row in rows), default=1) - 1
    return table(["mean loss", *[f"images {i * images} -" for i in range(blocks)]], rows)


def agreement_table(rows):
    worst = {}
    for key, work, _, _, error in rows:
        worst[key, work] = max(error, worst.get((key, work), 0.0))
    works = ("forward", "gradient", "fgsm", "mi_fgsm", "train")
    keys = list(dict.fromkeys(key for key, _ in worst))
    body = [[key, *[f"{worst[key, work]:.1e}" if (key, work) in worst else "" for work in works]] for key in keys]
    return table(["library", "logits", "gradient", "FGSM", "MI-FGSM", "losses of 50 steps"], body)


def section(threads, workers, works, outcome):
    """All tables of one thread count."""
    seconds, curves, choices, agreement = outcome
    return "\n".join([
        f"## {threads} thread{'s' if threads > 1 else ''}",
        "Times as long as midge: median of the rounds (least - most). Where midge does not do the work, the peer's time.\n",
        ratio_table(workers, works, seconds),
        epochs(workers, works, seconds),
        "<details><summary>Times, settings, losses, agreement</summary>\n",
        time_table(workers, works, seconds, choices),
        "Each library trains from the same weights on the same blocks of images; midge shuffles within a block.\n",
        curve_table(workers, works, curves),
        "Largest difference from midge's logits and losses; fraction of the pixels in which gradients and adversarial "
        "images differ (a ReLU or a sign that rounding decides changes a few).\n",
        agreement_table(agreement),
        "</details>\n",
    ])


INTRODUCTION = """# midge and its peers

Written by `{command}`; do not edit.

Everything here was measured in one run, the libraries taking turns round by round, in the same number of threads, with
the same weights and images, after a check that they compute the same. Only ratios of one run say anything.

{warning}- {machine}; other programs took {others} of its processors
- {date}, {rounds} rounds; {versions}
- `digits`: {data}. `dense`: uniform random pixels, none of them zero. midge skips zeros, its peers do not.
- Every peer runs at the fastest of its settings and batch sizes, chosen beforehand: PyTorch contiguous, channels-last or
  compiled; TensorFlow with and without XLA, training also by `fit`; ONNX Runtime and tract with all graph optimisations.
- candle's gradient is not the gradient: the backward of max-pooling is scaled by 1/4 and ReLU'(0) is 1, as the table of
  agreement shows. Its times are given all the same.
"""


def busyness(others):
    """What to say about other programs."""
    known = [fraction for fraction in others if fraction is not None]
    text = ", ".join(f"{100 * fraction:.0f} %" for fraction in known) or "an unknown part"
    busy = max(known, default=0.0) > measure.BUSY
    warning = "**The machine was busy, so these figures are worth nothing: threads that wait for each other suffer most.**\n\n"
    return {"others": text, "warning": warning if busy else ""}


def write(path, facts, sections):
    facts = facts | {"machine": machine(), "date": datetime.date.today().isoformat()} | busyness(facts["others"])
    text = INTRODUCTION.format(**facts) + "\n" + "\n".join(sections)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(text)
    temporary.replace(path)
