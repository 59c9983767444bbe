//! MusicXML is what it says: music21 reads what the program writes.

use std::process::Command;

use crate::python;
use crate::repository::Repository;
use crate::shell::{run, target, workspace};

const MUSIC21: &str = "music21==10.5.1";

/// Names and commands, where _ is a blank within a word: pieces in odd metres, keys with many accidentals, triplets, several voices and drums.
const PIECES: [(&str, &str); 6] = [
    ("melody", "generate melody --key Eb_minor --time 7/8 --bars 8 --seed 3"),
    ("free", "generate melody --key A_minor --time 5/4 --bars 8 --grid free --seed 4"),
    ("chorale", "generate chorale --key F#_major --time 3/4 --seed 5"),
    ("song", "generate song --style funk --key E_minor --bars 4 --straight --seed 6"),
    ("drums", "generate drums --style jazz --bars 4 --seed 6"),
    ("sung", "convert sung.abc"),
];
/// A tune with words, and what is sung; the words of the repeat are the second line.
const SUNG: (&str, &str) = (
    "X:1\nM:3/4\nL:1/4\nK:G\n|: G A B | c2- c :| B>A G |]\nw: Hal-le-lu | jah_ | A~big * end\nw: Sing it a-|gain\n",
    "Hal- le- lu jah Sing it a- gain A big end",
);

pub fn check(repository: &Repository) -> Result<(), String> {
    let python = python::tool(repository, MUSIC21, "python")?;
    run(&mut workspace(repository, "build", &["--bins"]))?;
    let program = target(repository).join("debug").join(format!("partita{}", std::env::consts::EXE_SUFFIX));
    let folder = std::env::temp_dir().join(format!("partita-notation-{}", std::process::id()));
    std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let outcome = (|| {
        for (name, text) in [("sung.abc", SUNG.0), ("sung.words", SUNG.1)] {
            std::fs::write(folder.join(name), text).map_err(|error| format!("{name}: {error}"))?;
        }
        for (name, words) in PIECES {
            let mut write = Command::new(&program);
            write.args(words.split(' ').map(|word| word.replace('_', " ")));
            write.arg("--output").arg(format!("{name}.musicxml"));
            write.arg("--output").arg(format!("{name}.json")).arg("--quiet");
            run(write.current_dir(&folder))?;
        }
        let mut read = Command::new(python);
        read.arg(repository.root.join("xtask").join("python").join("read_musicxml.py"));
        run(read.args(PIECES.map(|(name, _)| name)).current_dir(&folder))
    })();
    let removed = std::fs::remove_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()));
    outcome.and(removed)
}
