#!/usr/bin/env bash
# The API from a shell: generate, follow, continue, render, download.
#   examples/curl.sh [URL]        PARTITA_API_KEY=pt_... if the server asks for a key
set -euo pipefail
url=${1:-http://127.0.0.1:8000}
call() { curl --silent --show-error --fail-with-body ${PARTITA_API_KEY:+--header "Authorization: Bearer $PARTITA_API_KEY"} "$@"; }
# The first value of a key in a JSON answer: enough for an example, use jq for more.
value() { grep -o "\"$1\":\"[^\"]*\"" | head -n 1 | cut -d '"' -f 4; }

echo "== styles"
styles=$(call "$url/api/v1/styles")
echo "${styles:0:200}..."

echo "== generate: the answer comes with the notes and a link"
task=$(call "$url/api/v1/generate" --json '{"style": "funk", "bars": 4, "tempo": 96, "seed": 7}')
link=$(value url <<<"$task")
call --output funk.mid "$url$link"
echo "wrote funk.mid, $(wc -c <funk.mid) bytes"

echo "== continue: the file goes back as it is"
task=$(call "$url/api/v1/generate/from-midi" --form file=@funk.mid --form bars=2 --form fill=true)
call --output longer.mid "$url$(value url <<<"$task")"
echo "wrote longer.mid, $(wc -c <longer.mid) bytes"

echo "== render: a task to poll instead of an answer to wait for"
task=$(call "$url/api/v1/render" --header 'Prefer: respond-async' --json "{\"input\": {\"file_id\": \"${link##*/}\"}}")
id=$(value id <<<"$task")
call --no-buffer "$url/api/v1/tasks/$id/events" | grep --line-buffered '^event:'
call --output funk.wav "$url$(call "$url/api/v1/tasks/$id" | value url)"
echo "wrote funk.wav, $(wc -c <funk.wav) bytes"

if call "$url/api/v1/models?kind=musicgen" | grep -q '"name"'; then
    echo "== sound from words, played while it is made"
    call --no-buffer --header 'Accept: audio/wav' --output rain.wav "$url/api/v1/stream" \
        --json '{"prompt": "rain on a tin roof, soft piano", "seconds": 5, "seed": 1}'
    echo "wrote rain.wav, $(wc -c <rain.wav) bytes"
fi

echo "== what goes wrong is said"
curl --silent "$url/api/v1/generate" ${PARTITA_API_KEY:+--header "Authorization: Bearer $PARTITA_API_KEY"} --json '{"tempo": 400}'; echo
