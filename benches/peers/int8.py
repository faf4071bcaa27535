"""midge against LiteRT and ONNX Runtime on models of integers of 8 bits, on one core: prints the tables of `benches/README.md`.

`python3 benches/peers/int8.py FOLDER [ROUNDS]`, in an environment with tensorflow, and with onnxruntime and tf2onnx for that
column; before it, `cargo build --release -p midge-suite --example worker`. FOLDER has `models/NAME.tflite` and
`reference/NAME.safetensors` with the tensor `input_int8`, as the tests read them from `MIDGE_DEPLOYED`. All take turns, round by
round; times are the processor's, of the thread that computes, so that other programs on its core count little.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402

from setup import midge_worker  # noqa: E402

# Of integers, of floats or None, images, and how many of them a turn takes.
MODELS = {
    "mnist_cnn": ("mnist_cnn_int8", "mnist_cnn_float", "mnist_cnn", 512),
    "ic_resnet8": ("ic_resnet8_int8", "ic_resnet8_float", "ic_synthetic", 128),
    "kws_dscnn": ("kws_dscnn_int8", None, "kws", 256),
    "vww_mobilenet": ("vww_mobilenet_int8", "vww_mobilenet_float", "vww_synthetic", 64),
}


class Midge:
    """A worker with one model."""

    def __init__(self, model, images, folder):
        path = Path(folder) / f"{model.stem}.f32"
        images.astype("<f4").tofile(path)
        command = [midge_worker(), "int8", model, path]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.grid = json.loads(self.process.stdout.readline())["grid"]
        self.out = Path(folder) / f"{model.stem}.out"

    def ask(self, work, count, batch, out=None):
        request = {"work": work, "count": count, "batch": batch, "out": out and str(out)}
        before = self.spent()
        print(json.dumps(request), file=self.process.stdin, flush=True)
        answer = self.process.stdout.readline()
        if not answer:
            sys.exit("int8.py: midge's worker ended")
        json.loads(answer)
        return self.spent() - before

    def spent(self):
        """Seconds of processor time."""
        return int(Path(f"/proc/{self.process.pid}/schedstat").read_text().split()[0]) / 1e9

    def logits(self, count):
        self.ask("forward", count, count, self.out)
        return np.fromfile(self.out, "<f4").reshape(count, -1)

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def own_seconds(work):
    before = time.process_time()
    work()
    return time.process_time() - before


def litert(model, integers):
    """`work(batch)` over all images, and the outputs of one pass."""
    interpreter = tf.lite.Interpreter(str(model), num_threads=1)
    interpreter.allocate_tensors()
    into, out = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]

    def run():
        outputs = []
        for image in integers:
            interpreter.set_tensor(into, image[None])
            interpreter.invoke()
            outputs.append(interpreter.get_tensor(out)[0])
        return np.stack(outputs)

    return run


def onnxruntime(model, integers, folder):
    """The same of what tf2onnx makes of the file: integers between QuantizeLinear and DequantizeLinear, which ONNX Runtime fuses."""
    try:
        import onnxruntime
    except ImportError:
        return None
    path = Path(folder) / f"{model.stem}.onnx"
    command = [sys.executable, "-m", "tf2onnx.convert", "--opset", "13", "--tflite", model, "--output", path]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode != 0 or not path.is_file():
        print(f"tf2onnx: {model.name}: {done.stderr.strip().splitlines()[-1:]}", file=sys.stderr)
        return None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        name = session.get_inputs()[0].name
        session.run(None, {name: integers[:1]})
    except Exception as error:  # what ONNX Runtime does not take
        print(f"onnxruntime: {model.name}: {error}", file=sys.stderr)
        return None
    return lambda: np.concatenate([session.run(None, {name: image[None]})[0] for image in integers])


def measure(name, folder, rounds, place):
    int8, floats, reference, count = MODELS[name]
    path = folder / "models" / f"{int8}.tflite"
    interpreter = tf.lite.Interpreter(str(path))
    details = interpreter.get_input_details()[0]
    scale, zero = details["quantization"]
    integers = load(folder / "reference" / f"{reference}.safetensors").reshape(-1, *details["shape"][1:])
    integers = np.resize(integers, (count, *integers.shape[1:]))
    images = (integers.astype(np.float32) - zero) * np.float32(scale)
    ours = Midge(path, images, place)
    unit = np.clip(images / (255 if scale == 1 else 1), 0, 1)
    twin = floats and Midge(folder / "models" / f"{floats}.tflite", unit, place)
    peers = {"LiteRT int8": litert(path, integers), "ONNX Runtime int8": onnxruntime(path, integers, place)}
    peers = {peer: run for peer, run in peers.items() if run}
    classes = ours.logits(count).argmax(1)
    for peer, run in peers.items():
        same = (run().reshape(count, -1).argmax(1) == classes).mean()
        print(f"{name}: {peer} has the class of midge for {100 * same:.1f} % of {count} images", flush=True)
    seconds = {}

    def note(row, column, spent):
        seconds.setdefault((row, column), []).append(spent / count * 1e6)

    for turn in range(rounds + 1):
        # The first turn warms up.
        put = note if turn else lambda *_: None
        for work, batch in (("forward", 1), ("forward", count), ("fgsm", 1), ("fgsm", count)):
            row = f"{work}, {'one image' if batch == 1 else 'batches'}"
            put(row, "midge int8", ours.ask(work, count, batch))
            if twin:
                put(row, "midge f32", twin.ask(work, count, batch))
        for peer, run in peers.items():
            put("forward, one image", peer, own_seconds(run))
    ours.close()
    if twin:
        twin.close()
    return seconds


def load(path):
    """The images, as integers."""
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        info = json.loads(file.read(length))["input_int8"]
        data = file.read()
    begin, end = info["data_offsets"]
    return np.frombuffer(data[begin:end], np.int8).reshape(info["shape"])


def main():
    if len(sys.argv) not in (2, 3):
        sys.exit("usage: int8.py FOLDER [ROUNDS]")
    folder, rounds = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) == 3 else 5
    columns = ["midge int8", "midge f32", "LiteRT int8", "ONNX Runtime int8"]
    lines = []
    with tempfile.TemporaryDirectory() as place:
        for name in MODELS:
            seconds = measure(name, folder, rounds, place)
            for row in dict.fromkeys(row for row, _ in seconds):
                cells = []
                for column in columns:
                    own = seconds.get((row, column))
                    ratios = own and [a / b for a, b in zip(own, seconds[row, "midge int8"])]
                    first = column == columns[0]
                    cells.append("" if not own else f"{statistics.median(own):.0f} us" if first else
                                 f"{statistics.median(ratios):.2f} ({min(ratios):.2f} - {max(ratios):.2f})")
                lines.append(f"| {name}, {row} | " + " | ".join(cells) + " |")
    print("| work | " + " | ".join(columns) + " |\n|---|" + "---|" * len(columns))
    print("\n".join(lines))


if __name__ == "__main__":
    main()
