"""Reading MIDI files with symusic. usage: read_symusic.py DIR [reps]; one JSON row."""
import glob, json, os, statistics, sys, time
from symusic import Score
files = sorted(glob.glob(f"{sys.argv[1]}/**/*.mid", recursive=True)); reps = int(sys.argv[2]) if len(sys.argv) > 2 else 5
size = sum(map(os.path.getsize, files)); ts = []
for _ in range(reps):
    t = time.perf_counter()
    for f in files: Score(f)
    ts.append(time.perf_counter() - t)
s = statistics.median(ts)
print(json.dumps({"peer": "symusic", "files": len(files), "files_per_s": round(len(files) / s), "mb_per_s": round(size / s / 1e6, 1)}))
