use partita_train::chorales::*;
use partita_train::*;
use std::ops::ControlFlow;
use std::path::PathBuf;
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let get = |k: &str, d: &str| a.iter().position(|x| x == k).map_or(d.to_string(), |i| a[i + 1].clone());
    let rolls =
        (get("--rolls", "") != "").then(|| rolls::Rolls::load(&PathBuf::from(get("--rolls", ""))).unwrap());
    let chorales = Chorales::load(&PathBuf::from(get("--data", "/tmp/data/jsb-chorales"))).unwrap();
    let source: Box<dyn Source> = match &rolls {
        Some(r) => Box::new(rolls::RollSource::new(r).unwrap()),
        None => Box::new(ChoraleSource::new(&chorales).unwrap()),
    };
    let n = |k: &str, d: &str| get(k, d).parse::<usize>().unwrap();
    let f = |k: &str, d: &str| get(k, d).parse::<f32>().unwrap();
    let make = if rolls.is_some() { Shape::roll } else { Shape::chorale };
    let shape = make(n("--width", "256"), n("--layers", "4"), n("--heads", "4"));
    let settings = Settings {
        shape,
        steps: n("--steps", "4000") as u32,
        batch_tokens: n("--batch-tokens", "8192"),
        learning_rate: f("--learning-rate", "1e-3"),
        warmup: n("--warmup", "150") as u32,
        weight_decay: f("--weight-decay", "0.1"),
        dropout: f("--dropout", "0.2"),
        clip: 1.0,
        seed: 1,
        validate_every: n("--validate-every", "100") as u32,
    };
    let start = std::time::Instant::now();
    let path = partita_kernels::Path::from_env().unwrap();
    let mut slowest = 0.0;
    let out = PathBuf::from(get("--out", "/tmp/chor/x"));
    let state = train(&*source, settings, &out, n("--threads", "2"), path, |p| {
        slowest += 1.0 / p.tokens_per_s;
        if p.step == 1 {
            println!("{} parameters", Parameters::zeros(shape).values.len());
        }
        if let Some(v) = p.validated {
            println!(
                "{:>6} train {:.4} valid {:.4} {:.0} tok/s {:.0} s",
                v.step,
                v.train,
                v.validation,
                p.tokens_per_s,
                start.elapsed().as_secs_f64()
            );
        }
        ControlFlow::Continue(())
    })
    .unwrap();
    println!("done {}", state.step);
}
