#!/usr/bin/env bash
# MIDI files tokenized a second beside MidiTok, in turns; one JSON row each, then the ratio of the medians.
# PYTHON has miditok 3.1.0 and symusic 0.6.0 in a venv of its own. usage: bench/miditok.sh PYTHON MIDI_FOLDER TOKENIZER_JSON [ROUNDS]
set -euo pipefail
python=$1 folder=$2 tokenizer=$3 rounds=${4:-3}
cd "$(dirname "$0")/.."
cargo build --release --quiet --package partita-tokens --example miditok_speed
program=${CARGO_TARGET_DIR:-target}/release/examples/miditok_speed
rows=$(mktemp)
trap 'rm -f "$rows"' EXIT
for _ in $(seq "$rounds"); do
    "$program" "$folder" "$tokenizer" 5 | tee -a "$rows"
    "$python" bench/peers/miditok_encode.py "$folder" "$tokenizer" 1 | tee -a "$rows"
done
"$python" - "$rows" <<'PYTHON'
import json, statistics, sys
rows = [json.loads(line) for line in open(sys.argv[1])]
median = lambda name: statistics.median(row["files_per_s"] for row in rows if row["program"] == name)
tokens = {row["tokens"] for row in rows}
print(json.dumps({"ratio": round(median("partita") / median("miditok"), 1), "same_tokens": len(tokens) == 1}))
PYTHON
