#!/usr/bin/env python3
"""TensorFlow Lite for Microcontrollers on the images of an attack: an opinion that shares no code with midge.

    midge attack --model MODEL.tflite --data DATA --attack bim --eps 2q --out results.safetensors
    python3 benches/peers/tflm.py --model MODEL.tflite --results results.safetensors

It runs the model on the integer images in the file, clean and adversarial, and says whether every byte of logits and every
class is midge's, and how many images it reads correctly before and after the attack. With SOFTMAX at the end, the logits are
what goes into it. Exit status 1 if something differs.

The first run installs the packages under target/peers, unless the Python that runs it has them.
"""

import argparse
import importlib.util
import json
import os
import sys
from pathlib import Path

import setup

ENVIRONMENT = "tflm"
SOFTMAX = 25


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help=".tflite file of 8-bit integers")
    parser.add_argument("--results", type=Path, required=True, help="file of midge attack --out on that model")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--folder", type=Path, default=setup.ROOT / "target" / "peers", help="for the environment")
    return parser.parse_args()


def logits_model(model):
    """The bytes of the same model without a SOFTMAX at its end; unchanged if there is none."""
    import flatbuffers
    from tflite_micro.tensorflow.lite.micro.python import schema_py_generated as schema

    tree = schema.ModelT.InitFromObj(schema.Model.GetRootAs(model, 0))
    graph = tree.subgraphs[0]
    code = tree.operatorCodes[graph.operators[-1].opcodeIndex]
    if max(code.builtinCode, code.deprecatedBuiltinCode) != SOFTMAX:
        return model
    graph.outputs = [graph.operators.pop().inputs[0]]
    builder = flatbuffers.Builder(len(model))
    builder.Finish(tree.Pack(builder), b"TFL3")
    return bytes(builder.Output())


class Runner:
    """A model in the interpreter."""

    def __init__(self, model):
        from tflite_micro import runtime

        self.interpreter = runtime.Interpreter.from_bytes(model, arena_size=1 << 22)
        self.shape = self.interpreter.get_input_details(0)["shape"]

    def __call__(self, images):
        """The outputs of all images, [N, classes]."""
        import numpy as np

        return np.stack([self.one(image) for image in images])

    def one(self, image):
        self.interpreter.set_input(image.reshape(self.shape), 0)
        self.interpreter.invoke()
        return self.interpreter.get_output(0).reshape(-1).copy()


def judge(model, results):
    """What the interpreter makes of the images in `results`, the tensors of a file of midge attack --out."""
    run, labels = Runner(logits_model(model)), results["labels"]
    clean, adversarial = (run(results[name]) for name in ("input_int8", "adversarial_int8"))
    before, after = (logits.argmax(axis=1) for logits in (clean, adversarial))
    ours = (results["logits_int8"], results["adversarial_logits_int8"])
    pairs = list(zip((clean, adversarial), ours))
    return {
        "images": len(labels),
        "right": int((before == labels).sum()),
        "robust": int(((before == labels) & (after == labels)).sum()),
        "bytes": sum(int(theirs.size) for theirs, _ in pairs),
        "bytes_differ": sum(int((theirs != own).sum()) for theirs, own in pairs),
        "classes_differ": sum(int((theirs.argmax(axis=1) != own.argmax(axis=1)).sum()) for theirs, own in pairs),
    }


def run(options):
    from safetensors.numpy import load_file

    try:
        model, results = options.model.read_bytes(), load_file(options.results)
    except Exception as error:
        sys.exit(f"tflm.py: {error}")
    if missing := [name for name in ("input_int8", "adversarial_int8", "labels") if name not in results]:
        sys.exit(f"tflm.py: {options.results}: expected a file of midge attack --out on a model of integers, found no {missing[0]}")
    verdict = judge(model, results)
    if options.json:
        print(json.dumps(verdict))
    else:
        report(verdict)
    return 0 if verdict["bytes_differ"] == 0 else 1


def report(verdict):
    images = verdict["images"]
    print(f"{verdict['bytes_differ']} of {verdict['bytes']} bytes of logits differ from midge's")
    print(f"{verdict['classes_differ']} of {2 * images} classes differ")
    print(f"right before the attack        {verdict['right']} of {images}")
    print(f"right before and after         {verdict['robust']} of {images}")


def with_packages(folder, script):
    """Returns if the packages are there; else installs them, and starts `script` again with them."""
    if all(importlib.util.find_spec(name) for name in ("tflite_micro", "safetensors", "flatbuffers")):
        return
    setup.virtual_environment(folder, ENVIRONMENT)
    python = setup.python(folder, ENVIRONMENT)
    os.execve(python, [str(python), script, *sys.argv[1:]], os.environ)


def main():
    options = arguments()
    with_packages(options.folder.resolve(), __file__)
    return run(options)


if __name__ == "__main__":
    sys.exit(main())
