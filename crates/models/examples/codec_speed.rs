//! Measures the codec of MusicGen at its published size, with random weights:
//! `codec_speed --seconds 30 --threads 2 --piece 0 --runs 5 [--encode 1]`. Prints one line of JSON.
//!
//! `--piece` is the number of frames that come at once; 0 for the whole clip.
#![forbid(unsafe_code)]

use std::error::Error;
use std::sync::Arc;
use std::time::Instant;

use partita_kernels::{Compute, Path, Pool};
use partita_models::musicgen::codec::{Codec, CodecConfig, CodecEncoder};
use partita_nn::Rng;

fn main() -> Result<(), Box<dyn Error>> {
    let (mut seconds, mut threads, mut piece, mut runs, mut encode) = (10.0, 2, 0, 5, 0);
    let mut arguments = std::env::args().skip(1);
    while let Some(flag) = arguments.next() {
        let value = arguments.next().ok_or_else(|| format!("{flag} needs a value"))?;
        match flag.as_str() {
            "--seconds" => seconds = value.parse()?,
            "--threads" => threads = value.parse()?,
            "--piece" => piece = value.parse()?,
            "--runs" => runs = value.parse::<usize>()?.max(1),
            "--encode" => encode = value.parse()?,
            _ => return Err(format!("unknown flag {flag}").into()),
        }
    }
    let config = CodecConfig::encodec_32khz();
    let path = Path::from_env()?;
    let mut compute = Compute::new(Arc::new(Pool::new(threads)?), path);
    let mut rng = Rng::new(1, 0);
    let frames = (seconds * config.frame_rate() as f64) as usize;
    let seconds = frames as f64 / config.frame_rate() as f64;
    let mut times = Vec::new();
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut mix = |bits: u32| hash = (hash ^ u64::from(bits)).wrapping_mul(0x100_0000_01b3);
    if encode > 0 {
        let encoder = CodecEncoder::random(&config, 1)?;
        let samples: Vec<f32> = (0..frames * config.hop()).map(|_| rng.f32() - 0.5).collect();
        for _ in 0..runs {
            let started = Instant::now();
            let codes = encoder.encode(&mut compute, &samples)?;
            times.push(started.elapsed().as_secs_f64());
            codes.iter().flatten().for_each(|&code| mix(code));
        }
    } else {
        let codec = Codec::random(&config, 1)?;
        let code = |_| (rng.f32() * config.codebook_size as f32) as u32 % config.codebook_size as u32;
        let codes: Vec<u32> = (0..config.codebooks() * frames).map(code).collect();
        let codes: Vec<&[u32]> = codes.chunks(frames.max(1)).collect();
        for _ in 0..runs {
            let mut stream = codec.stream();
            let size = if piece == 0 { frames } else { piece };
            let started = Instant::now();
            let mut samples = Vec::new();
            for first in (0..frames).step_by(size.max(1)) {
                let last = frames.min(first + size);
                let part: Vec<&[u32]> = codes.iter().map(|codes| &codes[first..last]).collect();
                samples.extend(stream.push(&mut compute, &part)?);
            }
            samples.extend(stream.finish(&mut compute));
            times.push(started.elapsed().as_secs_f64());
            samples.iter().for_each(|sample| mix(sample.to_bits()));
        }
    }
    times.sort_by(f64::total_cmp);
    let (median, best) = (times[times.len() / 2] / seconds, times[0] / seconds);
    println!(
        "{{\"what\": \"{}\", \"audio_s\": {seconds}, \"piece\": {piece}, \"threads\": {threads}, \"kernels\": \"{}\", \
         \"s_per_audio_s\": {median:.4}, \"best\": {best:.4}, \"hash\": \"{hash:016x}\"}}",
        if encode > 0 { "encode" } else { "decode" },
        path.name(),
    );
    Ok(())
}
