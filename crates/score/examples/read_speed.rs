//! How fast MIDI files are read, from disk to `Score`: `read_speed DIR [REPETITIONS]`.
//!
//! Prints one JSON row: the median over the repetitions, files found below DIR in path order.

use std::{
    error::Error,
    fs,
    path::{Path, PathBuf},
    time::Instant,
};

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let root = args.next().ok_or("usage: read_speed DIR [REPETITIONS]")?;
    let repetitions: usize = args.next().map_or(Ok(5), |count| count.parse())?;
    let mut files = Vec::new();
    walk(Path::new(&root), &mut files)?;
    files.sort();
    let size: u64 = files.iter().map(|file| fs::metadata(file).map_or(0, |data| data.len())).sum();
    let (mut bad, mut notes) = (0, 0);
    let mut seconds: Vec<f64> = (0..repetitions.max(1))
        .map(|_| {
            (bad, notes) = (0, 0);
            let start = Instant::now();
            for file in &files {
                match fs::read(file)
                    .map_err(|_| ())
                    .and_then(|bytes| partita_score::midi::read(&bytes).map_err(|_| ()))
                {
                    Ok(score) => notes += score.tracks.iter().map(|track| track.notes.len()).sum::<usize>(),
                    Err(()) => bad += 1,
                }
            }
            start.elapsed().as_secs_f64()
        })
        .collect();
    seconds.sort_by(f64::total_cmp);
    let median = seconds[seconds.len() / 2];
    let (count, megabytes) = (files.len(), size as f64 / 1e6);
    println!(
        "{{\"peer\": \"partita-score\", \"files\": {count}, \"notes\": {notes}, \"mb\": {megabytes:.2}, \"bad\": {bad}, \
         \"files_per_s\": {:.1}, \"mb_per_s\": {:.2}, \"ms_per_file\": {:.4}}}",
        count as f64 / median,
        megabytes / median,
        median / count as f64 * 1e3,
    );
    Ok(())
}

fn walk(folder: &Path, into: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let extension = path.extension().map(|e| e.to_string_lossy().to_lowercase());
        if path.is_dir() {
            walk(&path, into)?;
        } else if matches!(extension.as_deref(), Some("mid" | "midi")) {
            into.push(path);
        }
    }
    Ok(())
}
