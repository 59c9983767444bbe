//! The Groove MIDI Dataset as clips of quantised hits, by its official split.

use std::path::{Path, PathBuf};

use partita_score::{DrumMap, Hit, Meter, midi, quantize_drums};
use partita_tokens::drums::MAX_STEPS_PER_BAR;

/// The official split of a clip.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Split {
    Train,
    Validation,
    Test,
}

impl Split {
    pub const ALL: [Split; 3] = [Split::Train, Split::Validation, Split::Test];

    pub fn name(self) -> &'static str {
        match self {
            Split::Train => "train",
            Split::Validation => "validation",
            Split::Test => "test",
        }
    }
}

/// One recorded performance.
#[derive(Clone, Debug)]
pub struct Clip {
    /// File name inside the data set.
    pub name: String,
    pub drummer: String,
    /// Index into [`Groove::styles`].
    pub style: usize,
    /// Beats per minute.
    pub tempo: f64,
    pub meter: Meter,
    /// A fill, rather than a beat that keeps time.
    pub fill: bool,
    pub split: Split,
    pub bars: u32,
    /// Sorted by `(step, class, offset)`.
    pub hits: Vec<Hit>,
}

impl Clip {
    pub fn steps_per_bar(&self) -> u32 {
        self.meter.steps_per_bar()
    }

    /// Hits of `bars` bars from `first`, steps counted from there.
    pub fn window(&self, first: u32, bars: u32) -> Vec<Hit> {
        let steps = self.steps_per_bar();
        let (start, end) = (first * steps, (first + bars) * steps);
        let from = self.hits.partition_point(|hit| hit.step < start);
        let to = self.hits.partition_point(|hit| hit.step < end);
        self.hits[from..to].iter().map(|hit| Hit { step: hit.step - start, ..*hit }).collect()
    }
}

/// The whole data set.
#[derive(Clone, Debug)]
pub struct Groove {
    pub clips: Vec<Clip>,
    /// Primary styles, sorted by name.
    pub styles: Vec<String>,
    /// SHA-256 over the sorted lines `file,split`: which split a number was measured on.
    pub split_hash: String,
}

/// Why a data set cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("data must be a folder with the Groove MIDI Dataset's info.csv, got {}", .0.display())]
    NoInfo(PathBuf),
    #[error("cannot read {}: {source}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("info.csv line {line} must have a {column}, got {got:?}")]
    Info { line: usize, column: &'static str, got: String },
    #[error("{}: {message}", path.display())]
    Midi { path: PathBuf, message: String },
}

impl Groove {
    /// Reads every performance under `folder`, which holds `info.csv` itself or in `groove/`.
    ///
    /// # Errors
    /// A missing or unreadable file, or a row of `info.csv` that makes no sense, by name.
    pub fn load(folder: &Path) -> Result<Groove, Error> {
        let root = [folder.to_path_buf(), folder.join("groove")]
            .into_iter()
            .find(|path| path.join("info.csv").is_file())
            .ok_or_else(|| Error::NoInfo(folder.to_path_buf()))?;
        let read = |path: PathBuf| std::fs::read(&path).map_err(|source| Error::Read { path, source });
        let info = String::from_utf8_lossy(&read(root.join("info.csv"))?).into_owned();
        let mut rows = info.lines().enumerate();
        let header: Vec<&str> = rows.next().map(|(_, line)| line.split(',').collect()).unwrap_or_default();
        let column = |fields: &[&str], line: usize, name: &'static str| -> Result<String, Error> {
            let value = header.iter().position(|h| *h == name).and_then(|i| fields.get(i)).copied();
            value.map(str::to_owned).ok_or_else(|| Error::Info {
                line: line + 1,
                column: name,
                got: fields.join(","),
            })
        };
        let mut found = Vec::new();
        for (line, text) in rows.filter(|(_, text)| !text.trim().is_empty()) {
            let fields: Vec<&str> = text.trim_end().split(',').collect();
            let get = |name| column(&fields, line, name);
            let bad = |column, got: &str| Error::Info { line: line + 1, column, got: got.to_owned() };
            let (tempo, split, style) = (get("bpm")?, get("split")?, get("style")?);
            let name = get("midi_filename")?;
            let split =
                Split::ALL.into_iter().find(|s| s.name() == split).ok_or_else(|| bad("split", &split))?;
            let primary = style.split('/').next().unwrap_or_default().to_owned();
            let bytes = read(root.join(&name))?;
            let error = |message: String| Error::Midi { path: root.join(&name), message };
            let score = midi::read(&bytes).map_err(|e| error(e.to_string()))?;
            let quantized = quantize_drums(&score, DrumMap::Td11).map_err(|e| error(e.to_string()))?;
            let steps = quantized.pattern.meter.steps_per_bar();
            if !(1..=MAX_STEPS_PER_BAR).contains(&steps) {
                return Err(error(format!(
                    "a bar must have 1..={MAX_STEPS_PER_BAR} sixteenths, got {steps}"
                )));
            }
            let clip = Clip {
                drummer: get("drummer")?,
                style: 0,
                tempo: tempo.parse().map_err(|_| bad("bpm", &tempo))?,
                meter: quantized.pattern.meter,
                fill: get("beat_type")? == "fill",
                split,
                bars: quantized.pattern.bars,
                hits: quantized.pattern.hits,
                name,
            };
            found.push((primary, clip));
        }
        let mut styles: Vec<String> = found.iter().map(|(style, _)| style.clone()).collect();
        styles.sort();
        styles.dedup();
        let clips: Vec<Clip> = found
            .into_iter()
            .map(|(style, clip)| Clip {
                style: styles.binary_search(&style).expect("every style is listed"),
                ..clip
            })
            .collect();
        Ok(Groove { split_hash: split_hash(&clips), clips, styles })
    }

    /// Clips of one split.
    pub fn split(&self, split: Split) -> impl Iterator<Item = &Clip> {
        self.clips.iter().filter(move |clip| clip.split == split)
    }
}

fn split_hash(clips: &[Clip]) -> String {
    use sha2::{Digest, Sha256};
    let mut lines: Vec<String> = clips.iter().map(|c| format!("{},{}\n", c.name, c.split.name())).collect();
    lines.sort();
    Sha256::digest(lines.concat()).iter().map(|byte| format!("{byte:02x}")).collect()
}
