#!/usr/bin/env bash
# All checks; `./ci.sh JOB ...` runs only the named ones: fmt clippy docs no_std licences demo test miri fuzz
# arm firmware boards.
# Needs rustup. With MIDGE_DATA naming a folder of MNIST files, the tests also run on real digits; with MIDGE_DEPLOYED naming
# one of `.tflite` files, on those.
set -euo pipefail
cd "$(dirname "$0")"

targets=(thumbv6m-none-eabi thumbv7em-none-eabihf thumbv8m.main-none-eabihf riscv32imac-unknown-none-elf)

# Says what was left out; the end of the run repeats it.
not_run=()
not_run() {
    not_run+=("$1")
    echo "NOT RUN: $1"
}

fmt() { cargo fmt --all -- --check; }
clippy() {
    cargo clippy --workspace --all-targets -- -D warnings
    # What features bring may be left out.
    cargo clippy -p midge-trainer --lib --no-default-features -- -D warnings
}
docs() { RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps; }

# The core for every target. Its only feature, `std`, is for hosts and covered by the other jobs.
no_std() {
    rustup target add "${targets[@]}"
    for target in "${targets[@]}"; do
        cargo clippy -p midge-core -p midge-link --target "$target" -- -D warnings
    done
}

# Every dependency comes from crates.io under a licence that asks for no more than its text.
licences() {
    mkdir -p target
    local known='MIT|Apache-2.0|BSD-2-Clause|BSD-3-Clause|0BSD|ISC|Zlib|Unicode-3.0|Unlicense|CC0-1.0|BSL-1.0'
    # For parts of a runner or of drivers, none of which is in what a user of the core ships.
    local tools='MPL-2.0'
    for manifest in Cargo.toml firmware/Cargo.toml; do
        cargo tree --locked --manifest-path $manifest --workspace --all-features --target all \
            --edges normal,build,dev --prefix none --format '{l} | {p}' > target/licences
        # What is joined by AND has to be known part by part, of what is joined by OR one is enough.
        awk -F ' [|] ' -v known="(^|[^A-Za-z0-9.-])($known|$tools)([^A-Za-z0-9.-]|\$)" '
            NF { count++; parts = split($1, part, " AND "); found = parts > 0
              for (i in part) if (part[i] !~ known) found = 0
              if (!found) { print "licence " $1 ": " $2; bad = 1 } }
            END { if (count < 50) { print "only " count + 0 " packages were listed"; bad = 1 }
                  exit bad }' target/licences
        if grep -n '^source = ' "${manifest%toml}lock" | grep -v '"registry+https://github.com/rust-lang/crates.io-index"'; then
            echo "${manifest%toml}lock: a dependency that is not from crates.io"
            return 1
        fi
    done
}

# The README's first command, from a folder that it may write to.
demo() { cargo run --release -- demo --out target/midge-demo.png; }

# Everything in a debug build, whose checks find more; then, on real digits, the tables that take too long there.
test() {
    cargo test
    if [ -d "${MIDGE_DATA:-}/../oracle" ]; then
        cargo test --release -p midge-trainer --test oracle -- --include-ignored
    elif [ -n "${MIDGE_DATA:-}" ]; then
        not_run "the tables of Keras's model; there is no folder oracle beside MIDGE_DATA"
        cargo test --release -p midge-trainer --test oracle -- --ignored the_data the_bundled
    else
        not_run "tables and accuracies on real digits; MIDGE_DATA names no folder of MNIST files"
    fi
    if [ -d "${MIDGE_DEPLOYED:-}/models" ]; then
        cargo test --release -p midge-trainer --test deployed -- --include-ignored
    else
        not_run "models that run on real microcontrollers; MIDGE_DEPLOYED names no folder of their files"
    fi
}

# The core's unit tests in an interpreter that sees undefined behaviour.
miri() {
    if cargo +nightly miri --version > /dev/null 2>&1; then
        # As on a device: what needs `std` takes an interpreter hours, and so do the camera's tests, which try 2^24 numbers.
        cargo +nightly miri test -p midge-core --lib -- --skip camera::
    else
        not_run "Miri; rustup toolchain install nightly --component miri,rust-src"
    fi
}

# Each fuzz target for a short while, from the committed seeds on. (The tests run the seeds too, without a fuzzer.)
fuzz() {
    if ! cargo +nightly fuzz --version > /dev/null 2>&1; then
        not_run "fuzzing; rustup toolchain install nightly, and cargo install --locked cargo-fuzz"
        return
    fi
    # The fuzzer keeps what it finds interesting in the first folder, which is not committed. A target takes one core, so two
    # run beside each other.
    mkdir -p target
    cargo +nightly fuzz build --fuzz-dir tests/fuzz
    cargo +nightly fuzz list --fuzz-dir tests/fuzz | xargs -P 2 -I NAME sh -c '
        mkdir -p tests/fuzz/corpus/NAME
        if cargo +nightly fuzz run --fuzz-dir tests/fuzz NAME "$PWD/tests/fuzz/corpus/NAME" "$PWD/tests/fuzz/seeds/NAME" \
            -- -max_total_time=15 -timeout=20 > target/fuzz-NAME.log 2>&1; then
            echo "NAME: $(tail -n 1 target/fuzz-NAME.log)"
        else
            cat target/fuzz-NAME.log
            exit 1
        fi'
}

# The kernels with NEON, on an emulated processor; `apt install qemu-user gcc-aarch64-linux-gnu libc6-dev-arm64-cross`.
arm() (
    rustup target add aarch64-unknown-linux-gnu
    export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
    export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="qemu-aarch64 -L /usr/aarch64-linux-gnu"
    cargo test --release --target aarch64-unknown-linux-gnu -p midge-core --features std --test reference
    # Integers with the dot product of four bytes, and on a processor without it.
    cargo test --release --target aarch64-unknown-linux-gnu -p midge-core --features std --lib int8
    QEMU_CPU=cortex-a57 cargo test --release --target aarch64-unknown-linux-gnu -p midge-core --features std --lib int8
)

flip_link() { command -v flip-link > /dev/null || cargo install --locked flip-link; }

# A program of the firmware with a model and images of `MIDGE_DEPLOYED`.
deployed() {
    local model=$1 images=$2 program=$3
    shift 3
    MIDGE_MODEL=$MIDGE_DEPLOYED/models/$model.tflite MIDGE_DATA=$MIDGE_DEPLOYED/reference/$images.safetensors \
        cargo run --release --bin "$program" -- "$@"
}

# `midge`, from the firmware's folder.
host() { cargo run --quiet --release --target host-tuple --manifest-path ../Cargo.toml --package midge-trainer -- "$@"; }

# An emulated board with a model at the end of its line, measured beside the host on digits that midge draws: every class is the
# host's. MIDGE_RAM builds it as if the board had no more, and without MIDGE_MOMENTUM=no there is memory for every attack.
on_the_line() {
    local board=$1 model=$2
    shift 2
    host device --emulator "$board" --timeout 120 --model "$model" evaluate --data synthetic "$@" --check --min-agreement 1
}

# The firmware on emulated boards: the same results as on the host, no panic, no more code, RAM or instructions.
firmware() (
    rustup target add "${targets[@]}"
    flip_link
    # With the build that `cargo run` in this folder uses too.
    cargo test --profile runner --target host-tuple --package midge-run
    cd firmware
    cargo fmt -- --check
    cargo clippy --release --bins -- -D warnings
    # All at once: each is linked by one core, for a while. minimal, every_attack and camera do not link if
    # the core can reach a panic.
    cargo build --release --bins
    cargo run --release --bin minimal -- --flash 24576
    cargo run --release --bin every_attack -- --flash 28672
    cargo run --release --bin demo
    # Boards as instruments. All that serve takes of RAM: 26 kB with MI-FGSM in f32, 20 kB with FGSM in integers.
    host export --model plain --dtype f32 --out ../target/plain-f32.safetensors
    on_the_line mps2-an386 plain --limit 4 --attack fgsm --eps 0.2
    MIDGE_RAM=26K on_the_line mps2-an386 ../target/plain-f32.safetensors --limit 2 --attack mi-fgsm --eps 0.2
    MIDGE_RAM=20K MIDGE_MOMENTUM=no on_the_line netduinoplus2 plain-int8 --limit 4 --attack fgsm --eps 51q
    on_the_line mps3-an547 plain-int8 --limit 4 --attack mi-fgsm --eps 51q
    if command -v npm > /dev/null; then
        npm ci --silent --no-audit --no-fund --prefix run/pico
        on_the_line pico plain-int8 --limit 2 --attack fgsm --eps 51q
    else
        not_run "the emulated Pico; apt install nodejs npm"
    fi
    # An emulator takes one core, so two run beside each other.
    cargo run --release --bin selftest &
    cargo run --release --bin bench -- --check ../benches/device.txt
    wait $!
    # Networks of integers of all kinds: the assembly makes the host's bytes at odd sizes, shifts and borders too.
    cargo run --quiet --release --target host-tuple --manifest-path ../Cargo.toml --package midge-trainer --example random_int8 -- \
        ../target/random-int8
    local number
    for number in 0 1 2 6 8 11 12; do
        MIDGE_MODEL=../target/random-int8/$number.safetensors cargo run --release --bin selftest
    done
    # Models of integers: their logits are the host's bytes, and it is noticed if they cost more.
    if [ -d "${MIDGE_DEPLOYED:-}/models" ]; then
        deployed kws_dscnn_int8 kws bench --check ../benches/device-kws_dscnn_int8.txt
        deployed kws_dscnn_int8 kws minimal --flash 47616
        deployed kws_dscnn_int8 kws demo
        deployed kws_dscnn_int8 kws selftest
        deployed mnist_cnn_int8 mnist_cnn selftest
        deployed ic_resnet8_int8 ic_synthetic selftest
        deployed vww_mobilenet_int8 vww_synthetic selftest
        deployed sww_conv1d_int8 sww selftest
    else
        not_run "models of real microcontrollers on the board; MIDGE_DEPLOYED names no folder of their files"
    fi
    # Other processors, on the bundled digits only.
    unset MIDGE_DATA
    cargo run --release --no-default-features --features qemu-an500 --bin selftest &
    cargo run --release --no-default-features --features qemu-an505 --target thumbv8m.main-none-eabihf --bin selftest
    wait $!
    MIDGE_MODEL=plain-int8 \
        cargo run --release --no-default-features --features qemu-an505 --target thumbv8m.main-none-eabihf --bin selftest
)

# The real boards: everything has to fit.
boards() (
    rustup target add "${targets[@]}"
    flip_link
    cd firmware
    cargo clippy --release --no-default-features --features pico2 --target thumbv8m.main-none-eabihf --bins -- -D warnings
    cargo build --release --no-default-features --features pico2 --target thumbv8m.main-none-eabihf --bins
    cargo build --release --no-default-features --features nucleo-h743zi --bins
    # Those that take models of integers only.
    export MIDGE_MODEL=plain-int8
    cargo clippy --release --no-default-features --features pico --target thumbv6m-none-eabi --bins -- -D warnings
    cargo build --release --no-default-features --features pico --target thumbv6m-none-eabi --bins
    cargo clippy --release --no-default-features --features nrf52840-dk --bins -- -D warnings
    cargo build --release --no-default-features --features nrf52840-dk --bins
)

if [ $# -eq 0 ]; then set -- fmt clippy docs no_std licences demo test miri fuzz arm firmware boards; fi
for job in "$@"; do
    echo "== $job"
    SECONDS=0
    "$job"
    echo "== $job took $SECONDS s"
done
for what in ${not_run[@]+"${not_run[@]}"}; do echo "NOT RUN: $what"; done
