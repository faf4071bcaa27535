"""Makes the NumPy archives that `midge verify` reads, of what make_torch.py made.

    pip install numpy safetensors
    python make_npz.py            # writes files beside this script

mnist.check.npz has `inputs` and `outputs` of the first images of mnist.check.safetensors, deflated; mnist.check64.npz has them
as numpy.savez calls arrays without a name, in float64, channels last and stored as they are.
"""

import pathlib

import numpy
from safetensors.numpy import load_file

FOLDER = pathlib.Path(__file__).parent
IMAGES = 4

check = load_file(FOLDER / "mnist.check.safetensors")
inputs, outputs = check["inputs"][:IMAGES], check["outputs"][:IMAGES]
numpy.savez_compressed(FOLDER / "mnist.check.npz", inputs=inputs, outputs=outputs)
last = numpy.ascontiguousarray(inputs[:1].transpose(0, 2, 3, 1)) / 255
numpy.savez(FOLDER / "mnist.check64.npz", last, outputs[:1].astype(numpy.float64))
