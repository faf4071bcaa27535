"""PyTorch: `worker_torch.py FOLDER THREADS [torchattacks]`; with the last word the attacks are torchattacks'."""

import copy
import sys
import time

import torch
from torch import nn
from torch.nn.functional import cross_entropy

import common

FORMATS = {"contiguous": torch.contiguous_format, "channels-last": torch.channels_last}


class ShiftedReLU(nn.Module):
    """max(x - threshold, 0)"""

    def __init__(self, threshold):
        super().__init__()
        self.threshold = threshold

    def forward(self, x):
        return torch.relu(x - self.threshold)


def network(weights, threshold=0.0):
    """The MNIST CNN with midge's weights and a threshold in its first ReLU; its convolutions have biases if these are there."""
    bias = "0.bias" in weights
    net = nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1, bias=bias), ShiftedReLU(threshold) if threshold else nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1, bias=bias), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(3136, 256), nn.ReLU(), nn.Linear(256, 10),
    )
    net.load_state_dict({k: torch.from_numpy(v) for k, v in common.channels_first(weights).items()})
    return net


def gradient(net, images, labels):
    """Gradient of the sum of the losses with respect to the images; none for the weights."""
    images = images.detach().requires_grad_()
    return torch.autograd.grad(cross_entropy(net(images), labels, reduction="sum"), images)[0]


def fgsm(net, images, labels):
    return (images + common.EPS * gradient(net, images, labels).sign()).clamp(0, 1)


def mi_fgsm(net, images, labels):
    x, momentum = images, torch.zeros_like(images)
    low, high = (images - common.EPS).clamp(min=0), (images + common.EPS).clamp(max=1)
    for _ in range(common.STEPS):
        grad = gradient(net, x, labels)
        momentum = momentum + grad / grad.abs().sum((1, 2, 3), keepdim=True)
        x = torch.clamp(x + common.EPS / common.STEPS * momentum.sign(), low, high)
    return x


def pgd(net, images, labels):
    eps = common.PGD_EPS
    x = (images + torch.empty_like(images).uniform_(-eps, eps)).clamp(0, 1)
    for _ in range(common.PGD_STEPS):
        x = x + common.PGD_ALPHA * gradient(net, x, labels).sign()
        x = torch.clamp(x, images - eps, images + eps).clamp(0, 1)
    return x


class Worker:
    def __init__(self, folder, threads):
        torch.set_num_threads(threads)
        torch.manual_seed(1)
        self.inputs = common.safetensors(f"{folder}/inputs.safetensors")
        self.initial = network(common.safetensors(f"{folder}/initial.safetensors"))
        frozen = network(common.safetensors(f"{folder}/model.safetensors")).requires_grad_(False)
        self.sets, self.nets, self.trained = {}, {}, {}
        for name, layout in FORMATS.items():
            net = copy.deepcopy(frozen).to(memory_format=layout)
            self.nets[name] = net
        # One compilation for every batch size.
        torch._dynamo.config.recompile_limit = 64
        self.nets["channels-last, compiled"] = torch.compile(net, dynamic=False)

    def images(self, set_name, layout):
        key = set_name, layout
        if key not in self.sets:
            images = torch.from_numpy(self.inputs[f"{set_name}.images"]).permute(0, 3, 1, 2)
            images = images.contiguous(memory_format=FORMATS[layout])
            self.sets[key] = images, torch.from_numpy(self.inputs[f"{set_name}.labels"])
        return self.sets[key]

    def run(self, request):
        layout = request["setting"].split(",")[0]
        images, labels = self.images(request["set"], layout)
        if request["work"] in ("train", "adversarial_train"):
            return self.train(request, images, labels), None
        net = self.nets[request["setting"]]
        work = {"gradient": gradient, "fgsm": fgsm, "mi_fgsm": mi_fgsm}.get(request["work"])

        def cut(first, last):
            return images[first:last], labels[first:last]

        if work:
            return common.in_batches(request, cut, lambda x, y: work(net, x, y).numpy())
        with torch.inference_mode():
            return common.in_batches(request, cut, lambda x, _: net(x).numpy())

    def start(self, setting):
        net = copy.deepcopy(self.initial).to(memory_format=FORMATS[setting.split(",")[0]])
        run = torch.compile(net, dynamic=False) if "compiled" in setting else net
        # One fused update of all tensors.
        return run, torch.optim.SGD(net.parameters(), lr=common.LEARNING_RATE, fused=True)

    def train(self, request, images, labels):
        setting, batch = (request["work"], request["setting"]), request["batch"]
        if request["block"] == 0 or setting not in self.trained:
            self.trained[setting] = self.start(request["setting"])
        net, optimizer = self.trained[setting]
        first, count = common.train_range(request, len(labels))
        total = torch.zeros(())
        start = time.perf_counter()
        for i in range(first, first + count, batch):
            x, y = images[i : i + batch], labels[i : i + batch]
            if request["work"] == "adversarial_train":
                x = pgd(net, x, y)
            optimizer.zero_grad()
            loss = cross_entropy(net(x), y)
            loss.backward()
            optimizer.step()
            total += loss.detach() * len(y)
        return {"seconds": time.perf_counter() - start, "loss": total.item() / count}

    def hello(self):
        settings = list(self.nets)
        works = ("forward", "gradient", "fgsm", "mi_fgsm", "train", "adversarial_train")
        return {"name": "PyTorch", "version": torch.__version__, "work": {work: settings for work in works}}


class Torchattacks(Worker):
    """The same network under the library's attacks."""

    def run(self, request):
        import torchattacks

        images, labels = self.images(request["set"], request["setting"].split(",")[0])
        net = self.nets[request["setting"]]
        if request["work"] == "fgsm":
            attack = torchattacks.FGSM(net, eps=common.EPS)
        else:
            attack = torchattacks.MIFGSM(net, common.EPS, common.EPS / common.STEPS, common.STEPS, 1.0)
        cut = lambda i, j: (images[i:j], labels[i:j])
        return common.in_batches(request, cut, lambda x, y: attack(x, y).numpy())

    def hello(self):
        from importlib.metadata import version

        work = {work: list(self.nets) for work in ("fgsm", "mi_fgsm")}
        return {"name": "torchattacks", "version": version("torchattacks"), "work": work}


if __name__ == "__main__":
    kind = Torchattacks if sys.argv[3:] == ["torchattacks"] else Worker
    worker = kind(sys.argv[1], int(sys.argv[2]))
    common.serve(worker.hello(), worker.run)
