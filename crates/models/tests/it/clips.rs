//! Clips played to their end.

use partita_kernels::Compute;
use partita_models::musicgen::{Clip, Frames, MusicGen};

/// Codes `[clip][K][frames]` of clips played together.
pub fn play(model: &MusicGen, compute: Compute, clips: Vec<Clip>) -> Vec<Vec<Vec<u32>>> {
    let mut stage = model.stage(compute).unwrap();
    let mut codes = vec![vec![Vec::new(); model.config().decoder.num_codebooks]; clips.len()];
    for (tag, clip) in clips.into_iter().enumerate() {
        stage.join(tag as u64, clip).unwrap();
    }
    let mut heard: Vec<Frames> = Vec::new();
    while stage.clips() > 0 {
        stage.step(&mut heard).unwrap();
        for frames in heard.drain(..) {
            let all = codes[frames.tag as usize].iter_mut();
            all.zip(frames.codes).for_each(|(all, new)| all.extend(new));
        }
    }
    codes
}
