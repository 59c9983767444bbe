//! Files tokenized a second: `miditok_speed FOLDER TOKENIZER [RUNS]`, one thread, files read from disk each time.
//!
//! Prints the median run as a JSON row. `TOKENIZER` is a `tokenizer.json` or its folder.

use std::path::{Path, PathBuf};
use std::time::Instant;

use partita_tokens::miditok::Tokenizer;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let usage = "usage: miditok_speed FOLDER TOKENIZER [RUNS]";
    let (folder, tokenizer) = (arguments.next().ok_or(usage)?, arguments.next().ok_or(usage)?);
    let runs: usize = arguments.next().map_or(Ok(5), |runs| runs.parse())?;
    let tokenizer = Tokenizer::open(tokenizer)?;
    let mut files = Vec::new();
    collect(Path::new(&folder), &mut files)?;
    files.sort();
    let mut seconds = Vec::new();
    let (mut ids, mut refused) = (0, 0);
    for _ in 0..runs.max(1) {
        (ids, refused) = (0, 0);
        let start = Instant::now();
        for file in &files {
            match tokenizer.encode(&std::fs::read(file)?) {
                Ok(tokens) => ids += tokens.ids.iter().map(Vec::len).sum::<usize>(),
                Err(_) => refused += 1,
            }
        }
        seconds.push(start.elapsed().as_secs_f64());
    }
    seconds.sort_by(f64::total_cmp);
    let rate = files.len() as f64 / seconds[seconds.len() / 2];
    println!(
        "{{\"program\": \"partita\", \"files\": {}, \"refused\": {refused}, \"tokens\": {ids}, \"files_per_s\": {rate:.1}}}",
        files.len()
    );
    Ok(())
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|it| it == "mid" || it == "midi") {
            files.push(path);
        }
    }
    Ok(())
}
