#!/usr/bin/env bash
# MusicVAE's largest melody model beside its peer, in turns; one JSON row each. usage: bench/vae.sh PYTHON [ROUNDS]
set -euo pipefail
python=$1 rounds=${2:-3}
cd "$(dirname "$0")/.."
cargo build --release --quiet
export PARTITA_THREADS=${PARTITA_THREADS:-2} NT=${NT:-2}
partita=${CARGO_TARGET_DIR:-target}/release/partita
for _ in $(seq "$rounds"); do
    for precision in int8 f32; do
        $partita bench vae --precision $precision --json
    done
    "$python" bench/peers/music_vae_torch.py
    $partita bench vae --precision int8 --batch 4 --json
done
