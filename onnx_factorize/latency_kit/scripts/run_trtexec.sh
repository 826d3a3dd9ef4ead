#!/bin/sh
# Times the models of this folder with TensorRT's trtexec, and writes results.json.
#
#   ./run_trtexec.sh [--fp16 ...]        what is given goes to trtexec as it is
#
# It needs trtexec in the PATH, and a python3 for reading its times; no package.
# Nothing is read between two runs: small operators may find their weights in caches.
# The precision and the device that the results name are TRT_PRECISION and TRT_DEVICE.
set -eu
cd "$(dirname "$0")"
command -v trtexec >/dev/null || { echo "run_trtexec.sh: no trtexec in the PATH" >&2; exit 1; }
mkdir -p trtexec
for model in [0-9]*.onnx empty.onnx dense.onnx; do
    [ -e "$model" ] || continue
    echo "$model" >&2
    rm -f "trtexec/$model.json"
    trtexec --onnx="$model" --exportTimes="trtexec/$model.json" "$@" \
        >"trtexec/$model.log" 2>&1 || echo "$model cannot run here" >&2
done
python3 collect.py trtexec trtexec \
    --device "${TRT_DEVICE:-$(nvidia-smi --query-gpu=name --format=csv,noheader | head -n 1)}" \
    --precision "${TRT_PRECISION:-fp32}" \
    --version "$(sed -n 's/.*TensorRT[^0-9]*\([0-9][0-9.]*\).*/\1/p' trtexec/*.log | head -n 1)"
