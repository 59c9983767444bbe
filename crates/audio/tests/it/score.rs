//! Whole renders: loudness, files, limits.

use crate::helpers::*;
use partita_audio::wav::wav_bytes;
use partita_audio::{
    Error, Kit, RenderOptions, Voice, WavFormat, integrated_loudness, read_wav, render, true_peak,
};
use partita_score::{Control, ControlKind, Score, Second, Tick, Track};

fn beat() -> Score {
    let mut strokes = Vec::new();
    for step in 0..32u32 {
        let at = f64::from(step) * 0.14;
        strokes.push((at, if step % 16 == 14 { 46 } else { 42 }, if step % 2 == 0 { 92 } else { 50 }));
        match step % 16 {
            0 | 3 | 10 => strokes.push((at, 36, 112)),
            4 | 12 => strokes.push((at, 38, 116)),
            7 | 9 => strokes.push((at, 38, 30)),
            _ => {}
        }
    }
    score(9, 0, &strokes)
}

#[test]
fn loudness_hits_the_target_below_the_ceiling() {
    for kit in Kit::ALL {
        for target in [-60.0, -23.0, -14.0] {
            let options =
                RenderOptions { voice: Voice::Kit(kit), loudness: Some(target), ..Default::default() };
            let pcm = render(&beat(), &options).unwrap();
            let loudness = integrated_loudness(&pcm).unwrap();
            assert!((loudness - target).abs() < 0.5, "{kit} {target}: {loudness}");
            assert!(true_peak(&pcm).unwrap() <= 0.8913, "{kit} {target}");
        }
    }
}

#[test]
fn same_score_same_bytes() {
    for kit in Kit::ALL {
        let options = RenderOptions { voice: Voice::Kit(kit), ..Default::default() };
        let bytes = || wav_bytes(&render(&beat(), &options).unwrap(), WavFormat::Int16).unwrap();
        assert_eq!(bytes(), bytes());
    }
}

#[test]
fn wav_round_trip_of_a_render_at_the_three_formats() {
    let pcm = render(&beat(), &RenderOptions::default()).unwrap();
    for (format, step) in
        [(WavFormat::Int16, 1.6 / 32_767.0), (WavFormat::Int24, 1.0 / 8_388_607.0), (WavFormat::Float32, 0.0)]
    {
        let back = read_wav(&wav_bytes(&pcm, format).unwrap()).unwrap();
        assert_eq!((back.sample_rate, back.frames()), (pcm.sample_rate, pcm.frames()));
        let far = pcm.channels.iter().flatten().zip(back.channels.iter().flatten());
        assert!(far.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max) <= step, "{format:?}");
    }
}

#[test]
fn render_lasts_as_long_as_the_score_and_its_tail() {
    for sample_rate in [8000, 22_050, 48_000, 192_000] {
        let options = RenderOptions { sample_rate, tail: Second(0.5), ..Default::default() };
        let pcm = render(&score(9, 0, &[(0.0, 36, 100), (1.0, 38, 100)]), &options).unwrap();
        assert_eq!((pcm.sample_rate, pcm.channels.len()), (sample_rate, 2));
        assert!((pcm.duration() - 1.6).abs() < 0.001);
    }
}

#[test]
fn onsets_land_on_their_frame() {
    let wave = mono(Kit::Analog909, &[(0.5, 37, 120)]);
    let first = wave.iter().position(|&x| x != 0.0).unwrap();
    assert!((22_050..22_060).contains(&first), "{first}");
}

#[test]
fn tracks_beside_the_drums_are_heard() {
    for program in [0, 19, 33, 48, 89] {
        let pcm = render(&score(0, program, &[(0.0, 57, 90)]), &options(Kit::Acoustic)).unwrap();
        let tone = strongest(&mix(&pcm));
        assert!(pcm.peak() > 0.01, "{program}");
        assert!((tone / 220.0 - (tone / 220.0).round()).abs() < 0.03 && tone > 200.0, "{program}: {tone}");
    }
}

#[test]
fn volume_and_pan_controls_are_followed() {
    let mut score = score(0, 0, &[(0.0, 60, 90)]);
    let loud = render(&score, &options(Kit::Acoustic)).unwrap();
    let change = |number, value| Control { at: Tick(0), kind: ControlKind::ControlChange { number, value } };
    score.tracks[0].controls = vec![change(7, 50), change(10, 0)];
    let quiet = render(&score, &options(Kit::Acoustic)).unwrap();
    assert!(energy(&quiet.channels[0]) < 0.3 * energy(&loud.channels[0]));
    assert!(energy(&quiet.channels[1]) < 0.1 * energy(&quiet.channels[0]));
}

#[test]
fn options_and_scores_out_of_range_are_errors() {
    let good = beat();
    let fails = |score: &Score, options: RenderOptions| render(score, &options).unwrap_err().to_string();
    let default = RenderOptions::default;
    assert!(matches!(render(&Score::default(), &default()), Err(Error::EmptyScore)));
    let no_notes = Score { tracks: vec![Track::default()], ..Score::default() };
    assert!(fails(&no_notes, default()).contains("silence"));
    assert_eq!(
        fails(&good, RenderOptions { sample_rate: 7999, ..default() }),
        "sample_rate must be in 8000..=192000 Hz, got 7999"
    );
    assert!(fails(&good, RenderOptions { tail: Second(f64::NAN), ..default() }).starts_with("tail"));
    assert!(fails(&good, RenderOptions { loudness: Some(3.0), ..default() }).starts_with("loudness"));
    let long = score(9, 0, &[(0.0, 36, 100), (3601.0, 36, 100)]);
    assert_eq!(fails(&long, default()), "score must last at most 1520 seconds, got 3601");
}

#[test]
fn a_crowd_of_notes_at_one_moment_stays_finite() {
    let strokes: Vec<Stroke> = (0..3000).map(|i| (0.0, (i % 128) as u8, 127)).collect();
    for channel in [0, 9] {
        let pcm = render(&score(channel, 50, &strokes), &RenderOptions::default()).unwrap();
        assert!(pcm.channels.iter().flatten().all(|x| x.abs() <= 1.0));
    }
}

#[test]
fn one_short_stroke_is_rendered_although_it_cannot_be_measured() {
    let options = RenderOptions { tail: Second(0.0), ..Default::default() };
    let pcm = render(&score(9, 0, &[(0.0, 42, 5)]), &options).unwrap();
    assert!((0.5..=0.9).contains(&pcm.peak()), "{}", pcm.peak());
}
