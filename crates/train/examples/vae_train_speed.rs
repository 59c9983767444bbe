//! Training speed of the two-bar melodies: `vae_train_speed [in out encoder decoder latent batch steps threads]`; one JSON row.

use partita_train::vae::{Head, Heard, VaeShape, vae_train_speed};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut sizes = [90, 90, 384, 256, 192, 64, 8, 2];
    for (size, text) in sizes.iter_mut().zip(std::env::args().skip(1)) {
        *size = text.parse()?;
    }
    let [input, output, encoder, decoder, latent, batch, steps, threads] = sizes;
    let shape = VaeShape {
        head: Head::Categorical,
        heard: Heard::Hits,
        steps: 32,
        input,
        output,
        encoder,
        decoder,
        latent,
    };
    let report = vae_train_speed(shape, batch, steps, threads, partita_kernels::Path::from_env()?);
    println!("{}", serde_json::to_string(&report)?);
    Ok(())
}
