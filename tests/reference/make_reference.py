"""Makes the reference values that reference.rs compares midge with: small random networks in TensorFlow, float64.

    pip install tensorflow-cpu==2.21.* safetensors        # or the current version
    python make_reference.py                              # writes <case>.safetensors beside this file
    python make_reference.py depthwise residual           # only these

Each file holds one network: metadata `network` (the architecture in midge's words) and `framework`; tensors
`<layer>.weight` and `<layer>.bias` (convolutions [row][column][in][out], depthwise [row][column][out], dense [in][out]), `images`
(N, H, W, C), `labels`, `logits`, `loss` (softmax cross-entropy per image), `input_gradient` (of each image's own loss) and
`gradient.<layer>.weight` / `.bias` of the sum of the losses.
"""

import pathlib
import re
import sys

import numpy as np
import tensorflow as tf
from safetensors.numpy import save_file

CASES = {
    "lecture": "input(12,12,1) conv2d(filters=4,kernel=3,stride=1,padding=same,bias=false) relu "
    "maxpool2d(pool=2,padding=same) conv2d(filters=8,kernel=3,stride=1,padding=same,bias=false) relu "
    "maxpool2d(pool=2,padding=same) flatten dense(units=16,bias=true) relu dense(units=10,bias=true)",
    "shifted": "input(12,12,1) conv2d(filters=4,kernel=3,stride=1,padding=same,bias=false) shifted_relu(hundredths=10) "
    "maxpool2d(pool=2,padding=same) conv2d(filters=8,kernel=3,stride=1,padding=same,bias=true) "
    "shifted_relu(hundredths=20) maxpool2d(pool=2,padding=same) flatten dense(units=16,bias=true) "
    "shifted_relu(hundredths=5) dense(units=10,bias=true)",
    "shifted_pool3": "input(9,10,1) shifted_relu(hundredths=30) conv2d(filters=33,kernel=3,stride=2,padding=same,bias=true) "
    "maxpool2d(pool=3,padding=same) relu shifted_relu(hundredths=15) shifted_relu(hundredths=25) flatten "
    "dense(units=3,bias=false)",
    "odd": "input(9,7,2) conv2d(filters=5,kernel=3,stride=1,padding=same,bias=true) relu "
    "maxpool2d(pool=2,padding=same) conv2d(filters=6,kernel=3,stride=1,padding=same,bias=true) relu "
    "maxpool2d(pool=2,padding=same) flatten dense(units=7,bias=true) relu dense(units=3,bias=true)",
    "stride": "input(11,13,1) conv2d(filters=6,kernel=5,stride=2,padding=valid,bias=true) relu flatten "
    "dense(units=4,bias=false)",
    "stride_same": "input(10,9,2) conv2d(filters=5,kernel=4,stride=2,padding=same,bias=true) relu "
    "conv2d(filters=4,kernel=3,stride=2,padding=same,bias=true) relu flatten dense(units=4,bias=true)",
    "stride_pool": "input(19,17,1) conv2d(filters=3,kernel=7,stride=2,padding=same,bias=true) relu "
    "maxpool2d(pool=3,padding=same) flatten dense(units=4,bias=true)",
    "zeros_stride": "input(10,8,2) conv2d(filters=5,kernel=3,stride=2,padding=1,bias=true) relu "
    "conv2d(filters=6,kernel=3,stride=1,padding=2,bias=true) relu maxpool2d(pool=2,padding=valid) flatten "
    "dense(units=4,bias=true)",
    "zeros_wide": "input(9,12,1) conv2d(filters=33,kernel=3,stride=1,padding=1x2,bias=true) relu "
    "maxpool2d(pool=2,padding=same) conv2d(filters=9,kernel=5x3,stride=2x1,padding=4x0,bias=true) relu flatten "
    "dense(units=3,bias=true)",
    "zeros_depthwise": "input(8,10,1) depthwise_conv2d(multiplier=4,kernel=3,stride=2,padding=1,bias=true) relu6 "
    "depthwise_conv2d(multiplier=1,kernel=3,stride=1,padding=2,bias=true) relu conv2d(filters=4,kernel=1,stride=1,padding=same,"
    "bias=true) add(layer=3) relu avgpool2d(pool=6x7,padding=valid) flatten dense(units=3,bias=true)",
    "kernel1": "input(5,5,3) conv2d(filters=7,kernel=1,stride=1,padding=same,bias=true) relu "
    "conv2d(filters=3,kernel=1,stride=2,padding=valid,bias=false) relu flatten dense(units=3,bias=true)",
    "kernel2": "input(6,7,2) conv2d(filters=4,kernel=2,stride=1,padding=same,bias=true) relu "
    "maxpool2d(pool=2,padding=valid) flatten dense(units=3,bias=true)",
    "kernel6": "input(9,9,2) conv2d(filters=3,kernel=6,stride=1,padding=valid,bias=true) relu "
    "maxpool2d(pool=2,padding=same) flatten dense(units=3,bias=true)",
    "kernel7": "input(8,9,3) conv2d(filters=3,kernel=7,stride=1,padding=same,bias=false) relu "
    "maxpool2d(pool=2,padding=same) flatten dense(units=3,bias=true)",
    "pool3_7": "input(7,7,1) conv2d(filters=4,kernel=3,stride=1,padding=same,bias=true) relu "
    "maxpool2d(pool=3,padding=same) flatten dense(units=3,bias=true)",
    "pool3_8": "input(8,9,1) conv2d(filters=4,kernel=3,stride=1,padding=same,bias=true) relu "
    "maxpool2d(pool=3,padding=same) flatten dense(units=3,bias=true)",
    "pool3_valid": "input(8,10,1) conv2d(filters=4,kernel=3,stride=1,padding=same,bias=true) relu "
    "maxpool2d(pool=3,padding=valid) conv2d(filters=5,kernel=3,stride=1,padding=same,bias=true) relu flatten "
    "dense(units=3,bias=true)",
    "pool_without_relu": "input(6,6,1) conv2d(filters=4,kernel=3,stride=1,padding=same,bias=true) "
    "maxpool2d(pool=2,padding=same) flatten dense(units=3,bias=true)",
    "pool_then_relu": "input(6,6,1) conv2d(filters=4,kernel=3,stride=1,padding=same,bias=true) "
    "maxpool2d(pool=2,padding=same) relu flatten dense(units=3,bias=true)",
    "pool_first": "input(8,8,2) maxpool2d(pool=2,padding=same) "
    "conv2d(filters=4,kernel=3,stride=1,padding=same,bias=true) relu flatten dense(units=3,bias=true)",
    "relu_first": "input(5,6,1) relu conv2d(filters=4,kernel=3,stride=1,padding=same,bias=true) relu flatten "
    "dense(units=3,bias=true)",
    "two_pools": "input(12,12,1) conv2d(filters=4,kernel=3,stride=1,padding=same,bias=true) relu "
    "maxpool2d(pool=2,padding=same) maxpool2d(pool=2,padding=same) flatten dense(units=3,bias=true)",
    "dense_only": "input(4,5,1) flatten dense(units=9,bias=true) relu dense(units=8,bias=false) relu "
    "dense(units=3,bias=true)",
    "relu_after_flatten": "input(4,4,1) conv2d(filters=3,kernel=3,stride=1,padding=valid,bias=true) flatten relu "
    "dense(units=3,bias=true)",
    "relu_last": "input(4,4,1) flatten dense(units=6,bias=true) relu dense(units=5,bias=true) relu",
    "conv_only": "input(6,6,1) conv2d(filters=4,kernel=3,stride=1,padding=same,bias=true) relu "
    "maxpool2d(pool=2,padding=same) conv2d(filters=5,kernel=3,stride=1,padding=valid,bias=true) flatten",
    "conv_only_pooled": "input(5,5,1) conv2d(filters=3,kernel=2,stride=1,padding=valid,bias=true) relu "
    "maxpool2d(pool=2,padding=same) flatten",
    "wide": "input(6,6,1) conv2d(filters=33,kernel=3,stride=1,padding=same,bias=true) relu "
    "maxpool2d(pool=2,padding=same) conv2d(filters=40,kernel=2,stride=1,padding=same,bias=true) relu flatten "
    "dense(units=37,bias=true) relu dense(units=3,bias=true)",
    "one_filter": "input(5,4,1) conv2d(filters=1,kernel=3,stride=1,padding=same,bias=false) relu "
    "maxpool2d(pool=2,padding=same) flatten dense(units=2,bias=true)",
    "deep": "input(16,16,1) conv2d(filters=3,kernel=3,stride=1,padding=same,bias=true) relu "
    "conv2d(filters=4,kernel=3,stride=1,padding=same,bias=true) relu maxpool2d(pool=2,padding=same) "
    "conv2d(filters=5,kernel=3,stride=1,padding=valid,bias=true) relu "
    "conv2d(filters=6,kernel=5,stride=1,padding=same,bias=true) relu maxpool2d(pool=2,padding=same) flatten "
    "dense(units=8,bias=true) relu dense(units=8,bias=true) relu dense(units=4,bias=true)",
    "rectangular": "input(12,9,2) conv2d(filters=5,kernel=5x2,stride=2x1,padding=same,bias=true) relu "
    "conv2d(filters=4,kernel=1x4,stride=1x3,padding=valid,bias=true) relu flatten dense(units=3,bias=true)",
    "rectangular_pool": "input(21,10,1) conv2d(filters=9,kernel=10x4,stride=2,padding=same,bias=true) relu "
    "maxpool2d(pool=2,padding=same) conv2d(filters=4,kernel=3x1,stride=1x2,padding=same,bias=false) relu "
    "maxpool2d(pool=2,padding=valid) flatten dense(units=3,bias=true)",
    "kernel16": "input(18,17,2) conv2d(filters=3,kernel=16x15,stride=1x2,padding=valid,bias=true) relu flatten "
    "dense(units=3,bias=true)",
    "stride4": "input(17,19,3) conv2d(filters=7,kernel=5x3,stride=4x3,padding=same,bias=true) relu "
    "maxpool2d(pool=2,padding=same) flatten dense(units=3,bias=true)",
    "depthwise": "input(8,7,5) depthwise_conv2d(multiplier=1,kernel=3,stride=1,padding=same,bias=true) relu6 "
    "conv2d(filters=6,kernel=1,stride=1,padding=same,bias=true) relu6 "
    "depthwise_conv2d(multiplier=1,kernel=3,stride=2,padding=same,bias=false) relu "
    "conv2d(filters=4,kernel=1,stride=1,padding=same,bias=true) flatten dense(units=3,bias=true)",
    "depthwise_wide": "input(9,5,37) depthwise_conv2d(multiplier=1,kernel=5x1,stride=1,padding=valid,bias=true) relu "
    "conv2d(filters=33,kernel=1,stride=1,padding=same,bias=true) relu "
    "depthwise_conv2d(multiplier=1,kernel=2x4,stride=2x1,padding=same,bias=true) relu6 flatten dense(units=3,bias=true)",
    "depthwise_spread": "input(13,12,1) depthwise_conv2d(multiplier=8,kernel=10x8,stride=2,padding=same,bias=true) relu "
    "flatten dense(units=4,bias=true)",
    "depthwise_spread_wide": "input(9,8,1) depthwise_conv2d(multiplier=35,kernel=3,stride=2,padding=valid,bias=true) relu6 "
    "conv2d(filters=3,kernel=1,stride=1,padding=same,bias=true) relu flatten dense(units=3,bias=true)",
    "depthwise_last": "input(6,6,3) conv2d(filters=4,kernel=3,stride=1,padding=same,bias=true) relu "
    "depthwise_conv2d(multiplier=1,kernel=3,stride=2,padding=same,bias=true) flatten",
    "average": "input(9,8,3) avgpool2d(pool=2x3,padding=same) conv2d(filters=5,kernel=3,stride=1,padding=same,bias=true) "
    "relu avgpool2d(pool=2,padding=valid) relu flatten dense(units=3,bias=true)",
    "average_global": "input(7,6,2) conv2d(filters=34,kernel=3,stride=1,padding=same,bias=true) relu "
    "avgpool2d(pool=7x6,padding=valid) flatten dense(units=3,bias=true)",
    "average_of_shared": "input(6,6,1) conv2d(filters=4,kernel=3,stride=1,padding=same,bias=true) relu "
    "conv2d(filters=4,kernel=3,stride=2,padding=same,bias=true) from(layer=1) avgpool2d(pool=2,padding=same) "
    "add(layer=2) relu flatten dense(units=3,bias=true)",
    "residual": "input(8,8,3) conv2d(filters=16,kernel=3,stride=1,padding=same,bias=true) relu "
    "conv2d(filters=16,kernel=3,stride=1,padding=same,bias=true) relu "
    "conv2d(filters=16,kernel=3,stride=1,padding=same,bias=true) add(layer=1) relu "
    "conv2d(filters=20,kernel=3,stride=2,padding=same,bias=true) relu "
    "conv2d(filters=20,kernel=3,stride=1,padding=same,bias=true) "
    "from(layer=6) conv2d(filters=20,kernel=1,stride=2,padding=same,bias=true) add(layer=9) relu "
    "avgpool2d(pool=4,padding=valid) flatten dense(units=5,bias=true)",
    "residual_odd": "input(9,7,2) conv2d(filters=3,kernel=3,stride=1,padding=same,bias=true) relu "
    "conv2d(filters=5,kernel=3,stride=2,padding=same,bias=true) relu "
    "conv2d(filters=5,kernel=5x3,stride=1,padding=same,bias=true) "
    "from(layer=1) conv2d(filters=5,kernel=1,stride=2,padding=same,bias=false) add(layer=4) relu "
    "maxpool2d(pool=2,padding=same) flatten dense(units=3,bias=true)",
    "branches": "input(10,9,2) conv2d(filters=4,kernel=3,stride=1,padding=same,bias=true) relu6 "
    "conv2d(filters=4,kernel=5,stride=1,padding=same,bias=true) relu from(layer=1) "
    "depthwise_conv2d(multiplier=1,kernel=3,stride=1,padding=same,bias=true) relu add(layer=3) from(layer=1) "
    "conv2d(filters=4,kernel=1,stride=1,padding=same,bias=true) add(layer=7) relu6 "
    "conv2d(filters=3,kernel=3,stride=2,padding=valid,bias=true) relu flatten dense(units=3,bias=true)",
    "shared_in_part": "input(8,8,1) conv2d(filters=4,kernel=3,stride=1,padding=same,bias=true) relu "
    "conv2d(filters=4,kernel=2,stride=3,padding=valid,bias=true) relu "
    "from(layer=1) conv2d(filters=4,kernel=1,stride=3,padding=valid,bias=true) add(layer=3) relu flatten "
    "dense(units=3,bias=true)",
    "added_to_itself": "input(5,5,2) relu add(layer=0) conv2d(filters=3,kernel=3,stride=1,padding=same,bias=true) "
    "from(layer=1) conv2d(filters=3,kernel=3,stride=1,padding=same,bias=true) add(layer=2) flatten "
    "dense(units=3,bias=true)",
    "relu6_everywhere": "input(6,6,2) relu6 conv2d(filters=5,kernel=3,stride=1,padding=same,bias=true) relu6 relu "
    "maxpool2d(pool=2,padding=same) conv2d(filters=6,kernel=2,stride=1,padding=same,bias=true) "
    "maxpool2d(pool=2,padding=same) relu6 flatten dense(units=9,bias=true) relu6 dense(units=3,bias=true)",
    "mobilenet": "input(12,12,3) conv2d(filters=8,kernel=3,stride=2,padding=same,bias=true) relu6 "
    "depthwise_conv2d(multiplier=1,kernel=3,stride=1,padding=same,bias=true) relu6 "
    "conv2d(filters=16,kernel=1,stride=1,padding=same,bias=true) relu6 "
    "depthwise_conv2d(multiplier=1,kernel=3,stride=2,padding=same,bias=true) relu6 "
    "conv2d(filters=36,kernel=1,stride=1,padding=same,bias=true) relu6 "
    "depthwise_conv2d(multiplier=1,kernel=3,stride=1,padding=same,bias=true) relu6 "
    "conv2d(filters=36,kernel=1,stride=1,padding=same,bias=true) relu6 avgpool2d(pool=3,padding=valid) flatten "
    "dense(units=2,bias=true)",
}

# No value may be this close to a switch (the threshold of a ReLU, or second place in a pooling window), unless it is exactly
# on it: float32 has to take the same branch as float64.
MARGIN = 1e-4


def parse(text):
    """The architecture as (name, arguments) pairs, and the input's shape."""
    words = text.split(" ")
    shape = [int(n) for n in re.fullmatch(r"input\((\d+),(\d+),(\d+)\)", words[0]).groups()]
    layers = []
    for word in words[1:]:
        name, _, arguments = word.rstrip(")").partition("(")
        layers.append((name, dict(pair.split("=") for pair in arguments.split(",") if pair)))
    return shape, layers


def size(text):
    """Height and width: `3` or `10x4`."""
    height, _, width = text.partition("x")
    return [int(height), int(width or height)]


def padding(arguments):
    """A convolution's: a word, or so many zeros on both sides."""
    if arguments["padding"] in ("same", "valid"):
        return arguments["padding"].upper()
    height, width = size(arguments["padding"])
    return [[0, 0], [height] * 2, [width] * 2, [0, 0]]


def threshold(arguments):
    """Where a ReLU starts."""
    return int(arguments.get("hundredths", 0)) / 100


class Network:
    """A network in TensorFlow with random weights."""

    def __init__(self, text, generator):
        self.shape, self.layers = parse(text)
        self.variables = {}
        outputs = [tf.zeros([1, *self.shape], tf.float64)]
        for index, (name, arguments) in enumerate(self.layers):
            channels = outputs[-1].shape[-1]
            if name == "conv2d":
                shape = [*size(arguments["kernel"]), channels, int(arguments["filters"])]
                self.add(index, shape, np.prod(shape[:-1]), arguments, generator)
            elif name == "depthwise_conv2d":
                shape = [*size(arguments["kernel"]), channels * int(arguments["multiplier"])]
                self.add(index, shape, np.prod(shape[:-1]), arguments, generator)
            elif name == "dense":
                shape = [channels, int(arguments["units"])]
                self.add(index, shape, channels, arguments, generator)
            outputs.append(self.layer(index, outputs))

    def add(self, index, shape, inputs, arguments, generator):
        weight = generator.normal(size=shape) * np.sqrt(2 / inputs)
        if index + 1 < len(self.layers) and self.layers[index + 1][0] == "relu6":
            # So that some values are above 6.
            weight *= 8
        # What is stored is float32, so what is computed with must be.
        self.variables[f"{index}.weight"] = tf.Variable(weight.astype(np.float32).astype(np.float64))
        if arguments["bias"] == "true":
            bias = generator.normal(size=shape[-1:]) * 0.1
            self.variables[f"{index}.bias"] = tf.Variable(bias.astype(np.float32).astype(np.float64))

    def layer(self, index, outputs):
        """The output of layer `index`; `outputs` are the input and those of the layers before."""
        name, arguments = self.layers[index]
        x = outputs[-1]
        weight = self.variables.get(f"{index}.weight")
        bias = self.variables.get(f"{index}.bias", tf.constant(0.0, tf.float64))
        if name == "conv2d":
            return tf.nn.conv2d(x, weight, size(arguments["stride"]), padding(arguments)) + bias
        if name == "depthwise_conv2d":
            multiplier = int(arguments["multiplier"])
            return self.depthwise(x, weight, multiplier, size(arguments["stride"]), padding(arguments)) + bias
        if name == "avgpool2d":
            pool = size(arguments["pool"])
            return tf.nn.avg_pool2d(x, pool, pool, arguments["padding"].upper())
        if name == "from":
            return outputs[int(arguments["layer"]) + 1]
        if name == "add":
            return x + outputs[int(arguments["layer"]) + 1]
        if name == "relu6":
            return tf.nn.relu6(x)
        if name == "dense":
            return x @ weight + bias
        if name == "maxpool2d":
            return tf.nn.max_pool2d(x, int(arguments["pool"]), int(arguments["pool"]), arguments["padding"].upper())
        return tf.nn.relu(x - threshold(arguments)) if "relu" in name else tf.reshape(x, [x.shape[0], -1])

    @staticmethod
    def depthwise(x, weight, multiplier, stride, padding):
        """Channel by channel, because TensorFlow's depthwise convolution has only square strides."""
        filters = []
        for channel in range(x.shape[-1]):
            own = weight[:, :, None, channel * multiplier : (channel + 1) * multiplier]
            filters.append(tf.nn.conv2d(x[..., channel : channel + 1], own, stride, padding))
        return tf.concat(filters, -1)

    def __call__(self, x):
        outputs = [x]
        for index in range(len(self.layers)):
            outputs.append(self.layer(index, outputs))
        return outputs[-1]

    def is_clear(self, x):
        """Whether no value is close to a switch without being on it."""
        outputs = [x]
        for index, (name, arguments) in enumerate(self.layers):
            x = outputs[-1]
            ends = [threshold(arguments), *([6] if name == "relu6" else [])]
            for end in ends if "relu" in name else []:
                distance = np.abs(x - end)
                if np.any((distance < MARGIN) & (distance != 0)):
                    return False
            if name == "maxpool2d":
                pool = int(arguments["pool"])
                windows = tf.image.extract_patches(
                    x - tf.reduce_min(x) + 1, [1, pool, pool, 1], [1, pool, pool, 1], [1] * 4, arguments["padding"].upper()
                ).numpy()
                windows = np.sort(windows.reshape(*windows.shape[:3], pool * pool, -1), axis=3)
                gap = windows[..., -1, :] - windows[..., -2, :]
                if np.any((gap < MARGIN) & (gap > 1e-12)):
                    return False
            outputs.append(self.layer(index, outputs))
        return True


def images(shape, generator):
    """Four images: two noisy with half the pixels zero, one of equal values (ties in every pooling), one blank."""
    noisy = generator.uniform(size=[2, *shape]) * (generator.uniform(size=[2, *shape]) < 0.5)
    return np.concatenate([noisy, np.full([1, *shape], 0.5), np.zeros([1, *shape])]).astype(np.float32)


def to_float32(value):
    value = value.numpy() if hasattr(value, "numpy") else value
    return np.ascontiguousarray(value).astype(np.float32)


def make(case, text, folder):
    for seed in range(1000):
        generator = np.random.default_rng([seed, sum(case.encode())])
        network = Network(text, generator)
        x = images(network.shape, generator)
        if network.is_clear(tf.constant(x, tf.float64)):
            break
    else:
        raise RuntimeError(f"{case}: no seed without a value close to a switch")
    x64 = tf.constant(x, tf.float64)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x64)
        logits = network(x64)
        labels = generator.integers(0, logits.shape[-1], size=len(x))
        loss = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
        total = tf.reduce_sum(loss)
    tensors = {name: to_float32(value) for name, value in network.variables.items()}
    for name, value in network.variables.items():
        tensors[f"gradient.{name}"] = to_float32(tape.gradient(total, value))
    tensors |= {"images": x, "labels": labels.astype(np.int32)}
    tensors |= {"logits": to_float32(logits), "loss": to_float32(loss)}
    tensors["input_gradient"] = tape.gradient(total, x64).numpy().astype(np.float32)
    framework = f"TensorFlow {tf.__version__}, float64"
    save_file(tensors, folder / f"{case}.safetensors", {"network": text, "framework": framework})
    print(f"{case}: seed {seed}, {sum(v.size for v in tensors.values())} numbers")


if __name__ == "__main__":
    for case, text in CASES.items():
        if not sys.argv[1:] or case in sys.argv[1:]:
            make(case, text, pathlib.Path(__file__).parent)
