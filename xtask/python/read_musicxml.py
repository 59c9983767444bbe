"""Reads MusicXML with music21 and holds it to the JSON notes of the same piece: python read_musicxml.py NAME..., each
with NAME.musicxml and NAME.json beside it, and NAME.words where something is sung.

Every warning is an error. Bars must be as long as their metre, and every note that sounds must begin, last and be
pitched as it does in the JSON.
"""

import collections
import json
import pathlib
import sys
import warnings

import music21

warnings.simplefilter("error")


def sounding(score):
    """(start, duration, pitch) of every pitched note, ties joined; how many notes of drums begin."""
    notes, drums = collections.Counter(), 0
    for part in score.parts:
        for element in part.stripTies().flatten().notes:
            if isinstance(element, music21.harmony.Harmony):
                continue
            start, length = round(float(element.offset), 3), round(float(element.quarterLength), 3)
            for note in getattr(element, "notes", [element]):
                if isinstance(note, music21.note.Unpitched):
                    drums += 1
                else:
                    notes[(start, length, note.pitch.midi)] += 1
    return notes, drums


def check(name):
    score = music21.converter.parse(f"{name}.musicxml")
    with open(f"{name}.json", encoding="utf-8") as file:
        told = json.load(file)
    expected, drums = collections.Counter(), 0
    for track in told["tracks"]:
        for note in track["notes"]:
            if track.get("channel") == 9:
                drums += 1
            else:
                expected[(round(note["start"], 3), round(note["duration"], 3), note["pitch"])] += 1
    found, found_drums = sounding(score)
    assert found == expected, f"{name}: missing {list((expected - found))[:5]}, more {list((found - expected))[:5]}"
    assert found_drums == drums, f"{name}: {drums} notes of drums, got {found_drums}"
    for part in score.parts:
        for bar in part.getElementsByClass(music21.stream.Measure):
            length, metre = bar.duration.quarterLength, bar.barDuration.quarterLength
            assert length == metre, f"{name}: bar {bar.number} of {part.partName} lasts {length} of {metre}"
    words = pathlib.Path(f"{name}.words")
    if words.exists():
        notes = [note for part in score.parts for note in part.flatten().notes]
        sung = [lyric for note in notes for lyric in note.lyrics]
        line = " ".join(it.text + ("-" if it.syllabic in ("begin", "middle") else "") for it in sung)
        assert line == words.read_text(encoding="utf-8"), f"{name}: {line} is sung"
    symbols = len(list(score.recurse().getElementsByClass(music21.harmony.ChordSymbol)))
    print(f"{name}: {sum(found.values())} notes, {found_drums} of drums, {symbols} chord symbols")


for argument in sys.argv[1:]:
    check(argument)
