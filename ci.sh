#!/usr/bin/env bash
# All checks; `./ci.sh JOB ...` runs only the named ones: fmt clippy docs test no_std demo.
# Needs rustup. With MIDGE_DATA naming a folder of MNIST files, the tests also run on real digits.
set -euo pipefail
cd "$(dirname "$0")"

targets=(thumbv6m-none-eabi thumbv7em-none-eabihf thumbv8m.main-none-eabihf riscv32imac-unknown-none-elf)

fmt() { cargo fmt --all -- --check; }
clippy() { cargo clippy --workspace --all-targets -- -D warnings; }
docs() { RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps; }
# Everything in a debug build, whose checks find more; then, on real digits, the tables that take too long there.
test() {
    cargo test
    cargo test --release --test oracle
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

if [ $# -eq 0 ]; then set -- fmt clippy docs no_std demo test; fi
for job in "$@"; do
    echo "== $job"
    "$job"
done
