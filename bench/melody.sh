#!/usr/bin/env bash
# Lead sheets and chorales, beside a GPT-2 of transformers of the same sizes that writes as many tokens, in turns; one
# JSON row each. Then random demands. PYTHON has torch and transformers. usage: bench/melody.sh PYTHON [ROUNDS] [SETS]
set -euo pipefail
python=$1 rounds=${2:-3} sets=${3:-10000}
cd "$(dirname "$0")/.."
cargo build --release --quiet
program=${CARGO_TARGET_DIR:-target}/release/partita
for _ in $(seq "$rounds"); do
    PARTITA_THREADS=2 "$program" bench melody --bars 16 --json
    NT=2 "$python" bench/peers/decode_torch.py 4 192 4 1 300
    PARTITA_THREADS=1 "$program" bench chorale --bars 16 --json
    NT=1 "$python" bench/peers/decode_torch.py 3 160 4 1 1020
done
"$program" bench obedience -n "$sets" --json
