//! MusicGen for many requests at once.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};

use partita_kernels::{Path, Pool};
use partita_models::musicgen::{Error, Generate, MusicGen, Precisions, Progress, Shared, share};

fn model(name: &str) -> Arc<MusicGen> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../testdata/reference/hf").join(name);
    Arc::new(MusicGen::open(&folder, Precisions::default()).unwrap())
}

fn machine() -> (Arc<Pool>, Path) {
    (Arc::new(Pool::new(2).unwrap()), Path::from_env().unwrap())
}

fn request(seed: u64, seconds: f64, variations: usize) -> Generate {
    Generate { prompt: "drums".into(), seconds, seed, variations, ..Generate::default() }
}

/// `[variation][C][N]`
type Clips = Vec<Vec<Vec<f32>>>;

fn play(shared: &Shared, request: &Generate) -> Result<Clips, Error> {
    let channels = shared.model().config().decoder.audio_channels;
    let mut clips = vec![vec![Vec::new(); channels]; request.variations];
    let prepared = shared.model().prepare(&mut shared.compute(), request)?;
    shared.play(request, &prepared, &mut |progress: Progress| {
        for audio in progress.new {
            clips[audio.variation].iter_mut().zip(audio.samples).for_each(|(all, new)| all.extend(new));
        }
        ControlFlow::Continue(())
    })?;
    Ok(clips)
}

#[test]
fn musicgen_requests_that_share_a_model_get_what_they_get_alone() {
    for (name, most) in [("musicgen_mono", 4), ("musicgen_stereo", 2), ("musicgen_melody", 1)] {
        let (pool, path) = machine();
        let requests = [
            request(1, 1.0, 1),
            request(2, 1.5, 3),
            request(3, 2.0, 1),
            request(1, 1.0, 2),
            request(9, 1.0, 1),
        ];
        let alone = model(name);
        let expected: Vec<Clips> =
            requests.iter().map(|request| alone.generate(&pool, path, request).unwrap()).collect();
        let (shared, steps) = share(model(name), Arc::clone(&pool), path, most);
        let thread = std::thread::spawn(move || steps.run());
        std::thread::scope(|scope| {
            let all: Vec<_> = requests
                .iter()
                .map(|request| {
                    let shared = shared.clone();
                    scope.spawn(move || play(&shared, request).unwrap())
                })
                .collect();
            let got: Vec<Clips> = all.into_iter().map(|one| one.join().unwrap()).collect();
            assert!(got == expected, "{name}");
        });
        let counts = shared.counts();
        drop(shared);
        thread.join().unwrap();
        assert!(counts.stepped <= most as u64 * counts.steps, "{name}: {counts:?}");
        // 10.5 seconds of 50 frames.
        assert_eq!(counts.frames, 50 * (1 + 3 * 3 / 2 + 2 + 2 + 1) + 25, "{name}");
    }
}

#[test]
fn musicgen_a_request_that_is_broken_off_leaves_its_place_to_others() {
    let (pool, path) = machine();
    let (shared, steps) = share(model("musicgen_mono"), pool, path, 1);
    let thread = std::thread::spawn(move || steps.run());
    let (started, calls) = (Barrier::new(2), AtomicUsize::new(0));
    let long = request(1, 300.0, 2);
    std::thread::scope(|scope| {
        let broken = scope.spawn(|| {
            let prepared = shared.model().prepare(&mut shared.compute(), &long).unwrap();
            shared.play(&long, &prepared, &mut |_| match calls.fetch_add(1, Ordering::Relaxed) {
                0 => {
                    started.wait();
                    ControlFlow::Continue(())
                }
                1 | 2 => ControlFlow::Continue(()),
                _ => ControlFlow::Break(()),
            })
        });
        started.wait();
        assert_eq!(play(&shared, &request(2, 1.0, 1)).unwrap()[0][0].len(), 32_000);
        assert!(matches!(broken.join().unwrap(), Err(Error::Cancelled)));
    });
    let counts = shared.counts();
    assert!(counts.frames < 300 * 50, "{counts:?}");
    drop(shared);
    thread.join().unwrap();
}

#[test]
fn musicgen_nobody_waits_for_a_loop_that_has_ended() {
    let (pool, path) = machine();
    let (shared, steps) = share(model("musicgen_mono"), pool, path, 1);
    drop(steps);
    assert!(matches!(play(&shared, &request(1, 1.0, 1)), Err(Error::Stopped)));
}
