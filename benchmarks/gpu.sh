#!/usr/bin/env bash
# Produce every CUDA figure of the documentation, in less than ten minutes on one H100 or H200:
#
#     benchmarks/gpu.sh                       # results in $OUT, default benchmarks/results/gpu
#     benchmarks/gpu.sh --device cpu          # the same in tiny sizes, to check the script
#
# It needs no network and no data set: images are random noise of the size of CIFAR-10's, because
# the time of a step does not depend on what is on an image. $PYTHON (default python3) must have
# d3gan's dependencies; the source of this repository is used. Scaling is measured with two devices.
# A part that fails does not stop the others; the status is 1 if any did.
set -u
cd "$(dirname "$0")/.." || exit 1

device=cuda
if [ "${1:-}" = --device ]; then device=${2:?--device needs cuda or cpu}; shift 2; fi
[ $# = 0 ] || { echo "usage: benchmarks/gpu.sh [--device cuda|cpu]" >&2; exit 2; }
python=${PYTHON:-python3}
out=${OUT:-benchmarks/results/gpu}
mkdir -p "$out" && out=$(cd "$out" && pwd) || exit 1
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
export PYTHONPATH="$PWD/src${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1
export D3GAN_CACHE="$work/cache" D3GAN_OFFLINE=1

if [ "$device" = cuda ]; then
    workers=4 images=50000 width=64 batches="64 256" counts="1 2 4" few=(--steps 20 --warm-up 5 --rounds 5)
else
    workers=1 images=64 width=4 batches="4 8" counts="1 2" few=(--steps 1 --warm-up 1 --rounds 1)
fi

"$python" - "$work/noise.npy" "$images" <<'PY' || exit 1
import importlib
import sys

import numpy as np

missing = []
for name in ("torch", "tyro", "rich", "tomli_w", "filelock", "platformdirs", "tensorboard",
             "matplotlib", "PIL", "pyarrow", "safetensors", "scipy", "jinja2"):
    try:
        importlib.import_module(name)
    except ImportError:
        missing.append(name)
if missing:
    sys.exit(f"gpu.sh: $PYTHON does not have: {', '.join(missing)}")
file, count = sys.argv[1], int(sys.argv[2])
np.save(file, np.random.default_rng(0).integers(0, 256, (count, 32, 32, 3), np.uint8))
PY
cat > "$work/noise.toml" <<TOML
base = "cifar10-d3gan"

[data]
source = "$work/noise.npy"

[model]
generator_width = $width
discriminator_width = $width

[eval]
features = "classifier"
every_epochs = 0.0
TOML

failed=()
part() { # NAME SECONDS COMMAND...: run a part with a limit, keep its output
    local name=$1 seconds=$2 begun=$SECONDS status
    shift 2
    echo "== $name"
    timeout -k 5 "$seconds" "$@" 2>&1 | tee "$out/$name.log"
    status=${PIPESTATUS[0]}
    echo "== $name: status $status after $((SECONDS - begun)) s"
    [ "$status" = 0 ] || failed+=("$name ($status)")
}
d3gan_bench() { # KIND JSON FLAGS...
    local kind=$1 json=$2
    shift 2
    part "$json" "$limit" "$python" -m d3gan bench "$kind" --json "$out/$json.json" \
        --device "$device" "${few[@]}" "$@"
}

part environment 30 "$python" -c '
import json, sys
import torch
from d3gan.training.environment import hardware

found = hardware() | {
    "images": "random noise, 32 x 32 x 3",
    "cudnn": torch.backends.cudnn.version(),
    "nccl": list(torch.cuda.nccl.version()) if torch.cuda.is_available() else None,
}
json.dump(found, open(sys.argv[1], "w"), indent=2)
print(json.dumps(found, indent=2))
' "$out/environment.json"

if "$python" -c 'import pytest, xdist, hypothesis, pytest_timeout' 2> "$work/missing"; then
    part tests 180 "$python" -m pytest -m gpu -n $workers -q -p no:cacheprovider \
        --junitxml "$out/tests.xml" tests/acceleration tests/evaluation tests/training
    # pytest ends with 5 if it selects no test, and with 0 if it skips all: the log says which.
else
    echo "== tests: left out, $(tail -n 1 "$work/missing")" | tee "$out/tests.log"
    failed+=("tests (left out)")
fi

preset="$work/noise.toml"
limit=100
for precision in fp32 bf16; do
    d3gan_bench step "step-$precision" --preset "$preset" --discriminators $counts \
        --batch-sizes $batches --precisions "$precision"
done
limit=50
d3gan_bench step step-tf32 --preset "$preset" --discriminators 2 --batch-sizes $batches \
    --precisions tf32
d3gan_bench data data --preset "$preset" --batch-size "${batches%% *}"
devices=$("$python" -c 'import torch; print(torch.cuda.device_count())')
if [ "$devices" -ge 2 ] || [ "$device" = cpu ]; then
    d3gan_bench scaling scaling --presets "$preset" --batch-size "${batches%% *}" --processes 1 2 \
        --scalings weak
else
    echo "== scaling: left out, there are fewer than two devices"
fi

echo "== $SECONDS s, results in $out"
if [ ${#failed[@]} -gt 0 ]; then
    echo "== failed: ${failed[*]}"
    exit 1
fi
