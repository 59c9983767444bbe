"""The API from Python, with the standard library alone.

    python examples/python/generate.py [URL]        PARTITA_API_KEY=pt_... if the server asks for a key
"""

import json
import os
import sys
import urllib.error
import urllib.request

URL = (sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8000").rstrip("/")


def call(path, body=None, headers=None):
    """One call; `body` is sent as JSON. Returns the open response."""
    headers = dict(headers or {})
    if key := os.environ.get("PARTITA_API_KEY"):
        headers["Authorization"] = f"Bearer {key}"
    data = None
    if body is not None:
        data = json.dumps(body).encode()
        headers["Content-Type"] = "application/json"
    return urllib.request.urlopen(urllib.request.Request(URL + path, data, headers), timeout=60)


def events(response):
    """Server-sent events as (name, data)."""
    name = ""
    for line in response:
        line = line.decode().rstrip("\n")
        if line.startswith("event:"):
            name = line[6:].strip()
        elif line.startswith("data:"):
            yield name, json.loads(line[5:])


def main():
    # Notes arrive bar by bar while they are played.
    request = {"style": "j-dilla", "bars": 4, "variations": 2, "seed": 11}
    task = None
    for name, data in events(call("/api/v1/stream", request, {"Accept": "text/event-stream"})):
        if name == "notes":
            print(f"take {data['variation'] + 1}, bar {data['bar'] + 1}: {len(data['notes'])} notes")
        elif name in ("complete", "failed", "cancelled"):
            task = data
    assert task and task["status"] == "complete", task
    for take in task["result"]["takes"]:
        for file in take["files"]:
            with call(file["url"]) as response, open(file["name"], "wb") as out:
                out.write(response.read())
            print(f"wrote {file['name']}, {file['bytes']} bytes")

    # A batch is one task. Its requests are checked before any is played, and one that is wrong refuses them all; then
    # they are played together, and one that fails leaves the others alone.
    batch = {"requests": [{"custom_id": style, "style": style, "bars": 2} for style in ("funk", "jazz", "house")]}
    with call("/api/v1/generate/batch", batch, {"Prefer": "wait=30", "Idempotency-Key": "example-batch-1"}) as response:
        result = json.load(response)["result"]
    print("batch:", result["request_counts"])

    try:
        call("/api/v1/generate", {"bars": 99})
    except urllib.error.HTTPError as error:
        problem = json.load(error)
        print(error.code, problem["errors"][0]["pointer"], problem["errors"][0]["detail"])


if __name__ == "__main__":
    main()
