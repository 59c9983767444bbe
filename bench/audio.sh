#!/usr/bin/env bash
# Text to audio beside its peers, in turns; one JSON row each. usage: bench/audio.sh PYTHON [ROUNDS]
set -euo pipefail
python=$1 rounds=${2:-3}
cd "$(dirname "$0")/.."
cargo build --release --quiet
export PARTITA_THREADS=${PARTITA_THREADS:-2} NT=${NT:-2}
partita=${CARGO_TARGET_DIR:-target}/release/partita
for _ in $(seq "$rounds"); do
    for precision in int8 q4; do
        $partita bench audio --seconds 30 --precision $precision --json
    done
    for precision in f32 int8; do
        "$python" bench/peers/musicgen_torch.py $precision 250 1
        "$python" bench/peers/musicgen_ort.py $precision 750 15
    done
    for clips in 1 4; do
        $partita bench audio --seconds 10 --clips $clips --json
    done
done
