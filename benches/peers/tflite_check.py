"""Runs a .tflite file in TensorFlow Lite for Microcontrollers and compares its logits with those of midge, to the bit.

    midge export --model plain --dtype i8 --calibrate --to tflite --out plain.tflite
    midge classify --model plain.tflite --out logits.safetensors
    pip install tflite-micro safetensors numpy
    python3 benches/peers/tflite_check.py plain.tflite logits.safetensors [t10k-images-idx3-ubyte.gz]

Images are those of a file of MNIST. A file of floats runs in TensorFlow's own interpreter (pip install tensorflow) instead, and
its logits may differ by rounding.
"""

import gzip
import os
import sys

import numpy as np
from safetensors.numpy import load_file


def digits(path):
    """Pixels as bytes, [N, 28, 28, 1]."""
    data = gzip.open(path).read() if path.endswith(".gz") else open(path, "rb").read()
    _, count, height, width = np.frombuffer(data, ">i4", 4)
    return np.frombuffer(data, np.uint8, offset=16).reshape(count, height, width, 1)


def micro(model, images):
    """Logits of integers; the image's bytes less 128 are the integers of a grid from 0 to 1."""
    from tflite_micro import runtime

    interpreter = runtime.Interpreter.from_bytes(model)
    details = interpreter.get_input_details(0)
    scale = details["quantization_parameters"]["scales"][0]
    zero = details["quantization_parameters"]["zero_points"][0]
    assert details["dtype"] == np.int8 and abs(scale - 1 / 255) < 1e-8 and zero == -128, details
    logits = []
    for image in images:
        interpreter.set_input((image.astype(np.int16) - 128).astype(np.int8)[None], 0)
        interpreter.invoke()
        logits.append(interpreter.get_output(0)[0].copy())
    return np.array(logits)


def full(model, images):
    """Logits of floats."""
    import tensorflow as tf

    interpreter = tf.lite.Interpreter(
        model_content=model, experimental_op_resolver_type=tf.lite.experimental.OpResolverType.BUILTIN_REF
    )
    interpreter.allocate_tensors()
    source, target = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]
    logits = []
    for image in images:
        interpreter.set_tensor(source, (image / np.float32(255)).astype(np.float32)[None])
        interpreter.invoke()
        logits.append(interpreter.get_tensor(target)[0].copy())
    return np.array(logits)


def main():
    model, logits = open(sys.argv[1], "rb").read(), load_file(sys.argv[2])
    default = os.path.join(os.environ.get("MIDGE_DATA", "."), "t10k-images-idx3-ubyte.gz")
    images = digits(sys.argv[3] if len(sys.argv) > 3 else default)
    if "logits_int8" in logits:
        expected = logits["logits_int8"]
        found = micro(model, images[: len(expected)])
        wrong = int((found != expected).sum())
        print(f"{len(expected)} images, {expected.size} logits of integers: {wrong} differ")
        sys.exit(wrong > 0)
    expected = logits["logits"]
    found = full(model, images[: len(expected)])
    largest = float(np.abs(found - expected).max())
    print(f"{len(expected)} images: logits differ by at most {largest:.2e}, the largest is {np.abs(expected).max():.1f}")
    sys.exit(largest > 1e-4 * max(1.0, float(np.abs(expected).max())))


if __name__ == "__main__":
    main()
