"""TensorFlow and Keras: `worker_tensorflow.py FOLDER THREADS`."""

import sys
import time

import keras
import numpy as np
import tensorflow as tf

import common


def network(weights):
    """The MNIST CNN with midge's weights, whose layouts are Keras's."""
    layers = keras.layers
    net = keras.Sequential([
        keras.Input((28, 28, 1)),
        layers.Conv2D(32, 3, padding="same", use_bias=False), layers.ReLU(), layers.MaxPool2D(2),
        layers.Conv2D(64, 3, padding="same", use_bias=False), layers.ReLU(), layers.MaxPool2D(2),
        layers.Flatten(), layers.Dense(256), layers.ReLU(), layers.Dense(10),
    ])
    net.set_weights([weights[k] for k in ("0.weight", "3.weight", "7.weight", "7.bias", "9.weight", "9.bias")])
    return net


def losses(logits, labels):
    return tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)


def gradient(net, images, labels):
    """Gradient of the sum of the losses with respect to the images; none for the weights."""
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(images)
        loss = tf.reduce_sum(losses(net(images), labels))
    return tape.gradient(loss, images)


def fgsm(net, images, labels):
    return tf.clip_by_value(images + common.EPS * tf.sign(gradient(net, images, labels)), 0.0, 1.0)


def mi_fgsm(net, images, labels):
    x, momentum = images, tf.zeros_like(images)
    low, high = tf.maximum(images - common.EPS, 0.0), tf.minimum(images + common.EPS, 1.0)
    for _ in range(common.STEPS):
        grad = gradient(net, x, labels)
        momentum += grad / tf.reduce_sum(tf.abs(grad), (1, 2, 3), keepdims=True)
        x = tf.clip_by_value(x + common.EPS / common.STEPS * tf.sign(momentum), low, high)
    return x


def sgd_step(net, images, labels):
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(losses(net(images), labels))
    for variable, grad in zip(net.trainable_variables, tape.gradient(loss, net.trainable_variables)):
        variable.assign_sub(common.LEARNING_RATE * grad)
    return loss


SETTINGS = {"tf.function": False, "tf.function, XLA": True}
WORK = {"gradient": gradient, "fgsm": fgsm, "mi_fgsm": mi_fgsm}


class Worker:
    def __init__(self, folder, threads):
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
        self.inputs = common.safetensors(f"{folder}/inputs.safetensors")
        self.initial = common.safetensors(f"{folder}/initial.safetensors")
        net = network(common.safetensors(f"{folder}/model.safetensors"))
        self.functions, self.training = {}, {}
        for setting, jit in SETTINGS.items():
            self.functions["forward", setting] = tf.function(lambda images, labels: net(images), jit_compile=jit)
            for name, work in WORK.items():
                function = tf.function(lambda x, y, work=work: work(net, x, y), jit_compile=jit)
                self.functions[name, setting] = function

    def run(self, request):
        images, labels = (self.inputs[f"{request['set']}.{what}"] for what in ("images", "labels"))
        if request["work"] == "train":
            return self.train(request, images, labels), None
        function = self.functions[request["work"], request["setting"]]

        def cut(first, last):
            return tf.constant(images[first:last]), tf.constant(labels[first:last])

        return common.in_batches(request, cut, lambda x, y: function(x, y).numpy())

    def start(self, setting):
        net = network(self.initial)
        if setting == "fit":
            loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
            net.compile(keras.optimizers.SGD(common.LEARNING_RATE), loss)
            return net
        return tf.function(lambda x, y: sgd_step(net, x, y), jit_compile=SETTINGS[setting])

    def train(self, request, images, labels):
        setting, batch = request["setting"], request["batch"]
        if request["block"] == 0 or setting not in self.training:
            self.training[setting] = self.start(setting)
        step = self.training[setting]
        first, count = common.train_range(request, len(labels))
        x, y = images[first : first + count], labels[first : first + count]
        if setting == "fit":
            start = time.perf_counter()
            history = step.fit(x, y, batch_size=batch, epochs=1, shuffle=False, verbose=0)
            return {"seconds": time.perf_counter() - start, "loss": history.history["loss"][0]}
        start = time.perf_counter()
        steps = [step(tf.constant(x[i : i + batch]), tf.constant(y[i : i + batch])) for i in range(0, count, batch)]
        loss = float(np.mean([loss.numpy() for loss in steps]))
        return {"seconds": time.perf_counter() - start, "loss": loss}

    def hello(self):
        settings = list(SETTINGS)
        work = {name: settings for name in ("forward", *WORK)} | {"train": ["fit", *settings]}
        return {"name": "TensorFlow", "version": f"{tf.__version__}, Keras {keras.__version__}", "work": work}


if __name__ == "__main__":
    worker = Worker(sys.argv[1], int(sys.argv[2]))
    common.serve(worker.hello(), worker.run)
