"""Makes the PyTorch and ONNX models that import.rs compares midge with: four small networks with random weights.

    pip install torch safetensors onnx onnxscript        # CPU versions
    python make_torch.py                                 # writes files beside this script

NAME.check.safetensors has `inputs` (32 images, N C H W, U8: 255 is 1), `outputs` (PyTorch's logits) and, as metadata, `network`
(the architecture in midge's words), `mean` and `std` (what the images were normalised with, if they were).
"""

import pathlib
import warnings

import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional

FOLDER = pathlib.Path(__file__).parent
IMAGES = 32


class Mnist(nn.Module):
    """The MNIST example of PyTorch's documentation, with fewer channels."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 4, 3, 1)
        self.conv2 = nn.Conv2d(4, 5, 3, 1)
        self.dropout1 = nn.Dropout(0.25)
        self.dropout2 = nn.Dropout(0.5)
        self.fc1 = nn.Linear(720, 12)
        self.fc2 = nn.Linear(12, 10)

    def forward(self, x):
        x = functional.relu(self.conv1(x))
        x = functional.relu(self.conv2(x))
        x = self.dropout1(functional.max_pool2d(x, 2))
        x = torch.flatten(x, 1)
        x = self.dropout2(functional.relu(self.fc1(x)))
        return functional.log_softmax(self.fc2(x), dim=1)

    def logits(self, x):
        x = functional.relu(self.conv2(functional.relu(self.conv1(x))))
        x = torch.flatten(functional.max_pool2d(x, 2), 1)
        return self.fc2(functional.relu(self.fc1(x)))


class LeNet(nn.Module):
    """LeNet-5 with ReLUs and maxima, with fewer channels."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 3, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(3, 6, 5), nn.ReLU(), nn.MaxPool2d(2)
        )
        self.classifier = nn.Sequential(
            nn.Flatten(), nn.Linear(150, 24), nn.ReLU(), nn.Dropout(), nn.Linear(24, 16), nn.ReLU(), nn.Linear(16, 10)
        )

    def forward(self, x):
        return self.classifier(self.features(x))


class Cnn(nn.Module):
    """Four convolutions with BatchNorm, paddings 1, 0 and 2 and a stride of 2, on images that are not square."""

    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4)
        self.conv2, self.bn2 = nn.Conv2d(4, 6, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(6)
        self.conv3, self.bn3 = nn.Conv2d(6, 6, 3), nn.BatchNorm2d(6)
        self.conv4, self.bn4 = nn.Conv2d(6, 5, 3, padding=2, bias=False), nn.BatchNorm2d(5)
        self.fc = nn.Linear(5 * 6 * 7, 7)

    def forward(self, x):
        x = functional.relu(self.bn1(self.conv1(x)))
        x = functional.relu(self.bn2(self.conv2(x)))
        x = functional.max_pool2d(functional.relu(self.bn3(self.conv3(x))), 2)
        x = functional.relu(self.bn4(self.conv4(x)))
        return self.fc(x.view(x.size(0), -1))


class Residual(nn.Module):
    """A block with half the resolution at its end (He et al., arXiv 1512.03385), between a convolution and an average."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6), nn.ReLU())
        self.conv1, self.bn1 = nn.Conv2d(6, 8, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(8)
        self.conv2, self.bn2 = nn.Conv2d(8, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8)
        self.downsample = nn.Sequential(nn.Conv2d(6, 8, 1, stride=2, bias=False), nn.BatchNorm2d(8))
        self.fc = nn.Linear(8, 5)

    def forward(self, x):
        x = self.stem(x)
        y = functional.relu(self.bn1(self.conv1(x)))
        x = functional.relu(self.bn2(self.conv2(y)) + self.downsample(x))
        return self.fc(functional.adaptive_avg_pool2d(x, 1).flatten(1))


CASES = {
    "mnist": (
        Mnist,
        (1, 28, 28),
        ([0.1307], [0.3081]),
        "input(28,28,1) conv2d(filters=4,kernel=3,padding=0) relu conv2d(filters=5,kernel=3,padding=0) relu "
        "maxpool2d(pool=2) flatten dense(units=12) relu dense(units=10)",
    ),
    "lenet": (
        LeNet,
        (1, 28, 28),
        None,
        "input(28,28,1) conv2d(filters=3,kernel=5,padding=2) relu maxpool2d(pool=2) conv2d(filters=6,kernel=5,padding=0) relu "
        "maxpool2d(pool=2) flatten dense(units=24) relu dense(units=16) relu dense(units=10)",
    ),
    "cnn": (
        Cnn,
        (3, 20, 26),
        ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
        "input(20,26,3) conv2d(filters=4,kernel=3,padding=1) relu conv2d(filters=6,kernel=3,stride=2,padding=1) relu "
        "conv2d(filters=6,kernel=3,padding=0) relu maxpool2d(pool=2,padding=valid) conv2d(filters=5,kernel=3,padding=2) relu "
        "flatten dense(units=7)",
    ),
    "residual": (
        Residual,
        (3, 16, 16),
        None,
        "input(16,16,3) conv2d(filters=6,kernel=3,padding=1) relu conv2d(filters=8,kernel=3,stride=2,padding=1) relu "
        "conv2d(filters=8,kernel=3,padding=1) from(layer=1) conv2d(filters=8,kernel=1,stride=2,padding=0) add(layer=4) relu "
        "avgpool2d(pool=8) flatten dense(units=5)",
    ),
}


def model(make):
    """With statistics of normalisations that are no longer those of the start."""
    result = make()
    for module in result.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.2)
            module.running_mean.normal_(0, 0.2)
            module.running_var.uniform_(0.3, 2)
            module.num_batches_tracked.fill_(7)
    return result.eval()


def save_states(name, net):
    """The weights in every form."""
    state = net.state_dict()
    save_file(state, FOLDER / f"{name}.safetensors")
    torch.save(state, FOLDER / f"{name}.pt")
    torch.save(state, FOLDER / f"{name}.legacy.pt", _use_new_zipfile_serialization=False)
    torch.save(nn.DataParallel(net).state_dict(), FOLDER / f"{name}.parallel.pth")
    save_file({f"_orig_mod.{key}": value for key, value in state.items()}, FOLDER / f"{name}.compiled.safetensors")
    lightning = {
        "epoch": 3,
        "global_step": 1200,
        "pytorch-lightning_version": "2.5.0",
        "state_dict": {f"model.{key}": value for key, value in state.items()},
        "loops": {"fit_loop": {"state_dict": {}, "epoch_progress": {"total": {"ready": 4}}}},
        "optimizer_states": [{"state": {0: {"step": torch.tensor(3.0)}}, "param_groups": [{"lr": 1e-3, "betas": (0.9, 0.999)}]}],
        "lr_schedulers": [],
        "hparams_name": "kwargs",
        "hyper_parameters": {"lr": 1e-3},
    }
    torch.save(lightning, FOLDER / f"{name}.lightning.ckpt")
    if name == "residual":
        for kind in [torch.float64, torch.float16, torch.bfloat16]:
            other = {key: value.to(kind) if value.is_floating_point() else value for key, value in state.items()}
            torch.save({"epoch": 1, "model_state_dict": other}, FOLDER / f"{name}.{str(kind)[6:]}.pt")


def save_onnx(name, net, shape):
    """By both exporters; the old one with several versions of the operators."""
    images = torch.rand(1, *shape)
    names = {"input_names": ["image"], "output_names": ["logits"]}
    for opset in [7, 17]:
        path = FOLDER / f"{name}.opset{opset}.onnx"
        axes = {"image": {0: "batch"}, "logits": {0: "batch"}}
        torch.onnx.export(net, (images,), path, opset_version=opset, dynamo=False, dynamic_axes=axes, **names)
    path = FOLDER / f"{name}.dynamo.onnx"
    torch.onnx.export(net, (images,), path, dynamo=True, external_data=False, verbose=False, **names)


def main():
    warnings.filterwarnings("ignore")
    for number, (name, (make, shape, normalisation, network)) in enumerate(CASES.items()):
        torch.manual_seed(number)
        net = model(make)
        inputs = torch.randint(0, 256, (IMAGES, *shape), dtype=torch.uint8)
        inputs[torch.rand(inputs.shape) < 0.4] = 0
        pixels = inputs.double() / 255
        metadata = {"network": network}
        if normalisation:
            mean, std = (torch.tensor(numbers).double().view(1, -1, 1, 1) for numbers in normalisation)
            pixels = (pixels - mean) / std
            metadata |= dict(zip(["mean", "std"], (",".join(map(str, numbers)) for numbers in normalisation)))
        with torch.no_grad():
            double = make().double().eval()
            double.load_state_dict(net.state_dict())
            outputs = getattr(double, "logits", double)(pixels).float()
        save_file({"inputs": inputs, "outputs": outputs}, FOLDER / f"{name}.check.safetensors", metadata)
        save_states(name, net)
        save_onnx(name, net, shape)


if __name__ == "__main__":
    main()
