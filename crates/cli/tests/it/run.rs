//! Runs the program in a folder of its own.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use partita_score::{DrumMap, DrumPattern, Score, midi, quantize_drums};
use serde_json::Value;
use tempfile::TempDir;

/// A folder that goes away with the test.
pub struct Place(TempDir);

impl Place {
    pub fn new() -> Place {
        Place(tempfile::tempdir().expect("a temporary folder"))
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_partita"));
        command.args(arguments).current_dir(self.0.path()).stdin(Stdio::null());
        // Models of whoever runs the tests are none of theirs.
        command.env("XDG_DATA_HOME", self.0.path().join(".data"));
        for variable in ["PARTITA_KERNELS", "PARTITA_THREADS", "LC_ALL", "LC_CTYPE", "LANG"] {
            command.env_remove(variable);
        }
        command
    }

    /// Arguments separated by spaces.
    pub fn run(&self, line: &str) -> Ran {
        let arguments: Vec<&str> = line.split_whitespace().collect();
        Ran(self.command(&arguments).output().expect("the program starts"))
    }

    /// Runs a line that must succeed.
    pub fn ok(&self, line: &str) -> Ran {
        let ran = self.run(line);
        assert_eq!(ran.code(), 0, "{line}: {}", ran.stderr());
        ran
    }

    /// Runs the command that a result says would make it again, and says whether `file` has the same bytes.
    pub fn makes_again(&self, told: &Value, file: &str) -> bool {
        let before = self.read(file);
        let mut words = words(told["command"].as_str().expect("a command"));
        words.push("--force".into());
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let ran = Ran(self.command(&words).output().expect("the program starts"));
        assert_eq!(ran.code(), 0, "{words:?}: {}", ran.stderr());
        self.read(file) == before
    }

    pub fn write(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.path(name), bytes).expect("written");
    }

    pub fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    pub fn score(&self, name: &str) -> Score {
        midi::read(&self.read(name)).expect("a MIDI file")
    }

    pub fn drums(&self, name: &str) -> DrumPattern {
        quantize_drums(&self.score(name), DrumMap::Gm).expect("has drums").pattern
    }

    /// Copies a file of the shared test data.
    pub fn sample(&self, name: &str) {
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/midi").join(name);
        std::fs::copy(from, self.path("in.mid")).expect("test data");
    }

    /// Every name in the folder, sorted.
    pub fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.0.path()).expect("readable");
        let mut names: Vec<_> = entries
            .map(|entry| entry.expect("readable").file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }
}

/// The words of a command line as a shell reads them, without the program.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for c in line.chars() {
        match c {
            '\'' => quoted = !quoted,
            ' ' if !quoted => words.push(String::new()),
            c => words.last_mut().expect("never empty").push(c),
        }
    }
    words.split_off(1)
}

pub struct Ran(pub Output);

impl Ran {
    pub fn code(&self) -> i32 {
        self.0.status.code().unwrap_or(-1)
    }

    pub fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.0.stdout).into_owned()
    }

    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.0.stderr).into_owned()
    }

    /// The one object on stdout.
    pub fn json(&self) -> Value {
        let stdout = self.stdout();
        assert_eq!(stdout.trim_end().lines().count(), 1, "{stdout}");
        serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{error}: {stdout}"))
    }
}
