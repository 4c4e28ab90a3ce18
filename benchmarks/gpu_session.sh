#!/usr/bin/env bash
# One leg of work on a borrowed machine with a GPU, of at most nine minutes: GPU tests, benchmarks, then training from
# generated data, which stops in time. The next leg goes on where this one stopped, on this machine or on another:
#
#     benchmarks/gpu_session.sh                       tests, bench and train
#     STAGES=train benchmarks/gpu_session.sh          only training
#     DRY=1 benchmarks/gpu_session.sh                 the same steps in a minute on a CPU, at toy sizes
#
# It needs PyTorch, Accelerate, Numba, Pillow and safetensors; no installation, no network, no Brian2, no tyro.
# OUT      folder that is brought home; everything to keep is in OUT/session.tar.gz (runs, results, benchmarks, log)
# RESUME   session.tar.gz of the leg before, if there was one
# LEG      seconds this leg may take
# TASKS, MODELS, SEEDS, PRECISION, DATA     what is trained, and where generated data are kept
set -euo pipefail
cd "$(dirname "$0")/.."
begun=$(date +%s)
DRY=${DRY:-}
PYTHON=${PYTHON:-python3}
STAGES=${STAGES:-tests bench train}
LEG=${LEG:-540}
OUT=$(mkdir -p "${OUT:-runs/gpu}" && cd "${OUT:-runs/gpu}" && pwd)
RESUME=${RESUME:-runs/session.tar.gz}
export TASKS=${TASKS:-${DRY:+recall}} MODELS=${MODELS:-rmaat rmt-amrb linear} SEEDS=${SEEDS:-0}
export TASKS=${TASKS:-listops} DATA=${DATA:-data} PRECISION=${PRECISION:-bf16} DRY
export WORK=$OUT/session PYTHONUNBUFFERED=1 PYTHONPATH=$PWD${PYTHONPATH:+:$PYTHONPATH}

mkdir -p "$WORK"
if [ -f "$RESUME" ]; then tar -xzf "$RESUME" -C "$WORK"; fi
pack() { tar -czf "$OUT/session.tar.gz.part" -C "$WORK" . && mv "$OUT/session.tar.gz.part" "$OUT/session.tar.gz"; }
trap 'pack; rm -rf "$WORK"' EXIT
exec > >(tee -a "$WORK/session.log") 2>&1
left() { echo $((LEG - ($(date +%s) - begun) - 15)); } # fifteen seconds for packing

echo "== $(date -u +%FT%TZ) stages: $STAGES, $LEG s"
"$PYTHON" -c 'import torch; print("torch", torch.__version__, torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU")'

for stage in $STAGES; do
  echo "== $stage, $(left) s left"
  case $stage in
    tests)
      if "$PYTHON" -c 'import pytest' 2>/dev/null; then
        timeout "$(left)" "$PYTHON" -m pytest -q -m gpu tests/rmaat || [ $? -eq 5 ] # 5: nothing was selected
      else
        echo "no pytest here: GPU tests left out"
      fi
      ;;
    bench | train)
      LEFT=$(left) timeout "$(left)" "$PYTHON" benchmarks/gpu_session.py "$stage"
      ;;
    *)
      echo "error: STAGES must be of tests, bench and train, got $stage" >&2
      exit 2
      ;;
  esac
done
