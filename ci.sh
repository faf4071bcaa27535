#!/usr/bin/env bash
# All checks; `./ci.sh JOB ...` runs only the named ones: fmt clippy docs no_std demo test
# arm firmware boards.
# Needs rustup. With MIDGE_DATA naming a folder of MNIST files, the tests also run on real digits.
set -euo pipefail
cd "$(dirname "$0")"

targets=(thumbv6m-none-eabi thumbv7em-none-eabihf thumbv8m.main-none-eabihf riscv32imac-unknown-none-elf)

fmt() { cargo fmt --all -- --check; }
clippy() { cargo clippy --workspace --all-targets -- -D warnings; }
docs() { RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps; }
# The kernels with NEON, on an emulated processor; `apt install qemu-user gcc-aarch64-linux-gnu libc6-dev-arm64-cross`.
arm() (
    rustup target add aarch64-unknown-linux-gnu
    export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
    export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="qemu-aarch64 -L /usr/aarch64-linux-gnu"
    cargo test --release --target aarch64-unknown-linux-gnu -p midge-core --features std --test reference
)

# Everything in a debug build, whose checks find more; then, on real digits, the tables that take too long there.
test() {
    cargo test
    cargo test --release -p midge-trainer --test oracle
}

# The core for every target. Its only feature, `std`, is for hosts and covered by the other jobs.
no_std() {
    rustup target add "${targets[@]}"
    for target in "${targets[@]}"; do
        cargo clippy -p midge-core --release --target "$target" -- -D warnings
    done
}

# The README's first command, from a folder that it may write to.
demo() { cargo run --release -- demo --out target/midge-demo.png; }

# The firmware on emulated boards: the same results as on the host, no panic, no more code, RAM or instructions.
firmware() (
    rustup target add "${targets[@]}"
    command -v flip-link > /dev/null || cargo install --locked flip-link
    # With the build that `cargo run` in this folder uses too.
    cargo test --release --target host-tuple --package midge-run
    cd firmware
    cargo fmt -- --check
    cargo clippy --release --bins -- -D warnings
    # All at once: each is linked by one core, for a while. The first two do not link if the core can reach a panic.
    cargo build --release --bins
    cargo run --release --bin minimal -- --flash 24576
    cargo run --release --bin every_attack -- --flash 32768
    cargo run --release --bin demo
    # An emulator takes one core, so two run beside each other.
    cargo run --release --bin selftest &
    cargo run --release --bin bench -- --check ../benches/device.txt
    wait $!
    # Other processors, on the bundled digits only.
    unset MIDGE_DATA
    cargo run --release --no-default-features --features qemu-an500 --bin selftest &
    cargo run --release --no-default-features --features qemu-an505 --target thumbv8m.main-none-eabihf --bin selftest
    wait $!
)

# The real boards: everything has to fit.
boards() (
    rustup target add "${targets[@]}"
    command -v flip-link > /dev/null || cargo install --locked flip-link
    cd firmware
    cargo clippy --release --no-default-features --features pico2 --target thumbv8m.main-none-eabihf --bins -- -D warnings
    cargo build --release --no-default-features --features pico2 --target thumbv8m.main-none-eabihf --bins
    cargo build --release --no-default-features --features nucleo-h743zi --bins
)

if [ $# -eq 0 ]; then set -- fmt clippy docs no_std demo test arm firmware boards; fi
for job in "$@"; do
    echo "== $job"
    SECONDS=0
    "$job"
    echo "== $job took $SECONDS s"
done
