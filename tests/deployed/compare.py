"""Compares what TFLite Micro computes from pairs of .tflite files of the same name: the originals, and those that midge wrote.

    pip install numpy tflite-micro
    MIDGE_WRITTEN=/tmp/written cargo test -p midge-trainer --test deployed written -- --include-ignored
    python tests/deployed/compare.py $MIDGE_DEPLOYED/models /tmp/written

Every tensor of the graph is compared, on random inputs. The exit status is 1 if one differs, or if nothing was compared.
"""

import sys
from pathlib import Path

import numpy as np
from tflite_micro.python.tflite_micro import runtime
from tflite_micro.tensorflow.lite.micro.python.schema_py_generated import Model

INPUTS = 20


def tensors(path):
    """All tensors after each of the inputs."""
    file = path.read_bytes()
    preserve = runtime.InterpreterConfig.kPreserveAllTensors
    interpreter = runtime.Interpreter.from_bytes(file, intrepreter_config=preserve)
    details = interpreter.get_input_details(0)
    random = np.random.default_rng(1)
    for _ in range(INPUTS):
        if details["dtype"] == np.int8:
            values = random.integers(-128, 128, details["shape"]).astype(np.int8)
        else:
            values = random.normal(size=details["shape"]).astype(np.float32)
        interpreter.set_input(values, 0)
        interpreter.invoke()
        for index in range(Model.GetRootAs(file).Subgraphs(0).TensorsLength()):
            yield np.array(interpreter.GetTensor(index, 0)["tensor_data"])


def main(originals, written):
    same, different = 0, 0
    for original in sorted(Path(originals).glob("*.tflite")):
        try:
            expected = list(tensors(original))
        except RuntimeError as error:
            print(f"{original.name}: NOT COMPARED, TFLite Micro does not run it: {error}")
            continue
        pairs = list(zip(expected, tensors(Path(written) / original.name), strict=True))
        count = sum(a.dtype == b.dtype and a.tobytes() == b.tobytes() for a, b in pairs)
        same, different = same + count, different + len(pairs) - count
        print(f"{original.name}: {count} of {len(pairs)} tensors are the same")
    sys.exit(different > 0 or same == 0)


main(*sys.argv[1:])
