#!/bin/sh
# Times the models of this folder on an Android device with onnxruntime_perf_test.
#
#   ONNXRUNTIME=/path/to/build/with/onnxruntime_perf_test ./run_adb.sh [-e nnapi ...]
#
# What is given goes to onnxruntime_perf_test as it is, after: -I (its own inputs), -r 50, and
# -x THREADS as the manifest has them. It needs adb, and a python3 for reading times; no package.
# Nothing is read between two runs: small operators may find their weights in caches.
set -eu
cd "$(dirname "$0")"
: "${ONNXRUNTIME:?set it to the folder that holds onnxruntime_perf_test for the device}"
there=/data/local/tmp/latency-kit
threads=$(python3 -c 'import json; print(json.load(open("manifest.json"))["threads"])')
adb shell mkdir -p "$there"
adb push ./*.onnx ./*.bin "$ONNXRUNTIME"/onnxruntime_perf_test "$there" >/dev/null
for library in "$ONNXRUNTIME"/*.so; do
    if [ -e "$library" ]; then adb push "$library" "$there" >/dev/null; fi
done
adb shell chmod +x "$there/onnxruntime_perf_test"
mkdir -p perf_test
for model in [0-9]*.onnx empty.onnx dense.onnx; do
    [ -e "$model" ] || continue
    echo "$model" >&2
    adb shell "cd $there && LD_LIBRARY_PATH=. ./onnxruntime_perf_test -I -r 50 -x $threads $* \
        $model" </dev/null >"perf_test/$model.log" 2>&1 || echo "$model cannot run there" >&2
done
python3 collect.py perf_test perf_test \
    --device "$(adb shell getprop ro.product.model | tr -d '\r')" --threads "$threads"
