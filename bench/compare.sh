#!/usr/bin/env bash
# Every benchmark beside its peer, in turns; one JSON row each. usage: bench/compare.sh PYTHON GROOVE_FOLDER [ROUNDS]
set -euo pipefail
python=$1 groove=$2 rounds=${3:-3}
cd "$(dirname "$0")/.."
cargo build --release --quiet
cargo build --release --quiet --package partita-score --example read_speed
cargo build --release --quiet --package partita-audio --example render_speed
export PARTITA_THREADS=${PARTITA_THREADS:-2} NT=${NT:-2}
partita=target/release/partita
for _ in $(seq "$rounds"); do
    for sizes in "6 256 4 1" "6 256 4 4" "6 256 4 16" "12 768 12 1" "12 768 12 4" "12 768 12 16"; do
        read -r layers width heads batch <<<"$sizes"
        for precision in int8 q4; do
            $partita bench decode --layers "$layers" --width "$width" --heads "$heads" --batch "$batch" --tokens 200 --precision $precision --runs 3 --json
        done
        "$python" bench/peers/decode_torch.py "$layers" "$width" "$heads" "$batch" 200 2
    done
    $partita bench gemv --precision int8 --json
    $partita bench train --json
    "$python" bench/peers/train_torch.py
    target/release/examples/read_speed "$groove" 5
    "$python" bench/peers/read_symusic.py "$groove" 5
    target/release/examples/render_speed
done
