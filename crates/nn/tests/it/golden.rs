//! The same bits on every path, for any number of threads and any batch, and on every machine: a
//! hash of logits, written down once (`UPDATE_GOLDEN=1` writes it again).

use std::sync::Arc;

use partita_nn::{Decoder, Gpt, GptConfig, KvPrecision, Path, Pool, Precision};

const STEPS: usize = 20;

/// The logits of one sequence, alone or as the first of `batch`.
fn hash(gpt: &Arc<Gpt>, kv: KvPrecision, path: Path, threads: usize, batch: usize) -> u64 {
    let mut decoder = Decoder::new(gpt, Arc::new(Pool::new(threads).unwrap()), path, kv);
    let vocab = gpt.config().vocab as u32;
    let sequences: Vec<_> = (0..batch).map(|_| decoder.join(None)).collect();
    for (index, &sequence) in sequences.iter().enumerate() {
        let prompt: Vec<u32> =
            (0..21 + index as u32 % 5).map(|at| (at * 37 + index as u32) % vocab).collect();
        decoder.prefill(sequence, &prompt).unwrap();
    }
    let mut hash = 0xcbf2_9ce4_8422_2325u64;
    let mut record = |values: &[f32]| {
        for value in values {
            hash = (hash ^ u64::from(value.to_bits())).wrapping_mul(0x0100_0000_01b3);
        }
    };
    record(decoder.last_logits(sequences[0]).unwrap().expect("a prefill leaves logits"));
    for step in 0..STEPS as u32 {
        let tokens: Vec<_> = sequences.iter().map(|&sequence| (sequence, step * 11 % vocab)).collect();
        record(decoder.step(&tokens).unwrap().row(0));
    }
    hash
}

/// Compares everything with everything, and with `golden/<name>.txt`.
fn check(name: &str, config: &GptConfig) {
    let mut lines = String::new();
    for precision in Precision::ALL {
        let gpt = Arc::new(Gpt::random(config.clone(), precision, 11).unwrap());
        for kv in KvPrecision::ALL {
            let mut first = None;
            let mut checked = Vec::new();
            for path in Path::ALL.into_iter().rev().filter(|path| path.is_supported()) {
                for (threads, batch) in [(1, 1), (2, 1), (1, 3), (2, 3), (1, 16), (2, 16)] {
                    // Without fused multiply-add instructions the large network is slow, and the
                    // batches add nothing there.
                    if path == Path::Generic && config.width > 100 && batch > 1 {
                        continue;
                    }
                    let got = hash(&gpt, kv, path, threads, batch);
                    let place =
                        format!("{precision:?} {kv:?} {} threads {threads} batch {batch}", path.name());
                    assert_eq!(*first.get_or_insert(got), got, "{place}");
                }
                checked.push(path.name());
            }
            let hash = first.expect("the generic path is always there");
            lines += &format!("{} weights, {} cache: {hash:016x}\n", precision.name(), kv.name());
            println!("{name} {precision:?} {kv:?}: {}", checked.join(", "));
        }
    }
    let file =
        std::path::PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/it/golden/{name}.txt"));
    if std::env::var_os("UPDATE_GOLDEN").is_some_and(|value| value == "1") {
        std::fs::write(&file, &lines).expect("the golden file can be written");
    }
    let golden = std::fs::read_to_string(&file).expect("the golden file is there");
    assert_eq!(lines, golden, "{}", file.display());
}

#[test]
fn a_small_network_gives_its_golden_bits_everywhere() {
    // Odd sizes on purpose: heads of 20 values, rows that fill neither a tile nor a group.
    check("small", &GptConfig { inner: 150, ..GptConfig::new(101, 64, 60, 2, 3) });
}

#[test]
fn a_drum_sized_network_gives_its_golden_bits_everywhere() {
    check("drum", &GptConfig::new(500, 64, 256, 6, 8));
}
