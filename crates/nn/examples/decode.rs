//! Measures decoding: `decode --layers 6 --width 256 --heads 8 --batch 1 --tokens 200`, or one large
//! product: `decode --gemv 360 --precision int8`. Prints one line of JSON.
#![forbid(unsafe_code)]

use std::error::Error;

use partita_nn::bench::{DecodeBench, decode, gemv};
use partita_nn::{KvPrecision, Precision};

fn main() -> Result<(), Box<dyn Error>> {
    let mut bench = DecodeBench::default();
    let mut megabytes = None;
    let mut arguments = std::env::args().skip(1);
    while let Some(flag) = arguments.next() {
        if flag == "--json" {
            continue;
        }
        let value = arguments.next().ok_or_else(|| format!("{flag} needs a value"))?;
        match flag.as_str() {
            "--layers" => bench.layers = value.parse()?,
            "--width" => bench.width = value.parse()?,
            "--heads" => bench.heads = value.parse()?,
            "--batch" => bench.batch = value.parse()?,
            "--tokens" => bench.tokens = value.parse()?,
            "--threads" => bench.threads = value.parse()?,
            "--runs" => bench.runs = value.parse()?,
            "--gemv" => megabytes = Some(value.parse()?),
            "--precision" => {
                bench.precision = Precision::parse(&value).ok_or("precision: f32, int8 or q4")?;
            }
            "--kv" => bench.kv = KvPrecision::parse(&value).ok_or("kv: f32 or int8")?,
            _ => return Err(format!("unknown flag {flag}").into()),
        }
    }
    let json = match megabytes {
        Some(megabytes) => {
            serde_json::to_string(&gemv(bench.precision, megabytes, bench.batch, bench.threads)?)?
        }
        None => serde_json::to_string(&decode(&bench)?)?,
    };
    println!("{json}");
    Ok(())
}
