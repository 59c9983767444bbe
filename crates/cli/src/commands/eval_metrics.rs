//! Numbers of music a model wrote beside those of music it never saw: what `eval melody` and `eval chorales` share.

use std::fmt::Write;

use indicatif::ProgressBar;
use partita_score::Score;
use partita_score::metrics::{self, Comparison};

use crate::progress;
use crate::session::Session;

/// A bar that counts what is written.
pub fn writing(session: &Session, takes: usize) -> ProgressBar {
    progress::bar(session, takes as u64, "{bar:30} {pos} of {len} written")
}

/// Compares, with a bar that counts features.
pub fn compare(session: &Session, held_out: &[Score], written: &[Score]) -> Comparison {
    let bar = progress::bar(session, 0, "{bar:30} {pos} of {len} features");
    let comparison = metrics::compare(held_out, written, &mut |done, of| {
        bar.set_length(of as u64);
        bar.set_position(done as u64);
    });
    bar.finish_and_clear();
    comparison
}

/// Both tables, lines with nothing to say left out.
pub fn table(comparison: &Comparison) -> String {
    let Comparison { real, generated, metrics, features } = comparison;
    let mut text =
        format!("MusPy's metrics, means          held-out    model  ({real} and {generated} pieces)\n");
    let number = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.3}"));
    for row in metrics.iter().filter(|row| row.real.is_some() || row.generated.is_some()) {
        let (real, generated) = (number(row.real), number(row.generated));
        let _ = writeln!(text, "  {:<29} {real:>8} {generated:>8}", row.name);
    }
    text += "mgeval, model against held-out        OA      KLD\n";
    for row in features {
        let (overlap, nats) = (number(row.overlapping_area), number(row.kl_divergence));
        let _ = writeln!(text, "  {:<29} {overlap:>8} {nats:>8}", row.name);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use partita_score::metrics::{Distance, Means};

    #[test]
    fn what_nobody_has_is_left_out_and_what_is_unknown_is_a_dash() {
        let row = |name, real, generated| Means { name, real, generated };
        let comparison = Comparison {
            real: 3,
            generated: 4,
            metrics: vec![row("pitch_range", Some(12.0), None), row("drum_pattern_consistency", None, None)],
            features: vec![Distance { name: "avg_IOI", overlapping_area: Some(0.5), kl_divergence: None }],
        };
        let expected = "\
MusPy's metrics, means          held-out    model  (3 and 4 pieces)
  pitch_range                     12.000        -
mgeval, model against held-out        OA      KLD
  avg_IOI                          0.500        -
";
        assert_eq!(table(&comparison), expected);
    }
}
