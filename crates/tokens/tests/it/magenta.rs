//! The converters against Magenta's. `PARTITA_VECTORS` names a directory with `magenta/midi` and
//! `magenta/converters`; without it, the repository's own copy is used.

use partita_score::sequence::TimedNote;
use partita_score::{NoteSequence, Second};
use partita_tokens::drum_steps::{self, DrumsConverter, PitchMap, REDUCED, ROLAND};
use partita_tokens::groove::{self, GrooveConverter, GrooveInput, GrooveRows, ROW};
use partita_tokens::melody::{self, Extraction, MelodyConverter, MelodyEvent};
use partita_tokens::{ConvertError, MAGENTA_QPM, STEPS_PER_QUARTER, trio};
use serde_json::Value;
use std::{fs, path::PathBuf};

/// Rows are f32 of numbers up to 1, the vectors have nine decimals.
const ROW_ERROR: f64 = 1e-7;
/// Times from f32 offsets of up to half a step of 125 ms.
const TIME_ERROR: f64 = 1e-8;

struct File {
    name: String,
    sequence: NoteSequence,
    expected: Value,
}

fn files() -> Vec<File> {
    let own = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../testdata/reference");
    let root = std::env::var_os("PARTITA_VECTORS").map_or(own, PathBuf::from).join("magenta");
    let entries = fs::read_dir(root.join("converters")).expect("reference tensors");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("readable folder").path()).collect();
    paths.sort();
    let read = |path: PathBuf| {
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        let bytes = fs::read(root.join("midi").join(format!("{name}.mid"))).expect("its MIDI file");
        let expected = serde_json::from_str(&fs::read_to_string(path).expect("readable")).expect("JSON");
        File { name, sequence: NoteSequence::from_midi(&bytes).expect("a good file"), expected }
    };
    let files: Vec<_> = paths.into_iter().map(read).collect();
    assert!(files.len() >= 18, "{} files", files.len());
    files
}

fn list(value: &Value) -> &[Value] {
    value.as_array().expect("a list")
}

fn numbers<T: TryFrom<u64>>(value: &Value) -> Vec<T> {
    let number = |it: &Value| T::try_from(it.as_u64().expect("a number")).ok().expect("in range");
    list(value).iter().map(number).collect()
}

fn lists<T: TryFrom<u64>>(value: &Value) -> Vec<Vec<T>> {
    list(value).iter().map(numbers).collect()
}

/// (start, end, pitch, velocity, instrument, program, is drum)
type Row = (f64, f64, u8, u8, u32, u8, bool);

fn row(it: &TimedNote) -> Row {
    (it.start.0, it.end.0, it.pitch, it.velocity, it.instrument, it.program, it.is_drum)
}

/// Compares with the `index`th of `from_tensors`, if that was kept. Order counts but for drums, which are sets.
fn check_notes(name: &str, ours: &NoteSequence, expected: &Value, index: usize, ordered: bool) {
    let Some(expected) = expected["from_tensors"].as_array().and_then(|all| all.get(index)) else { return };
    let float = |it: &Value| it.as_f64().expect("a number");
    let parse = |it: &Value| {
        let it: Vec<f64> = list(it).iter().map(float).collect();
        (it[0], it[1], it[2] as u8, it[3] as u8, it[4] as u32, it[5] as u8, it[6] == 1.0)
    };
    let mut theirs: Vec<Row> = list(&expected["notes"]).iter().map(parse).collect();
    let mut notes: Vec<Row> = ours.notes.iter().map(row).collect();
    if !ordered {
        theirs.sort_by(|a, b| a.partial_cmp(b).expect("no NaN"));
        notes.sort_by(|a, b| a.partial_cmp(b).expect("no NaN"));
    }
    assert_eq!(notes.len(), theirs.len(), "{name}");
    for (ours, theirs) in notes.iter().zip(&theirs) {
        let close = (ours.0 - theirs.0).abs() < TIME_ERROR && (ours.1 - theirs.1).abs() < TIME_ERROR;
        let same =
            (ours.2, ours.3, ours.4, ours.5, ours.6) == (theirs.2, theirs.3, theirs.4, theirs.5, theirs.6);
        assert!(close && same, "{name}: {ours:?} instead of {theirs:?}");
    }
    assert_eq!(ours.tempos.iter().map(|it| it.qpm).collect::<Vec<_>>(), [float(&expected["tempos"][0][1])]);
    let total = float(&expected["total_time"]);
    // The groove converter of the original leaves it at 0.
    assert!(total == ours.total_time.0 || total == 0.0, "{name}: {total} {}", ours.total_time.0);
}

#[test]
fn magenta_melodies_become_the_same_ids() {
    let mut slices = 0;
    for file in files() {
        for (key, converter) in
            [("mel_2bar", MelodyConverter::two_bars()), ("mel_16bar", MelodyConverter::sixteen_bars())]
        {
            let expected = &file.expected[key];
            let found = converter.all(&file.sequence);
            let mut ids: Vec<_> = found.into_iter().map(|it| it.value).collect();
            ids.sort();
            assert!(ids == lists::<u32>(&expected["tokens_sorted"]), "{} {key}", file.name);
            for (index, ids) in ids.iter().enumerate() {
                let notes = converter.to_sequence(ids, MAGENTA_QPM).expect("our own ids");
                check_notes(&file.name, &notes, expected, index, true);
            }
            slices += ids.len();
        }
    }
    assert!(slices > 100, "{slices}");
}

#[test]
fn magenta_melodies_before_slicing_have_the_same_events() {
    let how = Extraction { gap_bars: Some(1), min_bars: 1, max_steps: Some(1600), pad_end: true };
    for file in files() {
        let pieces = file.sequence.split_on_time_changes();
        for expected in list(&file.expected["extracted_events"]) {
            let piece = &pieces[expected["subsequence"].as_u64().expect("a number") as usize].sequence;
            let quantized = piece.quantize(STEPS_PER_QUARTER).expect("one tempo, one metre");
            assert_eq!(u64::from(quantized.total_steps), expected["total_quantized_steps"], "{}", file.name);
            assert_eq!(
                quantized.steps_per_bar().map(f64::from),
                expected["steps_per_bar"].as_f64(),
                "{}",
                file.name
            );
            assert_eq!(Some(quantized.qpm), expected["qpm"].as_f64(), "{}", file.name);
            let event = |it: &MelodyEvent| match it {
                MelodyEvent::NoEvent => -2,
                MelodyEvent::NoteOff => -1,
                MelodyEvent::NoteOn(pitch) => i64::from(*pitch),
            };
            let ours: Vec<(u64, Vec<i64>)> = melody::extract(&quantized, how)
                .iter()
                .map(|melody| (u64::from(melody.start_step), melody.events.iter().map(event).collect()))
                .collect();
            let theirs: Vec<(u64, Vec<i64>)> = list(&expected["melodies"])
                .iter()
                .map(|it| {
                    let events = list(&it["events"]).iter().map(|it| it.as_i64().expect("a number"));
                    (it["start_step"].as_u64().expect("a number"), events.collect())
                })
                .collect();
            assert!(ours == theirs, "{}", file.name);
        }
    }
}

#[test]
fn magenta_drums_become_the_same_classes_and_rolls() {
    let mut slices = 0;
    for file in files() {
        let keys = [
            ("drums_2bar", "onehot_tokens_sorted", DrumsConverter::two_bars()),
            ("nade_drums_2bar_full", "output_roll_bits_sorted", DrumsConverter::two_bars_full()),
        ];
        for (key, sorted, converter) in keys {
            let expected = &file.expected[key];
            let found = converter.all(&file.sequence);
            let mut sets: Vec<_> = found.into_iter().map(|it| it.value).collect();
            sets.sort();
            assert!(sets == lists::<u64>(&expected[sorted]), "{} {key}", file.name);
            let classes = converter.map.classes();
            let bits = |set: &u64| {
                let roll = drum_steps::roll(*set, classes);
                assert_eq!(roll.len(), classes + 1);
                (0..).zip(roll).map(|(bit, on)| (on as u64) << bit).sum::<u64>()
            };
            let rolls: Vec<Vec<u64>> = sets.iter().map(|sets| sets.iter().map(bits).collect()).collect();
            assert!(rolls == lists::<u64>(&expected["input_roll_bits"]), "{} {key}", file.name);
            for (index, sets) in sets.iter().enumerate().filter(|_| key == "drums_2bar") {
                check_notes(&file.name, &converter.to_sequence(sets, MAGENTA_QPM), expected, index, false);
            }
            slices += sets.len();
        }
    }
    assert!(slices > 50, "{slices}");
}

#[test]
fn magenta_trios_become_the_same_steps_in_order() {
    let mut examples = 0;
    for file in files() {
        let expected = &file.expected["trio_16bar"];
        let found = trio::all(&file.sequence);
        let theirs: Vec<Vec<Vec<u32>>> = list(&expected["tokens"]).iter().map(lists::<u32>).collect();
        assert_eq!(found.len(), theirs.len(), "{}", file.name);
        for (index, (ours, theirs)) in found.iter().zip(&theirs).enumerate() {
            let ours: Vec<Vec<u32>> = ours.value.iter().map(|step| step.to_vec()).collect();
            assert!(&ours == theirs, "{} {index}", file.name);
            let notes = trio::to_sequence(&found[index].value, MAGENTA_QPM).expect("our own ids");
            check_notes(&file.name, &notes, expected, index, false);
        }
        examples += found.len();
    }
    assert!(examples >= 5, "{examples}");
}

fn check_rows(name: &str, ours: &[f32], width: usize, expected: &Value) {
    let mut theirs = vec![0f64; ours.len()];
    for it in list(expected) {
        let at = |index: usize| it[index].as_u64().expect("a number") as usize;
        theirs[at(0) * width + at(1)] = it[2].as_f64().expect("a number");
    }
    for (index, (ours, theirs)) in ours.iter().zip(&theirs).enumerate() {
        let (step, column) = (index / width, index % width);
        let close = (f64::from(*ours) - theirs).abs() < ROW_ERROR;
        assert!(close, "{name}: step {step} column {column}: {ours} instead of {theirs}");
    }
}

fn grooves(map: PitchMap) -> Vec<(&'static str, GrooveConverter)> {
    let two = GrooveConverter::two_bars;
    let all = [
        ("groovae_4bar", GrooveConverter::four_bars()),
        ("groovae_2bar_humanize", two(GrooveInput::Hits)),
        ("groovae_2bar_tap_fixed_velocity", two(GrooveInput::TapTiming)),
        ("groovae_2bar_add_closed_hh", two(GrooveInput::WithoutClosedHiHat)),
        ("groovae_2bar_hits_control_tfds", GrooveConverter::two_bars_hits_control()),
    ];
    all.map(|(name, converter)| (name, GrooveConverter { map, ..converter })).to_vec()
}

#[test]
fn magenta_grooves_become_the_same_rows() {
    let (mut examples, mut errors, mut files_with_grooves) = (0, 0, 0);
    for file in files() {
        let training =
            [("groovae_4bar@train_mapping", GrooveConverter { map: ROLAND, ..GrooveConverter::four_bars() })];
        for (key, converter) in grooves(REDUCED).into_iter().chain(training) {
            let expected = &file.expected[key];
            if expected.is_null() {
                continue;
            }
            files_with_grooves += usize::from(key == "groovae_4bar");
            let name = format!("{} {key}", file.name);
            let found = match converter.all(&file.sequence) {
                Ok(found) => found,
                Err(ConvertError::UnknownDrum { pitch, .. }) => {
                    assert_eq!(expected["error"], "KeyError", "{name}");
                    assert_eq!(expected["message"], pitch.to_string(), "{name}");
                    errors += 1;
                    continue;
                }
                Err(other) => panic!("{name}: {other}"),
            };
            assert_eq!(Some(found.len() as u64), expected["n"].as_u64(), "{name}");
            for (index, excerpt) in found.iter().enumerate() {
                let GrooveRows { input, target, controls } = &excerpt.value;
                assert_eq!(expected["lengths"][index].as_u64(), Some((input.len() / ROW) as u64), "{name}");
                if let Some(rows) = expected["inputs_nonzero"].get(index) {
                    check_rows(&name, input, ROW, rows);
                    check_rows(&name, target, ROW, &expected["outputs_nonzero"][index]);
                }
                match expected.get("controls_nonzero").and_then(|it| it.get(index)) {
                    Some(rows) => check_rows(&name, controls, groove::DRUMS, rows),
                    None => assert!(controls.is_empty() || index >= 3, "{name}"),
                }
                let notes = groove::rows_to_sequence(target, converter.map, MAGENTA_QPM).expect("whole rows");
                check_notes(&name, &notes, expected, index, true);
            }
            examples += found.len();
        }
    }
    assert!(
        examples > 50 && errors > 5 && files_with_grooves > 5,
        "{examples} {errors} {files_with_grooves}"
    );
}

#[test]
fn magenta_errors_name_the_rule_that_was_broken() {
    let files = files();
    let of =
        |name: &str| &files.iter().find(|file| file.name == name).expect("a file of the vectors").sequence;
    let melody = |name: &str| {
        MelodyConverter::two_bars().one(of(name)).map(|it| it.value.len()).map_err(|it| it.to_string())
    };
    let meter = "time signature must have bars of 16 sixteenths (4/4 or 2/2), got 3/4";
    assert_eq!(melody("three_four"), Err(meter.into()));
    assert_eq!(melody("ns_example"), Ok(32));
    assert_eq!(melody("ns_melody"), Err("a melody must be at least 2 bars long, got 1".into()));
    assert_eq!(
        melody("mono_grid"),
        Err("a melody must give one example of 2 bars, got 3: cut it to 2 bars of one part".into())
    );
    assert_eq!(
        melody("drums_grid"),
        Err("a melody must have notes, got none between A0 and C8 with programs 0..=31 that are no drums"
            .into())
    );
    let sixteen = MelodyConverter::sixteen_bars().one(of("late_tempo")).map_err(|it| it.to_string());
    let cut = "a melody must be at least 16 bars long, got 3 between changes of tempo or time signature, which cut it into 2";
    assert!(sixteen.as_ref().is_err_and(|it| it.starts_with(cut)), "{sixteen:?}");
    let drums = |name: &str| {
        DrumsConverter::two_bars().one(of(name)).map(|it| it.value.len()).map_err(|it| it.to_string())
    };
    assert_eq!(drums("groove_2bar"), Ok(32));
    assert!(drums("mono_grid").is_err_and(|it| it.starts_with("a drum track must have notes, got none")));
    let groove = |name: &str| {
        GrooveConverter::two_bars(GrooveInput::Hits).one(of(name)).map(|_| ()).map_err(|it| it.to_string())
    };
    assert_eq!(groove("groove_2bar"), Ok(()));
    assert!(
        groove("drums_grid")
            .is_err_and(|it| it.starts_with("drum pitch must be one of the kit's, got 20 at"))
    );
    assert!(
        groove("late_tempo")
            .is_err_and(|it| it.starts_with("tempo must not change inside the part used: 120"))
    );
    assert_eq!(groove("three_four"), Err(meter.into()));
    let trio = |name: &str| trio::one(of(name)).map(|_| ()).map_err(|it| it.to_string());
    assert!(trio("mono_grid").is_err_and(|it| it.ends_with("got no bass")));
    assert!(trio("trio").is_err_and(|it| it.contains("got 3")));
    let polyphonic = melody::check_monophonic(of("poly_multi"), &MelodyConverter::two_bars());
    assert!(polyphonic.is_err_and(|it| it.to_string().contains("--extract-melody")));
    for name in ["mono_grid", "magenta_primer", "ns_example"] {
        assert_eq!(melody::check_monophonic(of(name), &MelodyConverter::two_bars()), Ok(()), "{name}");
    }
}

#[test]
fn magenta_excerpts_know_their_place_and_tempo() {
    for file in files() {
        for excerpt in MelodyConverter::two_bars().all(&file.sequence) {
            let notes =
                MelodyConverter::two_bars().to_sequence(&excerpt.value, excerpt.qpm).expect("our own ids");
            let Some(first) = notes.notes.first() else { continue };
            // At its own tempo and place, the first note lies within half a step of one of the file's.
            let at = excerpt.start.0 + first.start.0;
            let half = 60.0 / excerpt.qpm / 8.0 + 1e-9;
            let near = |it: &&TimedNote| it.pitch == first.pitch && (it.start.0 - at).abs() <= half;
            assert!(file.sequence.notes.iter().any(|it| near(&it)), "{}: {at}", file.name);
        }
    }
    let half = groove::rows_to_sequence(&[1.0; ROW], REDUCED, 60.0).expect("a row").total_time;
    assert_eq!(half, Second(0.125));
}
