//! Every file format of written music, out and in: any of them can become any other.
//!
//! [`layout`] is the middle that MusicXML and ABC share on the way out, `assemble` the one on the way in.
//! What comes from outside is bounded: sizes are checked before memory is taken, XML declares no entities, archives
//! unpack to a limit, repeats are counted.

pub mod abc;
mod assemble;
pub mod layout;
pub mod musicxml;
pub mod notes;
mod repeats;

use crate::harmony::{parse_symbol, symbol};
use crate::sequence::ChordSymbol;
use crate::{ChordChange, Error, NoteSequence, Result, Score, midi};
use std::path::Path;
use std::{fmt, str::FromStr};

/// A file format for music.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// A Standard MIDI File.
    Midi,
    /// MusicXML as text.
    MusicXml,
    /// MusicXML, compressed.
    Mxl,
    /// An ABC tune; of several in a file the first is read.
    Abc,
    /// JSON notes in beats ([`notes`]).
    Notes,
    /// note-seq's JSON, in seconds.
    NoteSequence,
}

/// Each format with its name and the endings of its files, the first of which is written.
const FORMATS: [(Format, &str, &[&str]); 6] = [
    (Format::Midi, "midi", &["mid", "midi", "smf", "kar", "rmi"]),
    (Format::MusicXml, "musicxml", &["musicxml", "xml"]),
    (Format::Mxl, "mxl", &["mxl"]),
    (Format::Abc, "abc", &["abc"]),
    // Before the general `json`.
    (Format::NoteSequence, "notesequence", &["noteseq.json"]),
    (Format::Notes, "notes", &["json"]),
];

impl Format {
    pub const ALL: [Format; 6] =
        [Format::Midi, Format::MusicXml, Format::Mxl, Format::Abc, Format::Notes, Format::NoteSequence];

    fn entry(self) -> &'static (Format, &'static str, &'static [&'static str]) {
        let at = FORMATS.iter().position(|(format, ..)| *format == self);
        &FORMATS[at.expect("the table has every format")]
    }

    /// `midi`, `musicxml`, `mxl`, `abc`, `notes`, `notesequence`.
    pub fn name(self) -> &'static str {
        self.entry().1
    }

    /// As sentences name a file of it: `a MIDI file`.
    pub fn title(self) -> &'static str {
        match self {
            Format::Midi => "a MIDI file",
            Format::MusicXml => "a MusicXML file",
            Format::Mxl => "a compressed MusicXML file",
            Format::Abc => "an ABC file",
            Format::Notes => "a file of JSON notes",
            Format::NoteSequence => "a file of note-seq's JSON",
        }
    }

    /// What files of this format end with, without the dot.
    pub fn extension(self) -> &'static str {
        self.entry().2[0]
    }

    /// By the end of a file's name, in either case; `None` for others.
    pub fn from_path(path: &Path) -> Option<Format> {
        let name = path.file_name()?.to_string_lossy().to_ascii_lowercase();
        let ends = |endings: &[&str]| {
            endings.iter().any(|it| name.strip_suffix(it).is_some_and(|it| it.ends_with('.')))
        };
        FORMATS.iter().find(|(_, _, endings)| ends(endings)).map(|it| it.0)
    }

    /// By what the first bytes say; `None` for what no reader here knows.
    pub fn sniff(bytes: &[u8]) -> Option<Format> {
        match bytes {
            [b'M', b'T', b'h', b'd', ..] => return Some(Format::Midi),
            [b'R', b'I', b'F', b'F', _, _, _, _, b'R', b'M', b'I', b'D', ..] => return Some(Format::Midi),
            [b'P', b'K', 3, 4, ..] => return Some(Format::Mxl),
            [0xff, 0xfe, b'<', 0, ..] | [0xfe, 0xff, 0, b'<', ..] => return Some(Format::MusicXml),
            _ => {}
        }
        let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes).trim_ascii_start();
        match text.first()? {
            b'<' => Some(Format::MusicXml),
            b'{' => {
                // A note sequence has no tracks.
                let tracks = text.windows(8).any(|word| word == b"\"tracks\"");
                Some(if tracks { Format::Notes } else { Format::NoteSequence })
            }
            _ => {
                let field = |line: &[u8]| {
                    line.starts_with(b"X:") || line.starts_with(b"K:") || line.starts_with(b"%abc")
                };
                text.split(|byte| matches!(byte, b'\n' | b'\r')).any(field).then_some(Format::Abc)
            }
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.pad(self.name())
    }
}

impl FromStr for Format {
    type Err = Error;

    fn from_str(text: &str) -> Result<Format> {
        let named = |it: &&(Format, &str, &[&str])| it.1 == text || it.2.contains(&text);
        let found = FORMATS.iter().find(named).map(|it| it.0);
        found.ok_or_else(|| Error::UnknownFormat { got: format!("{text:?}") })
    }
}

/// Reads a file of a known format.
///
/// # Errors
/// What the format's reader says.
pub fn read(bytes: &[u8], format: Format) -> Result<Score> {
    match format {
        Format::Midi => midi::read(bytes),
        Format::MusicXml => musicxml::read_bytes(bytes),
        Format::Mxl => musicxml::read(&musicxml::decompress(bytes)?),
        Format::Abc => abc::read(&latin(bytes)),
        Format::Notes => notes::read(utf8(bytes)?),
        Format::NoteSequence => from_sequence(&NoteSequence::from_json(utf8(bytes)?)?),
    }
}

/// Reads a file of any format, known by its content.
///
/// # Errors
/// [`Error::UnknownFormat`] for none of them; what the format's reader says.
pub fn read_any(bytes: &[u8]) -> Result<(Score, Format)> {
    let format =
        Format::sniff(bytes).ok_or_else(|| Error::UnknownFormat { got: "a file of another kind".into() })?;
    Ok((read(bytes, format)?, format))
}

/// Writes a file. Each format keeps what it has words for; see the modules.
///
/// # Errors
/// [`Error::TooManyBars`] or [`Error::Notation`] for music too long to be written in bars.
pub fn write(score: &Score, format: Format) -> Result<Vec<u8>> {
    Ok(match format {
        Format::Midi => midi::write(score),
        Format::MusicXml => musicxml::write(score)?.into_bytes(),
        Format::Mxl => musicxml::compress(&musicxml::write(score)?),
        Format::Abc => abc::write(score)?.into_bytes(),
        Format::Notes => notes::write(score).into_bytes(),
        Format::NoteSequence => to_sequence(score).to_json().into_bytes(),
    })
}

fn utf8(bytes: &[u8]) -> Result<&str> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    std::str::from_utf8(bytes).map_err(|error| Error::NotesJson(format!("the text must be UTF-8: {error}")))
}

/// Old tunes are in Latin-1.
fn latin(bytes: &[u8]) -> std::borrow::Cow<'_, str> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    match std::str::from_utf8(bytes) {
        Ok(text) => text.into(),
        Err(_) => bytes.iter().map(|&byte| char::from(byte)).collect::<String>().into(),
    }
}

fn to_sequence(score: &Score) -> NoteSequence {
    let mut sequence = NoteSequence::from(score);
    let chords = score.chords.iter().map(|change| ChordSymbol {
        time: score.tempos.seconds_at(change.at, score.ppq),
        text: symbol(change.chord.as_ref()),
    });
    sequence.chords = chords.collect();
    sequence
}

/// Symbols that name no chord are left out.
fn from_sequence(sequence: &NoteSequence) -> Result<Score> {
    let mut score = sequence.to_score();
    let chords = sequence.chords.iter().filter_map(|it| {
        let at = score.tempos.tick_at(it.time, score.ppq);
        parse_symbol(&it.text).ok().map(|chord| ChordChange { at, chord })
    });
    let mut chords: Vec<ChordChange> = chords.collect();
    chords.sort_by_key(|chord| chord.at);
    score.chords = chords;
    Ok(score)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_known_by_name_path_and_content() {
        for format in Format::ALL {
            assert_eq!(format.name().parse::<Format>(), Ok(format));
            let path = format!("a.b/Song.{}", format.extension().to_uppercase());
            assert_eq!(Format::from_path(Path::new(&path)), Some(format));
            let written = write(&Score::default(), format).expect("short");
            assert_eq!(Format::sniff(&written), Some(format), "{format}");
            assert_eq!(read_any(&written).expect("written by us").1, format);
        }
        assert_eq!(Format::from_path(Path::new("xml")), None);
        assert_eq!(
            (Format::sniff(b""), Format::sniff(b"hello"), Format::sniff(b"\x89PNG")),
            (None, None, None)
        );
        let message = "wav".parse::<Format>().expect_err("unknown").to_string();
        assert!(message.contains("musicxml") && message.contains("wav"), "{message}");
    }
}
