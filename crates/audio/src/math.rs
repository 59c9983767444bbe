//! Sine, exponential and friends from additions and multiplications only.
//!
//! `std`'s `sin` and `exp2` differ in the last bits between platforms; these do not,
//! which is what makes a render the same bytes everywhere.

/// sin(2π · `turns`), error below 1e-6 for |turns| < 1e6.
pub fn sin_turns(turns: f64) -> f64 {
    // Fold to a quarter wave: x in [-1/4, 1/4] turns.
    let mut x = turns - (turns + 0.5).floor();
    if x > 0.25 {
        x = 0.5 - x;
    } else if x < -0.25 {
        x = -0.5 - x;
    }
    let a = x * std::f64::consts::TAU;
    let s = a * a;
    // Taylor to a^13: the first dropped term is below 1e-9 at a = π/2.
    let tail = 1.0 - s / 110.0 * (1.0 - s / 156.0);
    a * (1.0 - s / 6.0 * (1.0 - s / 20.0 * (1.0 - s / 42.0 * (1.0 - s / 72.0 * tail))))
}

/// cos(2π · `turns`).
pub fn cos_turns(turns: f64) -> f64 {
    sin_turns(turns + 0.25)
}

/// sin(2π · `turns`) for oscillators: single precision, `turns` in `[0, 1e4]`, error below 2e-5.
pub fn sin_fast(turns: f32) -> f32 {
    let mut x = turns - (turns + 0.5) as i32 as f32;
    if x > 0.25 {
        x = 0.5 - x;
    } else if x < -0.25 {
        x = -0.5 - x;
    }
    let a = x * std::f32::consts::TAU;
    let s = a * a;
    a * (1.0 + s * (-1.0 / 6.0 + s * (1.0 / 120.0 + s * (-1.0 / 5040.0 + s / 362_880.0))))
}

/// 2^`x`, relative error below 1e-9; 0 below -1000.
pub fn exp2(x: f64) -> f64 {
    if x < -1000.0 {
        return 0.0;
    }
    let whole = (x.min(1000.0) + 0.5).floor();
    let a = (x.min(1000.0) - whole) * std::f64::consts::LN_2;
    // Taylor of e^a on |a| <= 0.347.
    let mut term = 1.0;
    let mut sum = 1.0;
    for n in 1..10 {
        term *= a / f64::from(n);
        sum += term;
    }
    // `whole` is in -1000..=1000, so the exponent field stays in range.
    sum * f64::from_bits(((whole as i64 + 1023) as u64) << 52)
}

/// e^`x`.
pub fn exp(x: f64) -> f64 {
    exp2(x * std::f64::consts::LOG2_E)
}

/// log2(`x`) for `x` > 0.
pub fn log2(x: f64) -> f64 {
    let bits = x.to_bits();
    let mut exponent = ((bits >> 52) & 0x7ff) as i64 - 1023;
    let mut mantissa = f64::from_bits((bits & 0x000f_ffff_ffff_ffff) | (1023 << 52));
    if mantissa > std::f64::consts::SQRT_2 {
        mantissa *= 0.5;
        exponent += 1;
    }
    // ln(m) = 2 atanh(t), t = (m - 1) / (m + 1), |t| < 0.172.
    let t = (mantissa - 1.0) / (mantissa + 1.0);
    let s = t * t;
    let series = 1.0 + s * (1.0 / 3.0 + s * (0.2 + s * (1.0 / 7.0 + s * (1.0 / 9.0 + s / 11.0))));
    exponent as f64 + 2.0 * t * series * std::f64::consts::LOG2_E
}

/// `base`^`exponent` for `base` >= 0.
pub fn powf(base: f64, exponent: f64) -> f64 {
    if base <= 0.0 { 0.0 } else { exp2(exponent * log2(base)) }
}

/// Gain of `db` decibels.
pub fn db_to_gain(db: f64) -> f64 {
    exp2(db * (std::f64::consts::LOG2_10 / 20.0))
}

/// Soft clipper: odd, smooth, slope 1 at 0, reaches ±1 at ±3 and stays there.
pub fn soft_clip(x: f32) -> f32 {
    let x = x.clamp(-3.0, 3.0);
    x * (27.0 + x * x) / (27.0 + 9.0 * x * x)
}

/// Factor per sample that falls by 60 dB in `seconds`.
pub fn decay_factor(seconds: f64, sample_rate: f64) -> f64 {
    // log2(1000) = 60 dB as a power of two.
    exp2(-9.965_784_284_662_087 / (seconds.max(1e-5) * sample_rate))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_agree_with_libm() {
        for i in -4000..4000 {
            let x = f64::from(i) * 0.00317;
            assert!((sin_turns(x) - (x * std::f64::consts::TAU).sin()).abs() < 1e-6, "sin {x}");
            assert!((cos_turns(x) - (x * std::f64::consts::TAU).cos()).abs() < 1e-6, "cos {x}");
            assert!((exp2(x) / x.exp2() - 1.0).abs() < 1e-9, "exp2 {x}");
            assert!((exp(x) / x.exp() - 1.0).abs() < 1e-8, "exp {x}");
            if i > 0 {
                assert!((log2(x) - x.log2()).abs() < 1e-8, "log2 {x}");
                let fast = sin_fast(x as f32);
                assert!((f64::from(fast) - (x * std::f64::consts::TAU).sin()).abs() < 2e-4, "fast {x}");
            }
        }
        assert!((powf(0.3, 1.5) - 0.3f64.powf(1.5)).abs() < 1e-9);
        assert_eq!(powf(0.0, 1.5), 0.0);
        assert!((db_to_gain(-6.0) - 0.501_187_233_6).abs() < 1e-9);
    }

    #[test]
    fn soft_clip_never_leaves_full_scale() {
        for i in -1000..1000 {
            assert!(soft_clip(i as f32 * 0.1).abs() <= 1.0);
        }
    }
}
