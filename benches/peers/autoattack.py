#!/usr/bin/env python3
"""AutoAttack on a model file of midge, in PyTorch: an opinion on its robust accuracy that shares no code with midge.

    python3 benches/peers/autoattack.py --model robust.safetensors

Croce, Hein: Reliable evaluation of adversarial robustness with an ensemble of diverse parameter-free attacks, ICML 2020:
APGD-CE, targeted APGD and targeted FAB of 100 steps, and Square of 5000 queries, in this order, each on the images that
still stand. The attacks are torchattacks'; its own class `AutoAttack` is not used, because it leaves APGD and FAB at 10 steps.

What the attacks see is `simplified`: the same function without the filters that no image can make fire. What stands is decided
by the network as it is in the file.

The first run installs PyTorch under target/peers. MNIST is read from the folder named by MIDGE_DATA. All images take about two
and a half hours on two cores with AVX2; the same command with the same --out goes on where an interrupted run ended.
"""

import argparse
import gzip
import hashlib
import json
import multiprocessing
import os
import queue
import re
import signal
import sys
import time
from pathlib import Path

import setup

STEPS, QUERIES = 100, 5000
# glibc would give the megabytes of every layer back to the system, and get them again for the next.
KEEP_MEMORY = {"MALLOC_TRIM_THRESHOLD_": "2000000000", "MALLOC_MMAP_THRESHOLD_": "2000000000"}
# After which the images that stand are counted, in this order.
COUNTS = ("none", "APGD-CE", "APGD-T", "FAB-T", "Square")
IMAGES, LABELS = "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="model file of midge, f32 or f16")
    parser.add_argument("--eps", type=float, default=0.3, help="largest change of a pixel [default: 0.3]")
    parser.add_argument("--limit", type=int, default=10_000, help="only the first images [default: all 10000]")
    parser.add_argument("--batch", type=int, default=128, help="images at a time [default: 128]")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="processes of one thread [default: all]")
    parser.add_argument("--seed", type=int, default=1, help="seed of each attack on each batch [default: 1]")
    parser.add_argument("--out", type=Path, help="JSON to write after every batch, and to go on from")
    parser.add_argument("--folder", type=Path, default=setup.ROOT / "target" / "peers", help="for the environment")
    options = parser.parse_args()
    if not 0 < options.eps <= 1:
        parser.error(f"--eps is {options.eps}: expected a number above 0 and at most 1")
    if min(options.limit, options.batch, options.threads) < 1:
        parser.error("--limit, --batch and --threads must be at least 1")
    options.folder = options.folder.resolve()
    return options


def idx(name, magic, head):
    """The bytes behind the header of an MNIST file, packed or not."""
    if not (folder := os.environ.get("MIDGE_DATA")):
        sys.exit("autoattack.py: MIDGE_DATA must name the folder of the MNIST files")
    path = Path(folder) / name
    if path.is_file():
        content = path.read_bytes()
    elif (packed := Path(f"{path}.gz")).is_file():
        content = gzip.decompress(packed.read_bytes())
    else:
        sys.exit(f"autoattack.py: {path}: neither this file nor {name}.gz is there")
    if int.from_bytes(content[:4], "big") != magic:
        sys.exit(f"autoattack.py: {path}: expected magic {magic}, found {int.from_bytes(content[:4], 'big')}")
    return content[head:]


def test_images(limit):
    import numpy as np
    import torch

    images = np.frombuffer(idx(IMAGES, 2051, 16), np.uint8).reshape(-1, 1, 28, 28)[:limit]
    labels = np.frombuffer(idx(LABELS, 2049, 8), np.uint8)[:limit]
    return torch.from_numpy(images.astype(np.float32) / np.float32(255)), torch.from_numpy(labels.astype(np.int64))


def threshold(text):
    """That of the first ReLU of the MNIST CNN, whose architecture `text` must be."""
    conv = r"conv2d\(filters={},kernel=3,stride=1,padding=same,bias=(?:true|false)\)"
    pool = r"maxpool2d\(pool=2,padding=same\)"
    layers = [
        r"input\(28,28,1\)", conv.format(32), r"(?:relu|shifted_relu\(hundredths=(\d+)\))", pool, conv.format(64), "relu", pool,
        "flatten", r"dense\(units=256,bias=true\)", "relu", r"dense\(units=10,bias=true\)",
    ]
    if not (match := re.fullmatch(" ".join(layers), text)):
        raise ValueError(f"found {text}")
    return int(match[1] or 0) / 100


def network(path):
    import common
    import torch
    from worker_torch import network

    try:
        weights, metadata = common.model(path)
        net = network(weights, threshold(metadata.get("network", "no architecture")))
    except (OSError, KeyError, ValueError, RuntimeError) as error:
        sys.exit(f"autoattack.py: {path}: expected a model file of midge's MNIST CNN: {error}")
    return net.requires_grad_(False).eval().to(memory_format=torch.channels_last)


def simplified(net):
    """The same function of images in [0, 1], with less to compute.

    A filter of the first convolution gives at most its bias and the sum of its positive weights. If that is not above the
    threshold, it never fires, and is left out. The threshold becomes a bias, and ReLU comes after pooling, on a quarter of
    the values: the largest of four keeps its place.
    """
    import torch
    from torch import nn

    def convolution(weight, bias):
        filters, channels = weight.shape[:2]
        result = nn.Conv2d(channels, filters, 3, padding=1)
        result.load_state_dict({"weight": weight, "bias": torch.zeros(filters) if bias is None else bias})
        return result

    first, relu, pool, second, relu2, pool2, *dense = net
    bias = convolution(first.weight, first.bias).bias - getattr(relu, "threshold", 0.0)
    fires = first.weight.double().clamp(min=0).sum((1, 2, 3)) + bias.double() > 0
    first = convolution(first.weight[fires], bias[fires])
    second = convolution(second.weight[:, fires], second.bias)
    result = nn.Sequential(first, pool, nn.ReLU(), second, pool2, relu2, *dense)
    return result.requires_grad_(False).eval().to(memory_format=torch.channels_last)


def check_simplified(net, images):
    """On digits, and on random pixels, which make filters fire that digits do not."""
    import torch

    images = torch.cat((images[:100], torch.rand(100, 1, 28, 28)))
    if (difference := (net(images) - simplified(net)(images)).abs().max().item()) > 1e-3:
        sys.exit(f"autoattack.py: the simplified network differs by {difference}")


def attacks(net, eps, seed):
    """The attacks in the order of the paper and of `COUNTS`."""
    import torchattacks

    shared = {"norm": "Linf", "eps": eps, "seed": seed, "n_restarts": 1}
    return (
        torchattacks.APGD(net, **shared, steps=STEPS, loss="ce"),
        torchattacks.APGDT(net, **shared, steps=STEPS, n_classes=10),
        torchattacks.FAB(net, **shared, steps=STEPS, multi_targeted=True, n_classes=10),
        torchattacks.Square(net, **shared, n_queries=QUERIES),
    )


def correct(net, images, labels):
    import torch

    with torch.inference_mode():
        return net(images).argmax(1) == labels


def attack_batch(net, attacked, images, labels, options):
    """Indices of what stands before any attack, and after each: what `net` reads correctly. `attacked` is the same function."""
    standing = correct(net, images, labels).nonzero().flatten()
    left = {COUNTS[0]: standing.tolist()}
    for name, attack in zip(COUNTS[1:], attacks(attacked, options.eps, options.seed), strict=True):
        if len(standing):
            x, y = images[standing], labels[standing]
            adversarial = attack(x, y).detach()
            # An image outside the ball or the range of a pixel would count as fallen without being it.
            change = (adversarial - x).abs().max().item()
            if change > options.eps + 1e-6 or adversarial.min() < 0 or adversarial.max() > 1:
                sys.exit(f"autoattack.py: {name} left the ball: changed by {change}")
            standing = standing[correct(net, adversarial, y)]
        left[name] = standing.tolist()
    return left


def work(options, firsts, results):
    """One process: attacks the batches whose first images it finds in `firsts`."""
    # Ctrl-C ends the process that waits for this one, and this one with it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    import torch

    torch.set_num_threads(1)
    net, (images, labels) = network(options.model), test_images(options.limit)
    attacked, parent = simplified(net), multiprocessing.parent_process()
    while parent.is_alive() and (first := firsts.get()) is not None:
        last = min(first + options.batch, options.limit)
        left = attack_batch(net, attacked, images[first:last], labels[first:last], options)
        results.put((first, {name: [first + index for index in indices] for name, indices in left.items()}))


def write(path, report):
    partial = path.with_name(f"{path.name}.partial")
    partial.write_text(json.dumps(report) + "\n")
    partial.replace(path)


def batches(options, starts):
    """First image of each batch and what stands of it, as it is done."""
    context = multiprocessing.get_context("spawn")
    firsts, results = context.Queue(), context.Queue()
    for first in [*starts, *[None] * options.threads]:
        firsts.put(first)
    workers = [context.Process(target=work, args=(options, firsts, results), daemon=True) for _ in range(options.threads)]
    for worker in workers:
        worker.start()
    for _ in starts:
        while True:
            try:
                yield results.get(timeout=1)
                break
            except queue.Empty:
                if any(worker.exitcode for worker in workers):
                    sys.exit("autoattack.py: a process failed, see above")
    for worker in workers:
        worker.join()


def settings(options):
    """What a result depends on."""
    from importlib.metadata import version

    return {
        "model": hashlib.sha256(options.model.read_bytes()).hexdigest(), "attack": "AutoAttack, standard, Linf",
        "eps": options.eps, "seed": options.seed, "batch": options.batch, "limit": options.limit,
        "versions": {name: version(name) for name in ("torch", "torchattacks")},
    }


def checked(left, first, batch):
    """The images of one batch that are right: each attack leaves some of those that stood before it."""
    if list(left) != list(COUNTS):
        raise ValueError(f"attacks {list(left)}")
    before = set(range(first, first + batch))
    for name, indices in left.items():
        if not before.issuperset(indices) or len(set(indices)) != len(indices):
            raise ValueError(f"images {indices} after {name}")
        before = set(indices)
    return left


def earlier(options):
    """The report of an interrupted run with the same settings, or an empty one."""
    new = settings(options) | {"seconds": 0.0, "batches": {}}
    if not options.out or not options.out.exists():
        return new
    try:
        found = json.loads(options.out.read_text())
        differ = [name for name in settings(options) if found[name] != new[name]]
        found["batches"] = {int(first): checked(left, int(first), options.batch) for first, left in found["batches"].items()}
        found["seconds"] = float(found["seconds"])
        if not differ and not found["batches"].keys() <= set(range(0, options.limit, options.batch)):
            raise ValueError("a batch that is none of this run")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        sys.exit(f"autoattack.py: {options.out}: expected the report of an earlier run: {error!r}")
    if differ:
        sys.exit(f"autoattack.py: {options.out}: is of another run, with other {', '.join(differ)}; choose another --out")
    return found


def totals(report):
    """Images, and how many of them are right after each attack."""
    right = {}
    for left in report["batches"].values():
        right = {name: right.get(name, 0) + len(indices) for name, indices in left.items()}
    return sum(min(report["batch"], report["limit"] - first) for first in report["batches"]), right


def run(options):
    # Says what is wrong with the file before the work begins.
    net, (images, labels) = network(options.model), test_images(options.limit)
    check_simplified(net, images)
    options.limit = len(labels)
    report = earlier(options)
    before, already, started = report["seconds"], totals(report)[0], time.monotonic()
    starts = [first for first in range(0, options.limit, options.batch) if first not in report["batches"]]
    for first, left in batches(options, starts):
        report["batches"][first] = left
        images, right = totals(report)
        seconds = time.monotonic() - started
        print(f"  {images}/{options.limit}  right {right[COUNTS[0]]}, after all {right[COUNTS[-1]]}"
              f"  ETA {seconds / (images - already) * (options.limit - images) / 60:.0f} min", file=sys.stderr, flush=True)
        report |= {
            "images": images, "seconds": before + seconds, "right_after": right,
            "accuracy": right[COUNTS[0]] / images, "robust_accuracy": right[COUNTS[-1]] / images,
        }
        if options.out:
            write(options.out, report)
    images, right = totals(report)
    print(f"{report['attack']}  model {options.model.name}  eps {options.eps}  seed {options.seed}")
    for name, count in right.items():
        print(f"right after {name:<10}{100 * count / images:>8.2f} %  {count}/{images}")
    print(f"{report['seconds']:.0f} s with {options.threads} threads")


def main():
    options = arguments()
    python = setup.python(options.folder, "torch")
    if Path(sys.prefix).resolve() == python.parent.parent.resolve():
        return run(options)
    setup.virtual_environment(options.folder, "torch")
    # In the place of this process, so that there is only one to interrupt.
    os.execve(python, [str(python), __file__, *sys.argv[1:]], setup.environment(options.folder, options.threads) | KEEP_MEMORY)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("autoattack.py: interrupted; with --out, the same command goes on after the batches that are done")
