#!/usr/bin/env bash
# Load on a server of its own, on loopback; prints a JSON row a scenario. bench/serve.sh SECONDS
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-60}
cargo build --release --quiet --package partita
cargo build --release --quiet --package partita-server --example load
bin=${CARGO_TARGET_DIR:-target}/release
folder=$(mktemp -d)
server=
stop() { [ -z "$server" ] || { kill "$server" && wait "$server"; } || true; rm -rf "$folder"; }
trap stop EXIT

# No task of lane heavy starts, so one of it can be watched for ever.
"$bin/partita" serve --json --port 0 --data-dir "$folder/data" --set log.level=error --set lanes.heavy.workers=0 >"$folder/ready" &
server=$!
until [ -s "$folder/ready" ]; do sleep 0.1; done
url=$(grep -o '"url":"[^"]*"' "$folder/ready" | cut -d '"' -f 4)
until curl -sf -o /dev/null "$url/health/ready"; do sleep 0.1; done

row() { echo "{\"scenario\": \"$1\", \"row\": $("$bin/examples/load" "$url" "${@:2}")}"; }
row "one client waits" --clients 1 --seconds 15 --poll 0
row "sixteen clients wait" --clients 16 --seconds 15 --poll 0
row "100 clients, a task each every 3 s" --clients 100 --seconds "$seconds" --every 3000
row "100 clients, flat out" --clients 100 --seconds "$seconds"
items=$(seq 17 | sed 's/.*/{"bars":1}/' | paste -sd ,)
idle=$(curl -s "$url/api/v1/generate/batch" -H 'Prefer: respond-async' --json "{\"requests\":[$items]}" | grep -o 'tsk_[0-9a-z]*' | head -n 1)
row "the same beside 1,000 idle streams" --clients 100 --seconds 20 --streams 1000 --idle "$idle"
