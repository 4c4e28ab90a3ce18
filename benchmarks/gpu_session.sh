#!/usr/bin/env bash
# Work on a borrowed machine with a GPU, in legs of at most nine minutes: the GPU tests, benchmarks, then training from
# generated data, which stops in time. The next leg goes on where this one stopped, on this machine or on another:
#
#     benchmarks/gpu_session.sh                       tests, bench and train
#     STAGES="tests bench" benchmarks/gpu_session.sh  the first two alone, some five minutes
#     STAGES="tune train" benchmarks/gpu_session.sh   sizes of the kernels' tiles, then training
#     DRY=1 benchmarks/gpu_session.sh                 the same steps in a minute or two on a CPU, at toy sizes
#
# It needs PyTorch, Triton, Accelerate, Numba, Pillow and safetensors, and for the tests pytest and Hypothesis; no
# installation, no network, no Brian2, no tyro. A stage that fails is printed in full, and the others still run.
# OUT      folder that is brought home: bench.jsonl (one measurement a line, written as it comes), session.log, and
#          session.tar.gz with runs and results
# RESUME   session.tar.gz of the leg before, if there was one
# LEG      seconds this leg may take; TESTS, BENCH and TUNE those of these stages at most
# TASKS, MODELS, SEEDS, PRECISION, DATA     what is trained, and where generated data are kept
set -euo pipefail
cd "$(dirname "$0")/.."
begun=$(date +%s)
DRY=${DRY:-}
PYTHON=${PYTHON:-python3}
STAGES=${STAGES:-tests bench train}
LEG=${LEG:-540}
export OUT=$(mkdir -p "${OUT:-runs/gpu}" && cd "${OUT:-runs/gpu}" && pwd)
RESUME=${RESUME:-runs/session.tar.gz}
export TASKS=${TASKS:-${DRY:+recall}} MODELS=${MODELS:-rmaat rmt-amrb linear} SEEDS=${SEEDS:-0}
export TASKS=${TASKS:-listops} DATA=${DATA:-data} PRECISION=${PRECISION:-bf16} DRY
export WORK=$OUT/session PYTHONUNBUFFERED=1 PYTHONPATH=$PWD${PYTHONPATH:+:$PYTHONPATH}

mkdir -p "$WORK"
if [ -f "$RESUME" ]; then tar -xzf "$RESUME" -C "$WORK"; fi
pack() { tar -czf "$OUT/session.tar.gz.part" -C "$WORK" . && mv "$OUT/session.tar.gz.part" "$OUT/session.tar.gz"; }
trap 'pack; rm -rf "$WORK"' EXIT
exec > >(tee -a "$OUT/session.log") 2>&1
left() { echo $((LEG - ($(date +%s) - begun) - 15)); } # fifteen seconds for packing
limit() { local most=$1 now; now=$(left); echo $((now < most ? now : most)); }

echo "== $(date -u +%FT%TZ) stages: $STAGES, $LEG s"
"$PYTHON" -c 'import torch; print("torch", torch.__version__, torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU")'

failed=
for stage in $STAGES; do
  echo "== $stage, $(left) s left"
  case $stage in
    tests)
      # other versions than the pinned ones warn of other things; several processes, since compilation takes most time
      options=(-q -W default --tb=short -rs --maxfail=12 -m gpu)
      mapfile -t files < <(grep -rl --include='test_*.py' 'mark\.gpu' tests/rmaat) # others may need what is not here
      if "$PYTHON" -c 'import xdist' 2>/dev/null; then options+=(-n "${WORKERS:-8}"); fi
      timeout -s INT "$(limit "${TESTS:-240}")" "$PYTHON" -m pytest "${options[@]}" "${files[@]}" || failed+=" $stage"
      ;;
    bench) LEFT=$(limit "${BENCH:-200}") "$PYTHON" benchmarks/gpu_session.py bench || failed+=" $stage" ;;
    tune) LEFT=$(limit "${TUNE:-90}") "$PYTHON" benchmarks/gpu_session.py tune || failed+=" $stage" ;;
    train) LEFT=$(left) timeout "$(left)" "$PYTHON" benchmarks/gpu_session.py train || failed+=" $stage" ;;
    *)
      echo "error: STAGES must be of tests, bench, tune and train, got $stage" >&2
      exit 2
      ;;
  esac
done
if [ -n "$failed" ]; then
  echo "error: failed:$failed" >&2
  exit 1
fi
