#!/usr/bin/env python3
"""Holds MusicXML written by Partita to music21's parser and, where it is given, to the schema.

    cargo run -p partita-score --example notation -- OUT FILE.mid ...
    python3 -m venv VENV && VENV/bin/pip install music21 lxml
    VENV/bin/python bench/musicxml_check.py OUT [musicxml.xsd]

Each FILE.musicxml in OUT has a FILE.json beside it: the length of every bar and every written note (ties not merged) in
quarter notes. Both must be what music21 reads, and every measure must be exactly full.
"""

import collections
import fractions
import json
import pathlib
import sys

import music21


def key(number):
    return fractions.Fraction(number).limit_denominator(192)


def read(path):
    """Bars and parts as music21 sees them; staves of one part are joined."""
    score = music21.converter.parse(path, forceSource=True)
    parts, bars, problems = [], None, []
    upper = False
    for part in score.parts:
        # Two staves of a part come one after the other.
        staff = isinstance(part, music21.stream.PartStaff)
        if staff and upper:
            notes, upper = parts[-1], False
        else:
            notes, upper = collections.Counter(), staff
            parts.append(notes)
        measures = list(part.getElementsByClass("Measure"))
        lengths = [key(measure.duration.quarterLength) for measure in measures]
        bars = bars or lengths
        if bars != lengths:
            problems.append(f"{part.id}: bars differ from the first part's")
        for measure in measures:
            full = key(measure.barDuration.quarterLength)
            length = key(measure.duration.quarterLength)
            voices = measure.voices or [measure]
            for voice in voices:
                held = sum(key(it.duration.quarterLength) for it in voice.notesAndRests if not isinstance(it, music21.harmony.Harmony))
                if held != length:
                    problems.append(f"{part.id} measure {measure.number}: a voice holds {held} of {length}")
            if length != full and "X" not in str(measure.numberSuffix) and not getattr(measure, "short", False):
                problems.append(("short", measure.number, float(length), float(full)))
            for note in measure.recurse().notes:
                if isinstance(note, music21.harmony.Harmony):
                    continue
                onset = key(measure.offset) + key(note.getOffsetInHierarchy(measure))
                length = key(note.duration.quarterLength)
                members = note.notes if hasattr(note, "notes") else [note]
                for member in members:
                    pitched = isinstance(member, music21.note.Note)
                    notes[(onset, length, member.pitch.midi if pitched else None)] += 1
    return bars or [], parts, problems


def main():
    folder = pathlib.Path(sys.argv[1])
    schema = None
    if len(sys.argv) > 2:
        from lxml import etree

        schema = etree.XMLSchema(etree.parse(sys.argv[2]))
    failed = checked = notes_seen = 0
    for path in sorted(folder.glob("*.musicxml")):
        wanted = json.loads(path.with_suffix(".json").read_text())
        problems = []
        if schema is not None:
            from lxml import etree

            parser = etree.XMLParser(load_dtd=False, no_network=True, huge_tree=True)
            if not schema.validate(etree.parse(str(path), parser)):
                problems.append(f"schema: {schema.error_log[0]}")
        bars, parts, found = read(path)
        wanted_bars = [key(length) for length in wanted["bars"]]
        # What a change of metre cuts short is shorter than its signature, and no fault.
        cut = set()
        for it in found:
            if isinstance(it, tuple):
                cut.add(it)
            else:
                problems.append(it)
        if bars != wanted_bars:
            problems.append(f"bars: {len(bars)} of {len(wanted_bars)}, or other lengths")
        if len(parts) != len(wanted["parts"]):
            problems.append(f"{len(parts)} parts of {len(wanted['parts'])}")
        for number, (part, want) in enumerate(zip(parts, wanted["parts"])):
            unpitched = any(pitch is None for (_, _, pitch) in part)
            counted = collections.Counter(
                (key(onset), key(length), None if unpitched else pitch) for onset, length, pitch in want
            )
            notes_seen += sum(counted.values())
            if counted != part:
                more, less = part - counted, counted - part
                problems.append(f"part {number}: {sum(less.values())} notes missing, {sum(more.values())} more: {list(less.items())[:2]} {list(more.items())[:2]}")
        checked += 1
        if problems:
            failed += 1
            print(f"{path.name}: " + "; ".join(map(str, problems[:4])))
        elif cut:
            print(f"{path.name}: fine, {len(cut)} bars cut short by their metre")
    print(f"{checked} files, {notes_seen} notes, {failed} failed")
    sys.exit(failed > 0)


main()
