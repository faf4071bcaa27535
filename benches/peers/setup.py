"""Installs and builds all that `run.py` compares, in a folder under target/."""

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent

# Name: virtual environment and command, with {python}, {threads} and {folder}; which thread counts it is measured at.
RUST_THREADS, ALL_THREADS = (1,), (1, 2)
PEERS = {
    "torch": ("torch", "worker_torch.py", ALL_THREADS),
    "torchattacks": ("torch", "worker_torch.py", ALL_THREADS),
    "tensorflow": ("tensorflow", "worker_tensorflow.py", ALL_THREADS),
    "onnxruntime": ("onnxruntime", "worker_onnxruntime.py", ALL_THREADS),
    "tract": (None, "tract", RUST_THREADS),
    "candle": (None, "candle", RUST_THREADS),
    "burn": (None, "burn", RUST_THREADS),
}


def step(what, command, **options):
    print(f"-- {what}", flush=True)
    done = subprocess.run([str(word) for word in command], check=False, **options)
    if done.returncode != 0:
        sys.exit(f"run.py: {what} failed: {' '.join(map(str, command))}")


def python(folder, name):
    return folder / name / "bin" / "python"


def virtual_environment(folder, name):
    """A virtual environment with the pinned packages; kept until the pins change."""
    requirements = HERE / "requirements" / f"{name}.txt"
    stamp = folder / name / "installed.txt"
    if stamp.is_file() and stamp.read_text() == requirements.read_text():
        return
    step(f"{name}: virtual environment", [sys.executable, "-m", "venv", folder / name])
    install = [python(folder, name), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    step(f"{name}: packages (gigabytes, once)", [*install, "-r", requirements])
    stamp.write_text(requirements.read_text())


def midge_worker():
    return ROOT / "target" / "release" / "examples" / "worker"


def set_up(folder, peers, data, train_images, test_images):
    """Builds, writes the inputs and installs `peers`."""
    folder.mkdir(parents=True, exist_ok=True)
    step("midge: release build", ["cargo", "build", "--release", "--example", "worker"], cwd=ROOT)
    step("inputs", [midge_worker(), "prepare", folder, data, str(train_images), str(test_images)])
    for name in sorted({PEERS[peer][0] for peer in peers} - {None} | ({"onnxruntime"} if "tract" in peers else set())):
        virtual_environment(folder, name)
    rust = [peer for peer in peers if PEERS[peer][0] is None]
    if rust:
        native = os.environ | {"RUSTFLAGS": "-C target-cpu=native", "CARGO_TARGET_DIR": str(folder / "rust")}
        step("Rust libraries: release build", ["cargo", "build", "--release", "--locked"], cwd=HERE / "rust", env=native)
    if {"onnxruntime", "tract"} & set(peers):
        step("model.onnx", [python(folder, "onnxruntime"), HERE / "worker_onnxruntime.py", folder, "export"])


def command(folder, name, threads):
    """How to start a worker."""
    if name == "midge":
        return [midge_worker(), folder, threads]
    environment, program, _ = PEERS[name]
    if environment is None:
        return [folder / "rust" / "release" / "midge-peers", program, folder, threads]
    extra = ["torchattacks"] if name == "torchattacks" else []
    return [python(folder, environment), HERE / program, folder, threads, *extra]


def environment(folder, threads):
    """The same number of threads for every library, and no emulation of an older processor."""
    variables = {k: v for k, v in os.environ.items() if not k.startswith("OPENBLAS_")}
    counts = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS")
    return variables | {name: str(threads) for name in counts} | {
        "KERAS_BACKEND": "tensorflow",
        "TF_CPP_MIN_LOG_LEVEL": "2",
        "CUDA_VISIBLE_DEVICES": "",
        "TORCHINDUCTOR_CACHE_DIR": str(folder / "torch-inductor"),
    }
