"""Makes the reference values that quantise.rs compares midge with: small random networks that TensorFlow's converter makes
integers of.

    pip install tensorflow-cpu==2.21.* safetensors        # or the current version
    python make_reference.py                              # writes <case>.safetensors beside this file

Each file holds one network: metadata `network` (the architecture in midge's words) and `framework`; tensors `<layer>.weight` and
`<layer>.bias` (floats, in midge's order), `images` (N, H, W, C) to calibrate with, and what the converter made of each layer with
weights or with a sum: `<layer>.int8.output` (scale and zero point of its output), `.int8.weight`, `.int8.bias` and `.int8.scale`
(of the weights), in the order of the `.tflite` file. `.int8.output` is left out of what a sum reads first: the sum overwrites it,
and the converter takes the sum's values for its own when it looks for the range.
"""

import pathlib
import re

import numpy as np
import tensorflow as tf
from safetensors.numpy import save_file

CASES = {
    "chain": "input(12,10,1) conv2d(filters=6,kernel=3) relu maxpool2d(pool=2) conv2d(filters=9,kernel=3,stride=2,padding=valid) "
    "relu flatten dense(units=11) relu dense(units=4)",
    "mobile": "input(11,11,3) conv2d(filters=8,kernel=3,stride=2) relu6 depthwise_conv2d(kernel=3) relu6 "
    "conv2d(filters=12,kernel=1) relu6 avgpool2d(pool=6) flatten dense(units=5)",
    "residual": "input(9,9,2) conv2d(filters=6,kernel=3) relu conv2d(filters=6,kernel=3) relu conv2d(filters=6,kernel=3) "
    "add(layer=1) relu conv2d(filters=10,kernel=3,stride=2) from(layer=6) conv2d(filters=10,kernel=1,stride=2) add(layer=7) "
    "relu flatten dense(units=3)",
}


def words(text):
    """Pairs of a word and its options."""
    for word in text.split():
        name, _, options = word.partition("(")
        yield name, dict(re.findall(r"(\w+)=(\w+)", options)), options


def build(text, random):
    """The Keras model and its weights by layer, in midge's order."""
    layers = tf.keras.layers
    parts = list(words(text))
    shape = [int(n) for n in re.findall(r"\d+", parts[0][2])]
    x = image = tf.keras.Input(shape, batch_size=1)
    outputs, weights = [], {}
    for index, (name, options, _) in enumerate(parts[1:]):
        strides, padding = int(options.get("stride", 1)), options.get("padding", "same")
        if name == "conv2d":
            layer = layers.Conv2D(int(options["filters"]), int(options["kernel"]), strides, padding, name=f"l{index}")
        elif name == "depthwise_conv2d":
            layer = layers.DepthwiseConv2D(int(options["kernel"]), strides, padding, name=f"l{index}")
        elif name == "dense":
            layer = layers.Dense(int(options["units"]), name=f"l{index}")
        elif name == "add":
            layer = layers.Add(name=f"l{index}")
        else:
            layer = {
                "relu": lambda: layers.ReLU(),
                "relu6": lambda: layers.ReLU(6.0),
                "maxpool2d": lambda: layers.MaxPooling2D(int(options["pool"]), padding=padding),
                "avgpool2d": lambda: layers.AveragePooling2D(int(options["pool"]), padding=padding),
                "flatten": lambda: layers.Flatten(),
                "from": lambda: None,
            }[name]()
        if name == "from":
            x = outputs[int(options["layer"])]
        elif name == "add":
            x = layer([x, outputs[int(options["layer"])]])
        else:
            x = layer(x)
        if layer is not None and layer.weights:
            kernel, bias = [np.array(w) for w in layer.get_weights()]
            # Filters of different sizes, so that each needs a scale of its own.
            size = np.exp(random.normal(0, 0.7, kernel.shape[3 if kernel.ndim == 4 and name == "conv2d" else -1]))
            if name == "depthwise_conv2d":
                size = np.exp(random.normal(0, 0.7, kernel.shape[2]))[:, None]
            fan = np.prod(kernel.shape[:-1]) if name != "depthwise_conv2d" else np.prod(kernel.shape[:2])
            kernel = (random.normal(0, 1.6 / np.sqrt(fan), kernel.shape) * size).astype(np.float32)
            bias = random.normal(0, 0.2, bias.shape).astype(np.float32)
            layer.set_weights([kernel, bias])
            weights[f"{index}.weight"] = kernel[..., 0] if name == "depthwise_conv2d" else kernel
            weights[f"{index}.bias"] = bias
        outputs.append(x)
    return tf.keras.Model(image, x), weights


def convert(model, images):
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([image[None]] for image in images)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    return converter.convert()


def made(file, weights, text):
    """What the converter made of each layer."""
    interpreter = tf.lite.Interpreter(model_content=file, experimental_preserve_all_tensors=True)
    interpreter.allocate_tensors()
    details = {d["index"]: d for d in interpreter.get_tensor_details()}
    layers = [index for index, (name, *_) in enumerate(list(words(text))[1:]) if name in ("conv2d", "depthwise_conv2d", "dense")]
    sums = [index for index, (name, *_) in enumerate(list(words(text))[1:]) if name == "add"]
    tensors, layer_of, overwritten = {}, {}, []
    for op in interpreter._get_ops_details():
        output = details[op["outputs"][0]]
        scale, zero = output["quantization"]
        if op["op_name"] == "ADD":
            layer = sums.pop(0)
            overwritten.append(layer_of[op["inputs"][0]])
        elif op["op_name"] in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"):
            kernel, bias = (interpreter.get_tensor(op["inputs"][i]) for i in (1, 2))
            scales = details[op["inputs"][1]]["quantization_parameters"]["scales"]
            layer = closest(op["op_name"], kernel, scales, weights, layers)
            tensors[f"{layer}.int8.weight"] = kernel
            tensors[f"{layer}.int8.bias"] = bias
            tensors[f"{layer}.int8.scale"] = scales
        else:
            continue
        tensors[f"{layer}.int8.output"] = np.array([scale, zero], np.float32)
        layer_of[op["outputs"][0]] = layer
    for layer in overwritten:
        del tensors[f"{layer}.int8.output"]
    return tensors


def closest(op, kernel, scales, weights, layers):
    """The layer whose weights these are."""
    shape = (1, 1, 1, -1) if op == "DEPTHWISE_CONV_2D" else (-1,) + (1,) * (kernel.ndim - 1)
    real = kernel.astype(np.float32) * scales.reshape(shape)
    for layer in layers:
        own = weights[f"{layer}.weight"]
        own = own[None] if op == "DEPTHWISE_CONV_2D" else np.moveaxis(own, -1, 0)
        if own.shape == real.shape and np.abs(own - real).max() < np.abs(own).max() / 100:
            return layer
    raise ValueError(f"{op}: nobody's weights")


def main():
    folder = pathlib.Path(__file__).parent
    for seed, (name, text) in enumerate(CASES.items()):
        random = np.random.default_rng(seed)
        model, weights = build(text, random)
        images = random.uniform(0, 1, (24, *model.input_shape[1:])).astype(np.float32)
        # The converter takes the image's range from the images, midge from what pixels can be.
        images[:, 0, 0, 0], images[:, -1, -1, 0] = 0, 1
        tensors = weights | {"images": images} | made(convert(model, images), weights, text)
        tensors = {key: np.ascontiguousarray(value) for key, value in tensors.items()}
        save_file(tensors, folder / f"{name}.safetensors", {"network": text, "framework": f"tensorflow {tf.__version__}"})
        print(name, sorted(key for key in tensors if "int8.output" in key))


if __name__ == "__main__":
    main()
