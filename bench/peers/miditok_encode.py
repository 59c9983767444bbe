"""MidiTok beside us: files read and tokenized a second, one thread. usage: miditok_encode.py FOLDER TOKENIZER [RUNS]"""

import glob
import json
import statistics
import sys
import time
import warnings

warnings.filterwarnings("ignore")
from miditok import REMI, TSD, MIDILike, Structured  # noqa: E402
from symusic import Score  # noqa: E402

folder, path = sys.argv[1], sys.argv[2]
runs = int(sys.argv[3]) if len(sys.argv) > 3 else 2
files = sorted(f for end in ("mid", "midi") for f in glob.glob(f"{folder}/**/*.{end}", recursive=True))
classes = {"REMI": REMI, "TSD": TSD, "MIDILike": MIDILike, "Structured": Structured}
tokenizer = classes[json.load(open(path))["tokenization"]](params=path)
seconds, tokens, refused = [], 0, 0
for _ in range(runs):
    tokens = refused = 0
    start = time.perf_counter()
    for file in files:
        try:
            made = tokenizer.encode(Score(file), encode_ids=False)
        except Exception:
            refused += 1
            continue
        tokens += sum(len(one.ids) for one in made) if isinstance(made, list) else len(made.ids)
    seconds.append(time.perf_counter() - start)
rate = len(files) / statistics.median(seconds)
row = {"program": "miditok", "files": len(files), "refused": refused, "tokens": tokens, "files_per_s": round(rate, 1)}
print(json.dumps(row))
