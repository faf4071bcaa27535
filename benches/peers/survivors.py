#!/usr/bin/env python3
"""Which images stand under AutoAttack and under midge's own suite, one by one.

    python3 benches/peers/autoattack.py --model robust.safetensors --limit 1000 --out autoattack.json
    midge evaluate --robust --model robust.safetensors --eps 0.3 --limit 1000 --json > midge.json
    python3 benches/peers/survivors.py autoattack.json midge.json
"""

import json
import sys


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__.strip())
    theirs, ours = (json.load(open(path)) for path in sys.argv[1:])
    if (theirs["limit"], round(theirs["eps"], 6)) != (ours["samples"], round(ours["eps"], 6)):
        sys.exit(f"survivors.py: {theirs['limit']} images at eps {theirs['eps']} and {ours['samples']} at {ours['eps']}")
    left = {}
    for batch in theirs["batches"].values():
        for attack, images in batch.items():
            left.setdefault(attack, set()).update(images)
    right = left["none"]
    fallen = {image: row["attack"] for row in ours["attacks"] for image in row["fallen"]}
    if len(right) != ours["correct"] or not set(fallen) <= right:
        sys.exit(f"survivors.py: {len(right)} images are right without an attack, and {ours['correct']}: other models or images")
    felled = right - left["Square"]
    both = felled & set(fallen)
    print(f"right without an attack  {len(right)}")
    print(f"stand under AutoAttack   {len(left['Square'])}")
    print(f"stand under midge        {len(right) - len(fallen)}")
    print(f"AutoAttack fells {len(felled)}, midge {len(both)} of them and {len(set(fallen) - felled)} others")
    missed = sorted(felled - both)
    if missed:
        print(f"missed: {missed}")


if __name__ == "__main__":
    main()
