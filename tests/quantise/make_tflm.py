"""Makes the files that tflm.rs reads: small `.tflite` files with operators that midge folds into others, and what TensorFlow Lite
for Microcontrollers computes with them.

    pip install tensorflow-cpu==2.21.* tflite-micro safetensors        # or the current version
    python make_tflm.py                                                # writes tflm/<case>.safetensors beside this file

Tensors: `model` (the bytes of the file), `images` (N, H, W, C: integers, or floats if the file takes them), `logits`.
"""

import pathlib

import numpy as np
import tensorflow as tf
from safetensors.numpy import save_file
from tensorflow.lite.python import schema_py_generated as schema
from tensorflow.lite.tools import flatbuffer_utils
from tflite_micro import runtime

layers = tf.keras.layers


def head(x):
    return layers.Dense(4)(layers.Flatten()(x))


def pad(rows, columns):
    return layers.ZeroPadding2D((rows, columns))


def conv(filters, kernel, strides=1, padding="same", activation="relu"):
    return layers.Conv2D(filters, kernel, strides, padding, activation=activation)


def mean(keep):
    return layers.GlobalAveragePooling2D(keepdims=keep)


# Shape of the image, the network, the type of input and output, and whether a mean's output gets the scale of its input.
CASES = {
    "mean": ((9, 8, 2), lambda x: head(mean(False)(conv(12, 3, activation=None)(x))), tf.int8, False),
    "mean_of_relu": ((7, 7, 1), lambda x: head(mean(False)(conv(8, 3, 1)(x))), tf.int8, False),
    "mean_last": ((6, 5, 2), lambda x: mean(False)(conv(5, 3, activation=None)(x)), tf.int8, False),
    "mean_kept_odd": ((7, 5, 2), lambda x: head(mean(True)(conv(12, 3, activation=None)(x))), tf.int8, True),
    "pad_stride": ((8, 8, 2), lambda x: head(conv(6, 3, 2, "valid")(pad((0, 1), (0, 1))(x))), tf.int8, False),
    "pad_twice": (
        (9, 7, 3),
        lambda x: head(
            layers.DepthwiseConv2D(3, 2, "valid")(
                pad((1, 1), (1, 1))(conv(6, (5, 3), 1, "valid")(pad((2, 2), (1, 1))(x)))
            )
        ),
        tf.int8,
        False,
    ),
    "floats_at_the_ends": ((6, 6, 1), lambda x: head(layers.MaxPooling2D(2)(conv(5, 3)(x))), tf.float32, False),
    "mean_kept": ((6, 6, 2), lambda x: head(mean(True)(conv(5, 3)(x))), tf.int8, False),
    "mean_kept_even": ((6, 6, 2), lambda x: head(mean(True)(conv(5, 3)(x))), tf.int8, True),
    "mean_same_scale": ((5, 5, 2), lambda x: head(mean(False)(conv(5, 3)(x))), tf.int8, True),
    "pad_zeros": ((8, 8, 2), lambda x: head(conv(6, 3, 2, "valid")(pad((1, 1), (1, 1))(x))), tf.int8, False),
    "refused_pad_pool": ((7, 7, 2), lambda x: head(layers.MaxPooling2D(2)(pad((1, 0), (1, 0))(conv(4, 3)(x)))), tf.int8, False),
    "refused_pad": ((8, 8, 2), lambda x: head(conv(6, 3, 1, "valid")(pad((2, 0), (2, 0))(x))), tf.int8, False),
}


def convert(network, shape, element, random):
    image = tf.keras.Input(shape, batch_size=1)
    model = tf.keras.Model(image, network(image))
    model.set_weights([random.normal(0, 0.5, w.shape).astype(np.float32) for w in model.get_weights()])
    samples = random.uniform(0, 1, (20, *shape)).astype(np.float32)
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([sample[None]] for sample in samples)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = element
    return converter.convert()


def same_scale(file):
    """The file with means whose output has the scale of their input."""
    model = flatbuffer_utils.convert_bytearray_to_object(bytearray(file))
    graph = model.subgraphs[0]
    codes = [max(code.builtinCode, code.deprecatedBuiltinCode) for code in model.operatorCodes]
    for operator in graph.operators:
        if codes[operator.opcodeIndex] == schema.BuiltinOperator.MEAN:
            source, target = (graph.tensors[i].quantization for i in (operator.inputs[0], operator.outputs[0]))
            before = (target.scale[0], target.zeroPoint[0])
            for tensor in graph.tensors:
                q = tensor.quantization
                if q is not None and q.scale is not None and len(q.scale) == 1 and (q.scale[0], q.zeroPoint[0]) == before:
                    q.scale, q.zeroPoint = source.scale, source.zeroPoint
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


def run(file, images):
    interpreter = runtime.Interpreter.from_bytes(file)
    logits = []
    for image in images:
        interpreter.set_input(image[None], 0)
        interpreter.invoke()
        logits.append(interpreter.get_output(0).ravel().copy())
    return np.array(logits)


def main():
    folder = pathlib.Path(__file__).parent / "tflm"
    for seed, (name, (shape, network, element, same)) in enumerate(CASES.items()):
        random = np.random.default_rng(seed)
        file = convert(network, shape, element, random)
        file = same_scale(file) if same else file
        if element == tf.int8:
            images = random.integers(-128, 128, (30, *shape)).astype(np.int8)
        else:
            images = random.uniform(0, 1, (30, *shape)).astype(np.float32)
        tensors = {"model": np.frombuffer(file, np.uint8), "images": images, "logits": run(file, images)}
        save_file(tensors, folder / f"{name}.safetensors", {"framework": f"tensorflow {tf.__version__}"})
        print(name, len(file), tensors["logits"][0], flush=True)


if __name__ == "__main__":
    main()
