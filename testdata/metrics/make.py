"""Writes the JSON files of this folder; README.md says what they hold and how to run this.

python make.py MGEVAL_CHECKOUT
"""

import json
import math
import sys
import tempfile
import types
import warnings
from pathlib import Path

import mido
import muspy
import numpy as np
import pretty_midi
import python3_midi

HERE = Path(__file__).resolve().parent
TESTDATA = HERE.parent

FILES = [
    "midi/drummer10-jazz-swing-215-4-4.mid",
    "midi/drummer5-hiphop-87-4-4.mid",
    "midi/drummer6-rock-80-6-8.mid",
    "reference/magenta/midi/changes.mid",
    "reference/magenta/midi/drums_gap.mid",
    "reference/magenta/midi/drums_grid.mid",
    "reference/magenta/midi/gaps.mid",
    "reference/magenta/midi/late_tempo.mid",
    "reference/magenta/midi/long_repeat.mid",
    "reference/magenta/midi/magenta_primer.mid",
    "reference/magenta/midi/mono_grid.mid",
    "reference/magenta/midi/mono_loose.mid",
    "reference/magenta/midi/ns_melody.mid",
    "reference/magenta/midi/poly_multi.mid",
    "reference/magenta/midi/three_four.mid",
    "reference/magenta/midi/trio.mid",
    "reference/magenta/midi/trio_two_mel.mid",
    "reference/miditok/midi/01_scale.mid",
    "reference/miditok/midi/05_multitrack.mid",
    "reference/miditok/midi/06_tempos.mid",
    "reference/miditok/midi/07_timesigs.mid",
    "reference/miditok/midi/12_format0.mid",
    "reference/miditok/midi/18_controls.mid",
    "reference/miditok/midi/jsb_00.mid",
    "reference/miditok/midi/jsb_01.mid",
]


def number(value):
    value = float(value)
    return value if math.isfinite(value) else None


def muspy_metrics(path):
    music = muspy.read_midi(path)
    meter = music.time_signatures[0] if music.time_signatures else None
    numerator, denominator = (meter.numerator, meter.denominator) if meter else (4, 4)
    measure = music.resolution * 4 * numerator // denominator
    values = {
        "pitch_range": muspy.pitch_range(music),
        "n_pitches_used": muspy.n_pitches_used(music),
        "n_pitch_classes_used": muspy.n_pitch_classes_used(music),
        "polyphony": muspy.polyphony(music),
        "polyphony_rate": muspy.polyphony_rate(music),
        "polyphony_rate_1": muspy.metrics.polyphony_rate(music, 1),
        "scale_consistency": muspy.scale_consistency(music),
        "pitch_entropy": muspy.pitch_entropy(music),
        "pitch_class_entropy": muspy.pitch_class_entropy(music),
        "empty_beat_rate": muspy.empty_beat_rate(music),
        "empty_measure_rate": muspy.empty_measure_rate(music, measure),
        "drum_in_pattern_rate_duple": muspy.drum_in_pattern_rate(music, "duple"),
        "drum_in_pattern_rate_triple": muspy.drum_in_pattern_rate(music, "triple"),
        "drum_pattern_consistency": muspy.drum_pattern_consistency(music),
        "groove_consistency": muspy.groove_consistency(music, measure),
    }
    values = {name: number(value) for name, value in values.items()}
    if values["n_pitches_used"] == 0:
        # MusPy says 0 of no notes, and -127 of drums alone; here they have none of these.
        values |= dict.fromkeys(("pitch_range", "n_pitches_used", "n_pitch_classes_used"))
    values["pitch_in_scale_rate"] = [
        [number(muspy.pitch_in_scale_rate(music, root, mode)) for root in range(12)]
        for mode in ("major", "minor")
    ]
    return values


def load_mgeval(checkout):
    """mgeval's modules. Two places have to change for Python 3 and NumPy 2; neither moves a number."""
    sys.modules["midi"] = python3_midi
    # Only for options that are not used here.
    sys.modules["sklearn"] = types.ModuleType("sklearn")
    modules = []
    for name in ("core", "utils"):
        source = (Path(checkout) / "mgeval" / f"{name}.py").read_text()
        source = source.replace('print "invalid normalization mode, return unnormalized matrix"', "pass")
        source = source.replace("min(pdf_A(x), pdf_B(x))", "min(pdf_A(x)[0], pdf_B(x)[0])")
        module = types.ModuleType(name)
        exec(compile(source, f"{name}.py", "exec"), module.__dict__)
        modules.append(module)
    return modules


def as_one_track(path, out):
    """All notes that are no drums in a second track, by onset, with the tempos in the first: what mgeval expects.

    Answers whether there are notes, and none of one pitch overlap."""
    source = mido.MidiFile(path)
    tempos, events = [], []
    order = 0
    for index, track in enumerate(source.tracks):
        now = 0
        for message in track:
            now += message.time
            if message.type == "set_tempo":
                tempos.append((now, message))
            elif message.type in ("note_on", "note_off") and message.channel != 9:
                events.append((now, index, message))
    # Ends before onsets on one tick, else as in the file, track after track.
    is_on = lambda m: m.type == "note_on" and m.velocity > 0
    events.sort(key=lambda event: (event[0], is_on(event[2]), event[1]))
    sounding = set()
    for _, _, message in events:
        if is_on(message) and message.note in sounding:
            # A file cannot say which of two notes of one pitch ends first, so what each reader makes of it differs.
            return False
        (sounding.add if is_on(message) else sounding.discard)(message.note)
    result = mido.MidiFile(type=1, ticks_per_beat=source.ticks_per_beat)
    head, body = mido.MidiTrack(), mido.MidiTrack()
    last = 0
    for now, message in sorted(tempos, key=lambda tempo: tempo[0]):
        head.append(message.copy(time=now - last))
        last = now
    last = 0
    for now, _, message in events:
        kind = "note_on" if is_on(message) else "note_off"
        velocity = message.velocity if is_on(message) else 0
        body.append(mido.Message(kind, channel=0, note=message.note, velocity=velocity, time=now - last))
        last = now
    result.tracks.extend([head, body])
    for track in result.tracks:
        track.append(mido.MetaMessage("end_of_track"))
    result.save(out)
    return bool(events)


FEATURES = [
    "total_used_pitch",
    "total_used_note",
    "total_pitch_class_histogram",
    "pitch_class_transition_matrix",
    "pitch_range",
    "avg_pitch_shift",
    "avg_IOI",
    "note_length_hist",
    "note_length_transition_matrix",
]


def mgeval_features(core, path):
    with tempfile.TemporaryDirectory() as folder:
        one = str(Path(folder) / "one.mid")
        if not as_one_track(path, one):
            return None
        values = {}
        for name in FEATURES:
            feature = core.extract_feature(one)
            value = np.asarray(getattr(core.metrics(), name)(feature), float)
            values[name] = value.reshape(-1).tolist()
        return values


def distances(utils, real, generated):
    """As mgeval's __main__.py, with the real set as the first."""
    result = {}
    for name in FEATURES:
        one = np.array([piece[name] for piece in real])
        other = np.array([piece[name] for piece in generated])
        count = len(one)
        rest = lambda i: [j for j in range(count) if j != i]
        intra = np.concatenate([utils.c_dist(one[[i]], one[rest(i)]) for i in range(count)])
        inter = np.concatenate([utils.c_dist(other[[i]], one) for i in range(len(other))])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            result[name] = {
                "overlapping_area": number(utils.overlap_area(intra, inter)),
                "kl_divergence": number(utils.kl_dist(intra, inter)),
            }
    return result


def densities(utils):
    """Sets of numbers without any music."""
    rng = np.random.default_rng(7)
    sets = [rng.normal(0, 1, 40), rng.normal(0.5, 2, 60), rng.exponential(1, 30), rng.integers(0, 9, 50).astype(float)]
    rows = []
    for a in sets:
        for b in sets:
            rows.append(
                {
                    "one": a.tolist(),
                    "other": b.tolist(),
                    "overlapping_area": number(utils.overlap_area(a, b)),
                    "kl_divergence": number(utils.kl_dist(a, b)),
                }
            )
    return rows


def write(name, value):
    (HERE / name).write_text(json.dumps(value, separators=(",", ":")).replace('},"', '},\n"').replace('},{', '},\n{') + "\n")


def main():
    core, utils = load_mgeval(sys.argv[1])
    write("muspy.json", {file: muspy_metrics(TESTDATA / file) for file in FILES})
    features = {file: mgeval_features(core, TESTDATA / file) for file in FILES}
    features = {file: values for file, values in features.items() if values}
    write("mgeval.json", features)
    names = list(features)
    real, generated = names[0::2], names[1::2]
    sets = {
        "real": real,
        "generated": generated,
        "features": distances(utils, [features[n] for n in real], [features[n] for n in generated]),
        "densities": densities(utils),
    }
    write("distances.json", sets)


main()
