"""What the Python workers share: inputs, batches, and the protocol of `benches/worker/protocol.rs`."""

import json
import struct
import sys
import time

import numpy as np

EPS = 0.1
STEPS = 10
LEARNING_RATE = 0.01
# PGD-7 adversarial training (Madry et al., ICLR 2018): seven steps of 0.1 from a random start within 0.3.
PGD_EPS, PGD_ALPHA, PGD_STEPS = 0.3, 0.1, 7


def safetensors(path):
    """The tensors of a file by name."""
    return model(path)[0]


def model(path):
    """The tensors of a file by name, and its metadata."""
    types = {"F32": np.float32, "F16": np.float16, "I64": np.int64}
    with open(path, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
        data = file.read()
    metadata = header.pop("__metadata__", {})
    tensors = {}
    for name, info in header.items():
        begin, end = info["data_offsets"]
        tensors[name] = np.frombuffer(data[begin:end], types[info["dtype"]]).reshape(info["shape"]).copy()
    return tensors, metadata


def channels_first(weights):
    """midge's weights in the layouts of PyTorch and ONNX: [filters][channels][row][column], [units][inputs]."""
    first = weights["7.weight"].reshape(7, 7, 64, 256).transpose(3, 2, 0, 1).reshape(256, 3136)
    result = {name: weights[name].transpose(3, 2, 0, 1) for name in ("0.weight", "3.weight")}
    result |= {"7.weight": first, "9.weight": weights["9.weight"].T}
    result |= {name: weights[name] for name in weights if name.endswith(".bias")}
    return {name: np.ascontiguousarray(tensor) for name, tensor in result.items()}


def train_range(request, available):
    """First sample and number of samples of a block; the blocks wrap round."""
    blocks = max(1, available // request["count"])
    return request["block"] % blocks * request["count"], min(available, request["count"])


def in_batches(request, cut, work):
    """Runs `work(*batch)` over the batches `cut(first, last)` of the request's images; seconds, and all results.

    The batches are cut before the clock starts.
    """
    count, size = request["count"], request["batch"]
    batches = [cut(first, min(first + size, count)) for first in range(0, count, size)]
    start = time.perf_counter()
    results = [work(*batch) for batch in batches]
    seconds = time.perf_counter() - start
    return {"seconds": seconds}, np.concatenate([np.asarray(r, np.float32).reshape(-1) for r in results])


def serve(hello, run):
    """Answers requests with `run(request)` -> (answer, values or None) until the driver closes the pipe."""
    print(json.dumps(hello), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer, values = run(request)
            if request.get("out") and values is not None:
                values.astype("<f4").tofile(request["out"])
        except Exception as error:  # the driver reports it and stops
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)
