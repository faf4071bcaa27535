#!/usr/bin/env bash
# What serve takes on every real board with every model that is named: `./fits.sh plain plain-int8 FILE.tflite ...` prints a
# table for README.md, in kB of flash / static RAM; a dash where it does not fit.
set -euo pipefail
cd "$(dirname "$0")"

boards=(netduinoplus2 nrf52840-dk pico pico2 nucleo-h743zi)
target_of() {
    case $1 in
        pico) echo thumbv6m-none-eabi ;;
        pico2) echo thumbv8m.main-none-eabihf ;;
        *) echo thumbv7em-none-eabihf ;;
    esac
}
# Thousands of bytes, to the next.
kilo() { echo $((($1 + 999) / 1000)); }

echo "| model |$(printf ' %s |' "${boards[@]}")"
echo "|---|$(printf -- '---|%.0s' "${boards[@]}")"
for model in "$@"; do
    row="| $(basename "${model%.*}") |"
    for board in "${boards[@]}"; do
        export MIDGE_MODEL=$model
        if size=$(cargo run --quiet --release --no-default-features --features "$board" --target "$(target_of "$board")" --bin serve \
            -- --size 2> /dev/null); then
            read -r flash _ _ _ ram _ <<< "$size"
            row+=" $(kilo "$flash") / $(kilo "$ram") |"
        else
            row+=" - |"
        fi
    done
    echo "$row"
done
