//! Writes MIDI files as MusicXML, each beside the notes that must be in it, for `bench/musicxml_check.py`.
//!
//! `cargo run -p partita-score --example notation -- OUT FILE.mid ...`

use partita_score::notation::{layout, musicxml};
use partita_score::{Score, midi};
use serde_json::{Value, json};
use std::path::Path;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let out = arguments.next().expect("the first argument is the folder to write to");
    std::fs::create_dir_all(&out).expect("the folder can be made");
    for (number, path) in arguments.enumerate() {
        let bytes = std::fs::read(&path).expect("readable file");
        let read = match Path::new(&path).extension().and_then(|it| it.to_str()) {
            Some("mxl") => musicxml::decompress(&bytes).and_then(|text| musicxml::read(&text)),
            Some("musicxml" | "xml") => musicxml::read(&String::from_utf8_lossy(&bytes)),
            _ => midi::read(&bytes),
        };
        let written = read.and_then(|score| Ok((musicxml::write(&score)?, expected(&score)?)));
        match written {
            Ok((text, expected)) => {
                let name = Path::new(&path).file_stem().unwrap_or_default().to_string_lossy().into_owned();
                let target = Path::new(&out).join(format!("{number:04}-{name}"));
                std::fs::write(target.with_extension("musicxml"), text).expect("writable folder");
                std::fs::write(target.with_extension("json"), expected.to_string()).expect("writable folder");
            }
            Err(error) => println!("{path}: {error}"),
        }
    }
}

/// `{"bars": [quarters], "parts": [[[onset, duration, pitch]]]}`, times in quarters from the start of the piece.
fn expected(score: &Score) -> partita_score::Result<Value> {
    let sheet = layout::Sheet::new(score)?;
    let quarters = |units: u32| f64::from(units) / f64::from(layout::QUARTER);
    let parts = sheet.parts.iter().map(|part| {
        let mut notes = Vec::new();
        for staff in &part.staves {
            for (bar, voices) in sheet.bars.iter().zip(&staff.bars) {
                for event in voices.iter().flat_map(|voice| &voice.events) {
                    let place = json!([quarters(bar.start + event.at), quarters(event.length)]);
                    notes.extend(event.heads.iter().map(|head| json!([place[0], place[1], head.pitch])));
                }
            }
        }
        Value::Array(notes)
    });
    let parts: Vec<Value> = parts.collect();
    Ok(
        json!({ "bars": sheet.bars.iter().map(|bar| quarters(bar.length)).collect::<Vec<_>>(), "parts": parts }),
    )
}
