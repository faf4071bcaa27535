"""Makes the Keras models that import.rs compares midge with, in both of Keras's formats and as ONNX files by tf2onnx.

    pip install tensorflow-cpu safetensors tf2onnx onnx
    python make_keras.py                                 # writes files beside this script

NAME.check.safetensors has `inputs` (32 images, N H W C, U8: 255 is 1) and `outputs` (Keras's logits).
"""

import pathlib

import keras
import numpy as np
import tensorflow as tf
from keras import layers
from safetensors.numpy import save_file

FOLDER = pathlib.Path(__file__).parent
IMAGES = 32


def mnist():
    """The MNIST example of Keras's documentation, with fewer channels."""
    return keras.Sequential([
        keras.Input((28, 28, 1)),
        layers.Conv2D(4, 3, activation="relu"),
        layers.MaxPooling2D(2),
        layers.Conv2D(6, 3, activation="relu"),
        layers.MaxPooling2D(2),
        layers.Flatten(),
        layers.Dropout(0.5),
        layers.Dense(10, activation="softmax"),
    ])


def cnn():
    """Four convolutions with BatchNormalization, several paddings, on images that are not square; normalised inside."""
    return keras.Sequential([
        keras.Input((20, 26, 3)),
        layers.Rescaling(1 / 0.25, offset=-2),
        layers.Conv2D(4, 3, padding="same", use_bias=False),
        layers.BatchNormalization(),
        layers.ReLU(),
        layers.ZeroPadding2D(1),
        layers.Conv2D(6, 3, strides=2),
        layers.BatchNormalization(),
        layers.Activation("relu"),
        layers.DepthwiseConv2D(3, padding="same"),
        layers.BatchNormalization(),
        layers.ReLU(6.0),
        layers.AveragePooling2D(2),
        layers.Conv2D(5, 3, padding="valid", activation="relu"),
        layers.Flatten(),
        layers.Dense(12, activation="relu"),
        layers.Dense(7),
    ])


def residual():
    """A block with half the resolution at its end, between a convolution and an average."""
    image = keras.Input((16, 16, 3))
    x = layers.Conv2D(6, 3, padding="same", use_bias=False)(image)
    x = layers.ReLU()(layers.BatchNormalization()(x))
    y = layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False)(x)
    y = layers.ReLU()(layers.BatchNormalization()(y))
    y = layers.BatchNormalization()(layers.Conv2D(8, 3, padding="same", use_bias=False)(y))
    x = layers.BatchNormalization()(layers.Conv2D(8, 1, strides=2, use_bias=False)(x))
    x = layers.ReLU()(layers.Add()([y, x]))
    return keras.Model(image, layers.Dense(5)(layers.GlobalAveragePooling2D()(x)))


def randomise(model, generator):
    """Weights and statistics that are no longer those of the start."""
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            count = layer.gamma.shape
            layer.set_weights([
                generator.uniform(0.5, 1.5, count),
                generator.normal(0, 0.2, count),
                generator.normal(0, 0.2, count),
                generator.uniform(0.3, 2, count),
            ])
        elif layer.get_weights() and layer.get_weights()[-1].ndim == 1:
            *weights, bias = layer.get_weights()
            layer.set_weights([*weights, generator.normal(0, 0.1, bias.shape)])


def logits(model, pixels):
    """Without the softmax at the end."""
    last = model.layers[-1]
    activation, last.activation = last.activation, keras.activations.linear
    outputs = model(pixels, training=False).numpy()
    last.activation = activation
    return outputs


def save_onnx(name, model):
    try:
        import tf2onnx
    except ImportError:
        print(f"{name}: no tf2onnx, no ONNX file")
        return
    function = tf.function(lambda image: model(image, training=False))
    signature = [tf.TensorSpec([None, *model.input_shape[1:]], tf.float32, name="image")]
    tf2onnx.convert.from_function(function, signature, opset=15, output_path=str(FOLDER / f"{name}.tf2onnx.onnx"))


def main():
    for number, make in enumerate([mnist, cnn, residual]):
        name = f"keras_{make.__name__}"
        keras.utils.set_random_seed(number)
        keras.backend.clear_session()
        generator = np.random.default_rng(number)
        model = make()
        randomise(model, generator)
        inputs = generator.integers(0, 256, (IMAGES, *model.input_shape[1:]), dtype=np.uint8)
        inputs[generator.uniform(size=inputs.shape) < 0.4] = 0
        outputs = logits(model, inputs.astype(np.float32) / 255)
        save_file({"inputs": inputs, "outputs": np.ascontiguousarray(outputs)}, FOLDER / f"{name}.check.safetensors")
        model.save(FOLDER / f"{name}.keras")
        model.save(FOLDER / f"{name}.h5")
        save_onnx(name, model)


if __name__ == "__main__":
    main()
