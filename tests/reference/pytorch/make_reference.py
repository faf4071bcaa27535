"""Makes reference values for midge: small random networks in PyTorch, float64, on the processor.

Requirements (Python 3.11): torch==2.15.0 numpy==2.4.6 safetensors==0.8.0
    python make_reference.py            # writes <case>.safetensors beside this file

Each file is one network: metadata `network` (the architecture in midge's words) and `framework`; tensors
  <layer>.weight, <layer>.bias      convolutions [row][column][in][out], dense [in][out]; <layer> counts from 0 after input()
  images, labels                    (N, H, W, C) in [0, 1] and (N,) as i32
  logits, loss, input_gradient      (N, classes), softmax cross-entropy (N,), gradient of each image's own loss (N, H, W, C)
  gradient.<layer>.weight, .bias    of the SUM of the N losses
Everything is computed in float64 from float32 inputs, then rounded to float32 once.

Images and convolution weights are multiples of small powers of two, so that the value of every convolution is exact in
float32 in whatever order it is summed (checked). What ties in float64 then ties in every float32 implementation, and
takes the same branch. Everything else keeps a distance of MARGIN from the switches of ReLU and pooling.
"""

import json
import pathlib
import re
import zlib

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.numpy import save

CASES = {
    "lecture_small": "input(12,12,1) conv2d(filters=4,kernel=3,stride=1,padding=same,bias=false) relu "
    "conv2d(filters=8,kernel=3,stride=1,padding=same,bias=false) relu maxpool2d(pool=2,padding=same) flatten "
    "dense(units=16,bias=true) relu dense(units=10,bias=true)",
    "odd_sizes": "input(9,7,2) conv2d(filters=5,kernel=3,stride=1,padding=same,bias=true) relu "
    "maxpool2d(pool=2,padding=same) conv2d(filters=6,kernel=3,stride=1,padding=same,bias=true) relu "
    "maxpool2d(pool=2,padding=same) flatten dense(units=7,bias=true) relu dense(units=3,bias=true)",
    "kernel5_valid_stride2": "input(11,12,1) conv2d(filters=6,kernel=5,stride=2,padding=valid,bias=true) relu flatten "
    "dense(units=4,bias=false)",
    "kernel1_same": "input(5,6,3) conv2d(filters=7,kernel=1,stride=1,padding=same,bias=true) relu flatten "
    "dense(units=3,bias=true)",
    "kernel1_stride2": "input(6,5,2) conv2d(filters=3,kernel=1,stride=2,padding=same,bias=true) relu flatten "
    "dense(units=3,bias=true)",
    "kernel2_same": "input(6,7,2) conv2d(filters=4,kernel=2,stride=1,padding=same,bias=true) relu flatten "
    "dense(units=3,bias=true)",
    "kernel7_same_rgb": "input(8,9,3) conv2d(filters=3,kernel=7,stride=1,padding=same,bias=false) relu "
    "maxpool2d(pool=2,padding=same) flatten dense(units=3,bias=true)",
    "kernel7_beyond_input": "input(4,3,1) conv2d(filters=4,kernel=7,stride=1,padding=same,bias=true) relu flatten "
    "dense(units=3,bias=true)",
    "kernel4_same_stride2": "input(10,9,2) conv2d(filters=5,kernel=4,stride=2,padding=same,bias=true) relu "
    "conv2d(filters=4,kernel=4,stride=2,padding=same,bias=true) relu flatten dense(units=4,bias=true)",
    "pool3_same_9x10": "input(9,10,1) conv2d(filters=4,kernel=3,stride=1,padding=same,bias=true) relu "
    "maxpool2d(pool=3,padding=same) flatten dense(units=3,bias=true)",
    "pool3_same_10x11": "input(10,11,1) conv2d(filters=4,kernel=3,stride=1,padding=same,bias=true) relu "
    "maxpool2d(pool=3,padding=same) flatten dense(units=3,bias=true)",
    "pool3_same_11x9": "input(11,9,1) conv2d(filters=4,kernel=3,stride=1,padding=same,bias=true) relu "
    "maxpool2d(pool=3,padding=same) flatten dense(units=3,bias=true)",
    "pool3_valid_10x11": "input(10,11,1) conv2d(filters=4,kernel=3,stride=1,padding=same,bias=true) relu "
    "maxpool2d(pool=3,padding=valid) flatten dense(units=3,bias=true)",
    "pool2_valid_odd": "input(7,9,2) conv2d(filters=4,kernel=3,stride=1,padding=same,bias=true) relu "
    "maxpool2d(pool=2,padding=valid) flatten dense(units=3,bias=true)",
    "pool_no_relu": "input(6,7,1) conv2d(filters=4,kernel=3,stride=1,padding=same,bias=true) "
    "maxpool2d(pool=2,padding=same) flatten dense(units=3,bias=true)",
    "conv_no_pool": "input(7,6,1) conv2d(filters=4,kernel=3,stride=1,padding=same,bias=true) relu "
    "conv2d(filters=5,kernel=3,stride=1,padding=valid,bias=true) relu flatten dense(units=3,bias=true)",
    "pool_before_relu": "input(7,6,1) conv2d(filters=4,kernel=3,stride=1,padding=same,bias=true) "
    "maxpool2d(pool=2,padding=same) relu flatten dense(units=3,bias=true)",
    "first_pool": "input(7,8,2) maxpool2d(pool=2,padding=same) "
    "conv2d(filters=4,kernel=3,stride=1,padding=same,bias=true) relu flatten dense(units=3,bias=true)",
    "first_relu": "input(5,6,1) relu conv2d(filters=4,kernel=3,stride=1,padding=same,bias=true) relu flatten "
    "dense(units=3,bias=true)",
    "two_pools_in_a_row": "input(11,10,1) conv2d(filters=4,kernel=3,stride=1,padding=same,bias=true) relu "
    "maxpool2d(pool=2,padding=same) maxpool2d(pool=2,padding=same) flatten dense(units=3,bias=true)",
    "only_dense": "input(4,5,2) flatten dense(units=9,bias=true) relu dense(units=8,bias=false) relu "
    "dense(units=3,bias=true)",
    "only_conv": "input(6,6,1) conv2d(filters=4,kernel=3,stride=1,padding=same,bias=true) relu "
    "maxpool2d(pool=3,padding=same) conv2d(filters=5,kernel=2,stride=1,padding=valid,bias=true) flatten",
    "filters_33_40": "input(4,4,1) conv2d(filters=33,kernel=3,stride=1,padding=same,bias=true) relu "
    "maxpool2d(pool=2,padding=same) conv2d(filters=40,kernel=2,stride=1,padding=valid,bias=true) relu flatten "
    "dense(units=3,bias=true)",
    "units_33_40": "input(4,4,1) flatten dense(units=33,bias=true) relu dense(units=40,bias=true) relu "
    "dense(units=37,bias=true)",
    "filters_1": "input(5,4,1) conv2d(filters=1,kernel=3,stride=1,padding=same,bias=false) relu "
    "maxpool2d(pool=2,padding=same) flatten dense(units=2,bias=true)",
    "last_relu": "input(4,4,1) conv2d(filters=3,kernel=3,stride=1,padding=same,bias=true) relu flatten "
    "dense(units=8,bias=true) relu dense(units=5,bias=true) relu",
    "flatten_relu": "input(5,4,1) conv2d(filters=3,kernel=3,stride=1,padding=valid,bias=true) flatten relu "
    "dense(units=3,bias=true)",
    "four_convs": "input(12,12,1) conv2d(filters=3,kernel=3,stride=1,padding=same,bias=true) relu "
    "conv2d(filters=4,kernel=3,stride=1,padding=same,bias=true) relu maxpool2d(pool=2,padding=same) "
    "conv2d(filters=5,kernel=3,stride=1,padding=valid,bias=true) relu "
    "conv2d(filters=4,kernel=3,stride=1,padding=same,bias=true) relu maxpool2d(pool=2,padding=same) flatten "
    "dense(units=6,bias=true) relu dense(units=4,bias=true)",
}

MARGIN = 1e-4
IMAGE_BITS = 6  # images are multiples of 2^-IMAGE_BITS
WEIGHT_BITS = {0: 0, 1: 6, 2: 5, 3: 3, 4: 3}  # those of the convolution weights, by the number of convolutions
SHAPES = {"conv2d": "filters", "dense": "units"}


def parse(text):
    """The input's shape (H, W, C), and the layers as (name, arguments)."""
    words = text.split(" ")
    shape = tuple(int(n) for n in re.fullmatch(r"input\((\d+),(\d+),(\d+)\)", words[0]).groups())
    layers = []
    for word in words[1:]:
        name, inner = re.fullmatch(r"(\w+)(?:\((.*)\))?", word).groups()
        layers.append((name, dict(pair.split("=") for pair in inner.split(",")) if inner else {}))
    return shape, layers


def pad(x, kernel, stride, padding, value):
    """Pads rows and columns of (N, C, H, W) as TensorFlow does for `same`: the odd one goes after."""
    if padding == "valid":
        return x
    total = [max((-(-n // stride) - 1) * stride + kernel - n, 0) for n in x.shape[2:]]
    (top, left), (bottom, right) = ([t // 2 for t in total], [t - t // 2 for t in total])
    return F.pad(x, (left, right, top, bottom), value=value)


def layer(name, arguments, x, weight, bias):
    """One layer; x is (N, C, H, W) before the flatten and (N, features) after it; weights are in midge's order."""
    if name == "conv2d":
        stride = int(arguments["stride"])
        x = pad(x, weight.shape[0], stride, arguments["padding"], 0.0)
        return F.conv2d(x, weight.permute(3, 2, 0, 1), bias, stride)
    if name == "maxpool2d":
        pool = int(arguments["pool"])
        return F.max_pool2d(pad(x, pool, pool, arguments["padding"], -torch.inf), pool)
    if name == "dense":
        return x @ weight + (0 if bias is None else bias)
    if name == "flatten":
        return x.permute(0, 2, 3, 1).flatten(1)
    assert name == "relu", name
    return F.relu(x)


def forward(layers, parameters, images):
    """Every layer's input, and the logits last."""
    values = [images.permute(0, 3, 1, 2).contiguous()]
    for index, (name, arguments) in enumerate(layers):
        weight, bias = (parameters.get(f"{index}.{part}") for part in ("weight", "bias"))
        values.append(layer(name, arguments, values[-1], weight, bias))
    return values


def draw_parameters(shape, layers, generator):
    """He-scaled random weights, exact in float32; of convolutions multiples of a power of two."""
    bits = WEIGHT_BITS[sum(name == "conv2d" for name, _ in layers)]
    parameters = {}
    x = torch.zeros(1, shape[2], *shape[:2], dtype=torch.float64)
    for index, (name, arguments) in enumerate(layers):
        if name in SHAPES:
            out = int(arguments[SHAPES[name]])
            kernel = int(arguments.get("kernel", 1))
            inputs = kernel * kernel * x.shape[1]
            if name == "conv2d":
                weight = generator.normal(size=(out, kernel, kernel, x.shape[1])).transpose(1, 2, 3, 0)
            else:
                weight = generator.normal(size=(inputs, out))
            drawn = {"weight": weight * np.sqrt(2 / inputs)}
            if arguments["bias"] == "true":
                drawn["bias"] = generator.normal(size=out) * 0.2
            for part, value in drawn.items():
                value = np.round(value * 2**bits) / 2**bits if name == "conv2d" else value.astype(np.float32)
                parameters[f"{index}.{part}"] = torch.tensor(value, dtype=torch.float64)
        x = layer(name, arguments, x, parameters.get(f"{index}.weight"), parameters.get(f"{index}.bias"))
    return parameters, bits


def draw_images(shape, generator):
    """Four images: two with about half the pixels zero, one of equal values, one with its upper half zero."""
    images = np.round(generator.uniform(size=(4, *shape)) * 2**IMAGE_BITS) / 2**IMAGE_BITS
    images[:2] *= generator.uniform(size=(2, *shape)) < 0.5
    images[2] = 0.5
    images[3, : shape[0] // 2] = 0
    return torch.tensor(images, dtype=torch.float64)


def is_clear(layers, parameters, values, bits):
    """Whether float32 takes every branch that float64 takes: see the top of this file."""
    fraction = IMAGE_BITS  # values are multiples of 2^-fraction and exact in float32; None: they are rounded
    bound = values[0].abs()  # sum of the absolute values of all terms; 0: certainly exactly 0
    for index, (name, arguments) in enumerate(layers):
        x = values[index]
        if name in SHAPES:
            magnitudes = [p if p is None else p.abs() for p in (parameters[f"{index}.weight"], parameters.get(f"{index}.bias"))]
            bound = layer(name, arguments, x.abs(), *magnitudes)
            fraction = None if name == "dense" else fraction + bits
            if fraction is not None and bound.max() * 2**fraction > 2**24:
                return False
            continue
        if name == "relu":
            near = x.abs() < MARGIN
            tied = x == 0
            if (near & ~tied).any() or (fraction is None and (tied & (bound != 0)).any()):
                return False
        if name == "maxpool2d":
            assert fraction is not None
            pool = int(arguments["pool"])
            padded = pad(x, pool, pool, arguments["padding"], -1e30)  # unfold would make NaN of infinities
            windows = F.unfold(padded, pool, stride=pool).unflatten(1, (x.shape[1], pool * pool))
            gap = windows.amax(2, keepdim=True) - windows
            if ((gap > 0) & (gap < MARGIN)).any():
                return False
        bound = values[index + 1].abs() if bound.shape != values[index + 1].shape else bound
    return True


def is_telling(logits, gradients):
    """Whether a mistake would show: logits that differ, probabilities off 0 and 1, gradients that are not all zero."""
    logits = logits.detach()
    probabilities = logits.softmax(1)
    return (
        (logits.std(1) > 0.05).all()
        and (logits[0] - logits[1]).abs().max() > 0.05
        and probabilities.max() < 0.98
        and all(g.abs().max() > 1e-2 for g in gradients.values())
        and (gradients["images"].abs().flatten(1).amax(1) > 1e-3).all()
    )


def check_pooling_ties():
    """Makes sure that, of equal values, pooling passes the gradient to the first one in row-major order."""
    for pool in (2, 3):
        for channels in (1, 5, 16, 33):
            for memory in (torch.contiguous_format, torch.channels_last):
                for first in range(pool * pool):
                    x = torch.full((2, channels, 2 * pool, 3 * pool), -1.0, dtype=torch.float64)
                    offsets = range(first, pool * pool)
                    for offset in offsets:
                        x[:, :, offset // pool :: pool, offset % pool :: pool] = 0.5
                    x = x.contiguous(memory_format=memory).requires_grad_()
                    F.max_pool2d(x, pool).sum().backward()
                    expected = torch.zeros_like(x)
                    expected[:, :, first // pool :: pool, first % pool :: pool] = 1
                    assert torch.equal(x.grad, expected), (pool, channels, memory, first)
    # Explicit padding with -infinity must never receive a gradient, nor NaN.
    x = torch.zeros(1, 1, 4, 4, dtype=torch.float64, requires_grad=True)
    F.max_pool2d(pad(x, 3, 3, "same", -torch.inf), 3).sum().backward()
    assert x.grad.sum() == 4 and x.grad[0, 0, 0, 0] == 1, x.grad


def in_order(file):
    """A safetensors file with its metadata in alphabetical order, which is random otherwise: runs are to be equal."""
    length = int.from_bytes(file[:8], "little")
    header = json.loads(file[8 : 8 + length])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    header = json.dumps(header, separators=(",", ":")).encode().ljust(length)
    assert len(header) == length
    return file[:8] + header + file[8 + length :]


def make(case, text, folder):
    shape, layers = parse(text)
    for seed in range(10_000):
        generator = np.random.default_rng([zlib.crc32(case.encode()), seed])
        parameters, bits = draw_parameters(shape, layers, generator)
        images = draw_images(shape, generator)
        with torch.no_grad():
            values = forward(layers, parameters, images)
            if not is_clear(layers, parameters, values, bits):
                continue
        labels = torch.tensor(generator.integers(0, values[-1].shape[1], size=len(images)))
        sources = {"images": images, **parameters}
        for source in sources.values():
            source.requires_grad_()
        logits = forward(layers, parameters, images)[-1]
        loss = F.cross_entropy(logits, labels, reduction="none")
        # Images do not influence each other, so the sum's gradient with respect to one is that of its own loss.
        gradients = dict(zip(sources, torch.autograd.grad(loss.sum(), list(sources.values()))))
        if is_telling(logits, gradients):
            break
    else:
        raise RuntimeError(f"{case}: no suitable seed")
    tensors = {**sources, "logits": logits, "loss": loss, "input_gradient": gradients.pop("images")}
    tensors |= {f"gradient.{name}": value for name, value in gradients.items()}
    tensors = {name: np.ascontiguousarray(t.detach().numpy(), dtype=np.float32) for name, t in tensors.items()}
    tensors["labels"] = labels.numpy().astype(np.int32)
    path = folder / f"{case}.safetensors"
    framework = f"PyTorch {torch.__version__.split('+')[0]}, float64"
    path.write_bytes(in_order(save(tensors, {"network": text, "framework": framework})))
    print(f"{case}: seed {seed}, {path.stat().st_size} bytes")


if __name__ == "__main__":
    torch.set_num_threads(1)
    check_pooling_ties()
    for case, text in CASES.items():
        make(case, text, pathlib.Path(__file__).parent)
