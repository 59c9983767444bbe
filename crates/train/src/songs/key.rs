//! Which of the two keys of a signature a song is in.

/// How well each pitch class fits, from the tonic up, major then minor.
///
/// Source: Krumhansl and Kessler 1982.
const PROFILES: [[f64; 12]; 2] = [
    [6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88],
    [6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17],
];
/// What the last root or note adds to its key's correlation.
const LAST: f64 = 0.15;

/// Tonic pitch class and whether it is minor: the major key of the signature or its relative minor, whichever the notes
/// (durations by pitch class) fit better. `last`: pitch classes that end the song, its last chord's root for one.
pub(super) fn key_of_signature(sharps: i8, weights: &[f64; 12], last: &[u8]) -> (u8, bool) {
    let major = (i32::from(sharps) * 7).rem_euclid(12) as u8;
    let score = |tonic: u8, minor: bool| {
        let ends = last.iter().filter(|class| **class % 12 == tonic).count() as f64;
        correlation(weights, &PROFILES[usize::from(minor)], tonic) + LAST * ends
    };
    let relative = (major + 9) % 12;
    if score(relative, true) > score(major, false) { (relative, true) } else { (major, false) }
}

fn correlation(weights: &[f64; 12], profile: &[f64; 12], tonic: u8) -> f64 {
    let mean = |values: &[f64; 12]| values.iter().sum::<f64>() / 12.0;
    let (mean_w, mean_p) = (mean(weights), mean(profile));
    let (mut both, mut w2, mut p2) = (0.0, 0.0, 0.0);
    for class in 0..12 {
        let w = weights[class] - mean_w;
        let p = profile[(class + 12 - usize::from(tonic)) % 12] - mean_p;
        both += w * p;
        w2 += w * w;
        p2 += p * p;
    }
    both / (w2 * p2).sqrt().max(1e-12)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_song_around_a_is_in_a_minor_and_one_around_c_in_c() {
        let weights = |heavy: [usize; 3]| {
            let mut weights = [0.0; 12];
            [0, 2, 4, 5, 7, 9, 11].into_iter().for_each(|class| weights[class] = 1.0);
            heavy.into_iter().for_each(|class| weights[class] = 4.0);
            weights
        };
        assert_eq!(key_of_signature(0, &weights([9, 0, 4]), &[9]), (9, true));
        assert_eq!(key_of_signature(0, &weights([0, 4, 7]), &[0]), (0, false));
        assert_eq!(key_of_signature(-3, &weights([3, 7, 10]), &[3]), (3, false));
    }
}
