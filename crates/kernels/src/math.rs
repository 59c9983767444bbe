//! Elementary functions as polynomials: the same bits on every machine, unlike a system's `libm`.
//!
//! Each is made of additions, multiplications, fused multiply-adds and divisions only, and has no
//! branches, so a loop over it vectorises. Coefficients: minimax fits for [`exp`], Abramowitz and
//! Stegun 7.1.26 for [`erf`].

use crate::multiversion;

/// Adding and subtracting it rounds an `f32` below `2^22` to the nearest whole number, half to even.
pub(crate) const ROUND: f32 = 12_582_912.0;

#[inline(always)]
fn clamp(x: f32, low: f32, high: f32) -> f32 {
    let x = if x > low { x } else { low };
    if x < high { x } else { high }
}

/// `e^x` to 2 units in the last place; 0 below -87.3, where the result would be subnormal, and at
/// most `e^88`. Not a number counts as minus infinity.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    let (fraction, power) = exp_parts(clamp(x, LOWEST, 88.0));
    if x > LOWEST { (fraction + 1.0) * power } else { 0.0 }
}

/// Where [`exp`] ends: below it the result would be subnormal.
const LOWEST: f32 = -87.3;

/// `p` and `2^n` with `e^x = (1 + p) 2^n`, for `x` in `[-87.3, 88]`.
#[inline(always)]
fn exp_parts(x: f32) -> (f32, f32) {
    let shifted = x.mul_add(std::f32::consts::LOG2_E, ROUND);
    let whole = shifted - ROUND;
    // ln 2 in two parts: the first has few enough bits for an exact product.
    let rest = whole.mul_add(-0.693_359_4, x);
    let rest = whole.mul_add(2.121_944_4e-4, rest);
    let mut poly = 1.987_569_1e-4;
    for coefficient in [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5] {
        poly = rest.mul_add(poly, coefficient);
    }
    let exponent = shifted.to_bits().wrapping_sub(ROUND.to_bits()).wrapping_add(127);
    ((rest * rest).mul_add(poly, rest), f32::from_bits(exponent << 23))
}

/// `1 / (1 + e^-x)`.
#[inline(always)]
pub fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// Hyperbolic tangent; absolute error below 2e-7.
#[inline(always)]
pub fn tanh(x: f32) -> f32 {
    // Near 0 the quotient below cancels; the odd series takes over there.
    let square = x * x;
    let series = square.mul_add(2.0 / 15.0, -1.0 / 3.0);
    let small = (x * square).mul_add(series, x);
    let large = 1.0 - 2.0 / (1.0 + exp(2.0 * x));
    if square < 0.01 { small } else { large }
}

/// Error function; absolute error below 3e-7.
#[inline(always)]
pub fn erf(x: f32) -> f32 {
    let magnitude = x.abs();
    let t = 1.0 / magnitude.mul_add(0.327_591_1, 1.0);
    let mut poly = 1.061_405_4;
    for coefficient in [-1.453_152, 1.421_413_7, -0.284_496_74, 0.254_829_6] {
        poly = t.mul_add(poly, coefficient);
    }
    (1.0 - poly * t * exp(-magnitude * magnitude)).copysign(x)
}

/// GPT-2's activation: `x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))`, as `x sigmoid(2u)`.
#[inline(always)]
pub fn gelu_new(x: f32) -> f32 {
    let inner = 0.797_884_6 * (x * x * x).mul_add(0.044_715, x);
    x * sigmoid(2.0 * inner)
}

/// `x/2 (1 + erf(x / sqrt 2))`.
#[inline(always)]
pub fn gelu(x: f32) -> f32 {
    0.5 * x * (1.0 + erf(x * std::f32::consts::FRAC_1_SQRT_2))
}

/// `e^x - 1` for x up to 0, to 3 units in the last place; -1 for what is not a number.
#[inline(always)]
fn exp_less_one(x: f32) -> f32 {
    // As `exp`, but the 1 is taken off before it could swallow the digits of a small result.
    let (fraction, power) = exp_parts(clamp(x, LOWEST, 0.0));
    power.mul_add(fraction, power - 1.0)
}

/// `x` above 0, `e^x - 1` below.
///
/// Source: Clevert et al. 2015, with the usual scale of 1.
#[inline(always)]
pub fn elu(x: f32) -> f32 {
    let below = exp_less_one(x);
    if x > 0.0 { x } else { below }
}

/// Natural logarithm of a positive normal number, to about 1e-15 relative; minus infinity for 0.
pub fn ln(x: f64) -> f64 {
    if x <= 0.0 {
        return f64::NEG_INFINITY;
    }
    // x = 2^exponent * mantissa with the mantissa in [sqrt(1/2), sqrt 2).
    let shifted = x.to_bits().wrapping_sub(std::f64::consts::FRAC_1_SQRT_2.to_bits());
    let exponent = (shifted as i64) >> 52;
    let mantissa = f64::from_bits(x.to_bits().wrapping_sub((exponent as u64) << 52));
    // ln m = 2 artanh((m - 1) / (m + 1)), |argument| < 0.172.
    let argument = (mantissa - 1.0) / (mantissa + 1.0);
    let square = argument * argument;
    let mut series = 0.0;
    for odd in [19.0, 17.0, 15.0, 13.0, 11.0, 9.0, 7.0, 5.0, 3.0, 1.0] {
        series = square * series + 1.0 / odd;
    }
    exponent as f64 * std::f64::consts::LN_2 + 2.0 * argument * series
}

/// `e^-x` for `x` in `[0, 10]`.
pub fn exp_minus(x: f64) -> f64 {
    let small = -x / 64.0;
    let (mut term, mut sum) = (1.0, 1.0);
    for n in 1..14 {
        term *= small / f64::from(n);
        sum += term;
    }
    (0..6).fold(sum, |power, _| power * power)
}

/// Sine of an angle below a million, to about 1e-10.
pub fn sin(angle: f64) -> f64 {
    let turns = angle / std::f64::consts::TAU;
    let mut turns = turns - (turns + 0.5).floor();
    // To a quarter wave.
    if turns.abs() > 0.25 {
        turns = 0.5_f64.copysign(turns) - turns;
    }
    let x = turns * std::f64::consts::TAU;
    let square = x * x;
    let (mut term, mut sum) = (x, x);
    for n in 1..11 {
        term *= -square / f64::from(2 * n * (2 * n + 1));
        sum += term;
    }
    sum
}

macro_rules! slices {
    ($($(#[$meta:meta])* $name:ident = $function:ident;)*) => {
        $(multiversion! {
            $(#[$meta])*
            pub fn $name(values: &mut [f32]) {
                for value in values.iter_mut() {
                    *value = $function(*value);
                }
            }
        })*
    };
}

slices! {
    /// [`exp`] of every value, in place.
    exp_slice = exp;
    /// [`sigmoid`] of every value, in place.
    sigmoid_slice = sigmoid;
    /// [`tanh`] of every value, in place.
    tanh_slice = tanh;
    /// [`gelu_new`] of every value, in place.
    gelu_new_slice = gelu_new;
    /// [`gelu`] of every value, in place.
    gelu_slice = gelu;
    /// [`elu`] of every value, in place.
    elu_slice = elu;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Path;

    fn grid() -> impl Iterator<Item = f32> {
        (-200_000..200_000).map(|i| i as f32 * 5e-4)
    }

    fn worst(ours: fn(f32) -> f32, theirs: impl Fn(f64) -> f64, floor: f64) -> f64 {
        let error = |x: f32| {
            let exact = theirs(f64::from(x));
            (f64::from(ours(x)) - exact).abs() / exact.abs().max(floor)
        };
        grid().filter(|x| x.abs() < 87.0).map(error).fold(0.0, f64::max)
    }

    #[test]
    fn exp_is_close_and_ends_well() {
        assert!(worst(exp, f64::exp, 1e-300) < 2.5e-7);
        assert_eq!(exp(0.0), 1.0);
        assert_eq!(exp(f32::NEG_INFINITY), 0.0);
        assert_eq!(exp(-1000.0), 0.0);
        assert_eq!(exp(f32::NAN), 0.0);
        assert!(exp(f32::INFINITY).is_finite());
    }

    #[test]
    fn tanh_sigmoid_and_gelu_are_close() {
        assert!(worst(tanh, f64::tanh, 1.0) < 2e-7);
        assert!(worst(tanh, f64::tanh, 1e-9) < 3e-6);
        assert!(worst(sigmoid, |x| 1.0 / (1.0 + (-x).exp()), 1e-3) < 3e-7);
        let reference =
            |x: f64| 0.5 * x * (1.0 + (0.797_884_560_802_865_4 * (x + 0.044715 * x.powi(3))).tanh());
        assert!(worst(gelu_new, reference, 1e-2) < 1e-5);
    }

    #[test]
    fn erf_matches_a_table() {
        // Abramowitz and Stegun, table 7.1.
        for (x, value) in
            [(0.0, 0.0), (0.1, 0.1124629160), (0.5, 0.5204998778), (1.0, 0.8427007929), (2.0, 0.9953222650)]
        {
            assert!((f64::from(erf(x)) - value).abs() < 3e-7, "{x}");
            assert_eq!(erf(-x), -erf(x));
        }
        assert!((gelu(1.0) - 0.841_344_7).abs() < 1e-6);
    }

    #[test]
    fn elu_is_close_down_to_the_smallest_values() {
        let exact = |x: f64| if x > 0.0 { x } else { x.exp_m1() };
        assert!(worst(elu, exact, 1e-300) < 3.6e-7);
        for power in 1..100 {
            let x = -0.9f32.powi(power * 8);
            let error = (f64::from(elu(x)) - exact(f64::from(x))) / exact(f64::from(x));
            assert!(error.abs() < 3.6e-7, "{x}: {error}");
        }
        assert_eq!(elu(0.0), 0.0);
        assert_eq!(elu(f32::NEG_INFINITY), -1.0);
        assert_eq!(elu(f32::INFINITY), f32::INFINITY);
    }

    #[test]
    fn ln_is_close() {
        for i in 1..10_000 {
            let x = f64::from(i) * 0.01;
            assert!((ln(x) - x.ln()).abs() <= 2e-15 * x.ln().abs().max(0.1), "{x}");
        }
        assert_eq!(ln(0.0), f64::NEG_INFINITY);
        assert!((ln(1e-300) - 1e-300f64.ln()).abs() < 1e-12);
    }

    #[test]
    fn slices_give_the_same_bits_on_every_path() {
        type Slice = fn(Path, &mut [f32]);
        type Scalar = fn(f32) -> f32;
        let pairs: [(Slice, Scalar); 6] = [
            (exp_slice, exp),
            (sigmoid_slice, sigmoid),
            (tanh_slice, tanh),
            (gelu_new_slice, gelu_new),
            (gelu_slice, gelu),
            (elu_slice, elu),
        ];
        for (slice, scalar) in pairs {
            let expected: Vec<u32> = grid().step_by(37).map(|x| scalar(x).to_bits()).collect();
            for path in Path::ALL.into_iter().filter(|path| path.is_supported()) {
                let mut values: Vec<f32> = grid().step_by(37).collect();
                slice(path, &mut values);
                assert_eq!(values.iter().map(|v| v.to_bits()).collect::<Vec<_>>(), expected, "{path:?}");
            }
        }
    }
}
