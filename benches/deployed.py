#!/usr/bin/env python3
"""Attacks the bytes of real microcontroller models, lets TensorFlow Lite for Microcontrollers judge, and writes the tables of
docs/deployed.md.

    MIDGE_DEPLOYED=FOLDER MIDGE_DATA=MNIST python3 benches/deployed.py

FOLDER holds `models/NAME.tflite`, and in `reference/NAME.safetensors` inputs (`input_int8`) and, if they are real, labels
(`label`). Where there are none, an image's class is the one that the model reads in it, so that all are right at first.
Every count is the interpreter's, of the integer images that midge wrote; midge's own must be the same.

The second table is of all test images in MNIST, a folder, and midge alone judges: the interpreter would take an hour. Without
MIDGE_DATA it stays as it is.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "peers"))
import setup
import tflm

MODELS = [
    ("mnist_cnn_int8", "mnist_cnn"),
    ("ic_resnet8_int8", "ic_synthetic"),
    ("ic_resnet_large_int8", "ic_synthetic"),
    ("kws_dscnn_int8", "kws"),
    ("vww_mobilenet_int8", "vww_synthetic"),
    ("person_detect", "person_detect"),
    ("sww_conv1d_int8", "sww"),
    ("micro_speech", "micro_speech"),
]
# Attack, eps in steps, and more options.
ATTACKS = [("fgsm", 1), ("fgsm", 2), ("bim", 2), ("bim", 16)]
SEED = 1
PAGE = setup.ROOT / "docs" / "deployed.md"
START, END = "<!-- made by benches/deployed.py: {} -->\n", "<!-- end -->"
DIGITS, DIGITS_EPS = "mnist_cnn_int8", (0.1, 0.2, 0.3)
MIDGE = setup.ROOT / "target" / "release" / "midge"


def midge(*words):
    done = subprocess.run([str(word) for word in (MIDGE, "--quiet", *words)], check=False, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"deployed.py: midge {' '.join(map(str, words))}: {done.stderr}")
    return done.stdout


class Model:
    """A model, its images, and what was found in them."""

    def __init__(self, name, reference, folder, work):
        self.name, self.work = name, work
        self.path = folder / "models" / f"{name}.tflite"
        self.bytes = self.path.read_bytes()
        self.run = tflm.Runner(tflm.logits_model(self.bytes))
        self.grid = json.loads(midge("summary", "--model", self.path, "--json"))["quantisation"]["input"]
        tensors = load(folder / "reference" / f"{reference}.safetensors")
        self.images = tensors["input_int8"].reshape(len(tensors["input_int8"]), -1)
        self.has_labels = "label" in tensors
        self.labels = tensors["label"].reshape(-1) if self.has_labels else self.read(self.images)
        self.differ, self.bytes_compared = 0, 0

    def read(self, images):
        """The class that the interpreter reads in each image."""
        return self.run(images).argmax(axis=1)

    def right(self, images):
        """How many clean images are read correctly, and still are as `images`."""
        stands = (self.read(self.images) == self.labels) & (self.read(images) == self.labels)
        return int(stands.sum())

    def attack(self, attack, steps):
        """How many stand an attack on the integers."""
        import numpy as np

        data, out = self.work / "data.safetensors", self.work / "results.safetensors"
        save({"input_int8": self.images, "labels": self.labels.astype(np.int32)}, data)
        command = ["attack", "--model", self.path, "--data", data, "--attack", attack, "--eps", f"{steps}q"]
        report = json.loads(midge(*command, "--out", out, "--json"))["results"][0]
        verdict = tflm.judge(self.bytes, load(out))
        self.differ += verdict["bytes_differ"]
        self.bytes_compared += verdict["bytes"]
        found, own = (verdict["right"], verdict["robust"]), (report["correct"], report["robust_correct"])
        if found != own:
            print(f"{self.name}: {attack}, {steps}q: {found} by the interpreter, {own} by midge", file=sys.stderr)
        return verdict["robust"]

    def random_signs(self, steps):
        """How many stand a change of so many steps up or down by chance at every pixel."""
        import numpy as np

        signs = np.random.default_rng(SEED).choice([-steps, steps], self.images.shape)
        return self.right(np.clip(self.images + signs, -128, 127).astype(np.int8))

    def twin(self, steps):
        """How many stand FGSM with the gradient of the network of floating-point numbers that the integers stand for."""
        import numpy as np

        twin, data, out = (self.work / name for name in ("twin", "floats.safetensors", "moved.safetensors"))
        scale, zero_point = np.float32(self.grid["scale"]), self.grid["zero_point"]
        midge("export", "--model", self.path, "--dtype", "f32", "--out", twin)
        values = (self.images.astype(np.float32) - zero_point) * scale
        save({"images": values, "labels": self.labels.astype(np.int32)}, data)
        eps = str(float(steps * scale))
        midge("attack", "--model", twin, "--data", data, "--attack", "fgsm", "--eps", eps, "--out", out)
        moved = np.rint(load(out)["adversarial"].reshape(self.images.shape) / scale) + zero_point
        inside = np.clip(moved, self.images - float(steps), self.images + float(steps))
        return self.right(np.clip(inside, -128, 127).astype(np.int8))

    def row(self):
        fgsm_1, fgsm_2, bim_2, bim_16 = (self.attack(*attack) for attack in ATTACKS)
        images = f"{len(self.images)}{'' if self.has_labels else '*'}"
        same = f"{self.differ} of {self.bytes_compared} differ"
        right, signs = self.right(self.images), self.random_signs(2)
        twin = f"{self.twin(1)} / {self.twin(2)}"
        return [self.name, images, right, f"{fgsm_1} / {fgsm_2}", f"{bim_2} / {bim_16}", signs, twin, same]


class Digits:
    """The lecture's network of integers, its float twin, and all test images of MNIST."""

    def __init__(self, folder, work):
        self.path, self.work, self.twin = folder / "models" / f"{DIGITS}.tflite", work, work / "twin"
        midge("export", "--model", self.path, "--dtype", "f32", "--out", self.twin)
        self.scale = json.loads(midge("summary", "--model", self.path, "--json"))["quantisation"]["input"]["scale"]

    def attack(self, model, attack):
        """Accuracy before, and under the attack at each eps: of images of bytes."""
        eps = ",".join(map(str, DIGITS_EPS))
        results = json.loads(midge("attack", "--model", model, "--attack", attack, "--eps", eps, "--json"))["results"]
        return results[0]["accuracy"], [result["robust_accuracy_8bit"] for result in results]

    def right(self, images, labels):
        """Which images are read correctly."""
        import numpy as np

        data = self.work / "data.safetensors"
        save({"input_int8": images, "labels": labels.astype(np.int32)}, data)
        read = json.loads(midge("classify", "--model", self.path, "--data", data, "--json"))["images"]
        return np.array([image["class"] == image["label"] for image in read])

    def random_signs(self):
        """Accuracy if every pixel goes up or down by chance, as far as eps lets it."""
        import numpy as np

        out = self.work / "results.safetensors"
        midge("attack", "--model", self.path, "--attack", "fgsm", "--eps", DIGITS_EPS[0], "--out", out)
        tensors = load(out)
        images, labels = tensors["input_int8"], tensors["labels"]
        clean, random = self.right(images, labels), np.random.default_rng(SEED)
        for eps in DIGITS_EPS:
            steps = int(eps / self.scale + 1e-3)
            moved = np.clip(images + random.choice([-steps, steps], images.shape), -128, 127).astype(np.int8)
            yield float((clean & self.right(moved, labels)).mean())

    def rows(self):
        clean, fgsm = self.attack(self.path, "fgsm")
        signs = list(self.random_signs())
        twins_clean, twins_fgsm = self.attack(self.twin, "fgsm")
        mi_fgsm, twins_mi_fgsm = (self.attack(model, "mi-fgsm")[1] for model in (self.path, self.twin))
        columns = zip(DIGITS_EPS, fgsm, twins_fgsm, mi_fgsm, twins_mi_fgsm, signs)
        return [percents(0, clean, twins_clean, "", "", ""), *(percents(*column) for column in columns)]


def percents(eps, *shares):
    return [eps, *("" if share == "" else f"{100 * share:.2f}" for share in shares)]


def load(path):
    from safetensors.numpy import load_file

    return load_file(path)


def save(tensors, path):
    import numpy as np
    from safetensors.numpy import save_file

    save_file({name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}, path)


HEAD = [
    "model", "images", "right", "FGSM, 1q / 2q", "BIM-10, 2q / 16q", "random signs, 2q", "FGSM along the float twin, 1q / 2q",
    "bytes of logits, TFLite Micro's and midge's",
]


DIGITS_HEAD = ["eps", "FGSM", "of the float twin", "MI-FGSM", "of the float twin", "random signs"]


def table(head, rows):
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(str(cell) for cell in line)} |\n" for line in lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=setup.ROOT / "target" / "peers", help="for the environment")
    options = parser.parse_args()
    tflm.with_packages(options.folder.resolve(), __file__)
    if not (deployed := os.environ.get("MIDGE_DEPLOYED")):
        sys.exit("deployed.py: MIDGE_DEPLOYED must name the folder of the models")
    setup.step("midge: release build", ["cargo", "build", "--release", "--bin", "midge"], cwd=setup.ROOT)
    rows, digits = [], []
    with tempfile.TemporaryDirectory() as work:
        for name, reference in MODELS:
            rows.append(Model(name, reference, Path(deployed), Path(work)).row())
            print(*rows[-1], sep="  ", flush=True)
        if os.environ.get("MIDGE_DATA"):
            digits = Digits(Path(deployed), Path(work)).rows()
            for row in digits:
                print(*row, sep="  ", flush=True)
        else:
            print("NOT RUN: the table of MNIST; MIDGE_DATA names no folder of its files", file=sys.stderr)
    write("models", table(HEAD, rows))
    if digits:
        write("digits", table(DIGITS_HEAD, digits))


def write(name, rows):
    """Puts a table into the page."""
    before, rest = PAGE.read_text().split(START.format(name))
    _, after = rest.split(END, 1)
    PAGE.write_text(before + START.format(name) + rows + END + after)


if __name__ == "__main__":
    main()
