//! Physical facts about the built-in kits.

use crate::helpers::*;
use partita_audio::{Kit, render};

#[test]
fn kick_energy_is_below_150_hz() {
    for kit in Kit::ALL {
        let low = share(&mono(kit, &[(0.0, 36, 100)]), 0.0, 150.0);
        assert!(low > 0.75, "{kit}: {low}");
    }
}

#[test]
fn hat_energy_is_above_5_khz() {
    for kit in Kit::ALL {
        for pitch in [42, 44, 46] {
            let high = share(&mono(kit, &[(0.0, pitch, 100)]), 5000.0, 22_050.0);
            assert!(high > 0.7, "{kit} {pitch}: {high}");
        }
    }
}

#[test]
fn snare_has_a_tone_and_wires() {
    for kit in Kit::ALL {
        let snare = mono(kit, &[(0.0, 38, 110)]);
        assert!(share(&snare, 120.0, 450.0) > 0.1, "{kit} tone");
        assert!(share(&snare, 1500.0, 16_000.0) > 0.15, "{kit} wires");
    }
}

#[test]
fn open_hat_rings_longer_than_closed_and_a_closed_one_chokes_it() {
    for kit in Kit::ALL {
        let late = |strokes: &[Stroke]| energy(part(&mono(kit, strokes), 0.35, 0.6));
        let open = late(&[(0.0, 46, 100)]);
        assert!(open > 100.0 * late(&[(0.0, 42, 100)]), "{kit} closed");
        for foot_or_stick in [42, 44] {
            let choked = late(&[(0.0, 46, 100), (0.1, foot_or_stick, 60)]);
            assert!(open > 20.0 * choked, "{kit} {foot_or_stick}: {open} {choked}");
        }
        // A snare does not.
        let with_snare = energy(part(&mono(kit, &[(0.0, 46, 100), (0.1, 38, 1)]), 0.5, 0.6));
        assert!(with_snare > 0.5 * energy(part(&mono(kit, &[(0.0, 46, 100)]), 0.5, 0.6)), "{kit} snare");
    }
}

#[test]
fn crash_rings_longer_than_a_ride_tip_is_bright() {
    let crash = mono(Kit::Acoustic, &[(0.0, 49, 110)]);
    assert!(energy(part(&crash, 1.0, 1.3)) > 1e-4 * energy(part(&crash, 0.0, 0.3)));
    let ride = mono(Kit::Acoustic, &[(0.0, 51, 110)]);
    assert!(centroid(&ride) > 2500.0);
}

#[test]
fn harder_strokes_are_louder_and_brighter() {
    for kit in Kit::ALL {
        for pitch in [36, 37, 38, 42, 46, 48, 49, 51, 54, 56, 70] {
            let waves = [30, 75, 120].map(|velocity| mono(kit, &[(0.0, pitch, velocity)]));
            let energies = waves.each_ref().map(|wave| energy(wave));
            assert!(
                energies[0] * 2.0 < energies[1] && energies[1] * 1.5 < energies[2],
                "{kit} {pitch}: {energies:?}"
            );
            let bright = waves.each_ref().map(|wave| centroid(wave));
            assert!(bright[0] < bright[2], "{kit} {pitch}: {bright:?}");
        }
    }
}

#[test]
fn toms_are_ordered_in_pitch() {
    for kit in Kit::ALL {
        let tones = [41, 43, 45, 47, 48, 50].map(|pitch| strongest(&mono(kit, &[(0.0, pitch, 80)])));
        assert!(tones.is_sorted() && tones[5] > 1.7 * tones[0], "{kit}: {tones:?}");
    }
}

#[test]
fn repeated_strokes_differ_slightly() {
    let beat = 0.4;
    let strokes: Vec<Stroke> = (0..3).map(|i| (f64::from(i) * beat, 42, 90)).collect();
    let wave = mono(Kit::Acoustic, &strokes);
    let (a, b) = (part(&wave, 0.0, 0.15), part(&wave, beat, beat + 0.15));
    assert_ne!(a, b);
    let ratio = energy(a) / energy(b);
    assert!((0.5..2.0).contains(&ratio), "{ratio}");
}

#[test]
fn no_stroke_passes_full_scale_at_any_velocity() {
    for kit in Kit::ALL {
        for pitch in [35, 36, 38, 41, 46, 49, 51, 53, 56] {
            for velocity in [1, 64, 127] {
                let pcm = render(&score(9, 0, &[(0.0, pitch, velocity)]), &options(kit)).unwrap();
                assert!(pcm.peak() <= 1.0 && pcm.peak() > 0.0, "{kit} {pitch} {velocity}: {}", pcm.peak());
            }
        }
    }
}

#[test]
fn hi_hat_is_left_and_floor_tom_right_of_the_drummer() {
    let sides = |pitch| {
        let pcm = render(&score(9, 0, &[(0.0, pitch, 100)]), &options(Kit::Acoustic)).unwrap();
        (energy(&pcm.channels[0]), energy(&pcm.channels[1]))
    };
    let (left, right) = sides(42);
    assert!(left > 2.0 * right);
    let (left, right) = sides(41);
    assert!(right > 2.0 * left);
}
