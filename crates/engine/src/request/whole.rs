//! Whole numbers as JSON has them: `4` and `4.0` are one number.
//!
//! What is no whole number, or no number of the field's type, is told the field's own range. What is one but lies
//! outside that range passes here: the check tells of it together with everything else that is wrong.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error, Unexpected, Visitor};

/// A number that should lie in `LOW..=HIGH`.
struct Whole<T, const LOW: u64, const HIGH: u64>(T);

/// # Errors
/// For what is no whole number that a `T` holds, with the range.
pub(crate) fn one<'de, D, T, const LOW: u64, const HIGH: u64>(value: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: TryFrom<u64>,
{
    Whole::<T, LOW, HIGH>::deserialize(value).map(|whole| whole.0)
}

/// As [`one`], for a field that may be left out.
///
/// # Errors
/// As [`one`].
pub(crate) fn option<'de, D, T, const LOW: u64, const HIGH: u64>(value: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: TryFrom<u64>,
{
    Ok(Option::<Whole<T, LOW, HIGH>>::deserialize(value)?.map(|whole| whole.0))
}

/// As [`option`], for two numbers in a list.
///
/// # Errors
/// As [`one`]; for a list of another length.
pub(crate) fn pair<'de, D, T, const LOW: u64, const HIGH: u64>(value: D) -> Result<Option<[T; 2]>, D::Error>
where
    D: Deserializer<'de>,
    T: TryFrom<u64>,
{
    Ok(Option::<[Whole<T, LOW, HIGH>; 2]>::deserialize(value)?.map(|two| two.map(|whole| whole.0)))
}

/// A value that is a whole number.
pub(crate) fn of(value: &serde_json::Value) -> Option<u64> {
    one::<_, _, 0, { u64::MAX }>(value).ok()
}

impl<'de, T: TryFrom<u64>, const LOW: u64, const HIGH: u64> Deserialize<'de> for Whole<T, LOW, HIGH> {
    fn deserialize<D: Deserializer<'de>>(value: D) -> Result<Self, D::Error> {
        value.deserialize_u64(Reader(PhantomData))
    }
}

struct Reader<T, const LOW: u64, const HIGH: u64>(PhantomData<T>);

impl<T: TryFrom<u64>, const LOW: u64, const HIGH: u64> Visitor<'_> for Reader<T, LOW, HIGH> {
    type Value = Whole<T, LOW, HIGH>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "an integer in {LOW}..={HIGH}")
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Self::Value, E> {
        T::try_from(value).map(Whole).map_err(|_| E::invalid_value(Unexpected::Unsigned(value), &self))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Self::Value, E> {
        match u64::try_from(value) {
            Ok(value) => self.visit_u64(value),
            Err(_) => Err(E::invalid_value(Unexpected::Signed(value), &self)),
        }
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Self::Value, E> {
        // 2^64, the first number that is too large.
        const END: f64 = 18_446_744_073_709_551_616.0;
        if value.fract() == 0.0 && (0.0..END).contains(&value) {
            return self.visit_u64(value as u64);
        }
        Err(E::invalid_value(Unexpected::Float(value), &self))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::request::{Generate, Infill};

    fn said(body: Value) -> String {
        serde_json::from_value::<Generate>(body).expect_err("refused").to_string()
    }

    #[test]
    fn a_whole_number_may_be_written_as_a_float() {
        let body = json!({
            "bars": 1.0, "seed": 18_446_744_073_709_549_568.0, "variations": 2.0, "top_k": -0.0, "priority": 3e0,
            "velocity": [1.0, 127], "time_signature": [3.0, 4.0],
            "seed_notes": [{ "pitch": 36.0, "start": 0, "duration": 1, "velocity": 90.0, "channel": 9.0 }],
        });
        let read: Generate = serde_json::from_value(body).expect("whole numbers");
        assert_eq!((read.bars, read.seed, read.variations), (Some(1), Some(u64::MAX - 2047), Some(2)));
        assert_eq!((read.top_k, read.priority, read.velocity), (Some(0), Some(3), Some([1, 127])));
        assert_eq!(read.time_signature, Some([3, 4]));
        assert_eq!(read.seed_notes.expect("notes")[0].pitch, 36);
        let read: Infill = serde_json::from_value(json!({ "bars": [1.0, 2] })).expect("whole numbers");
        assert_eq!(read.bars, Some([1, 2]));
        let read: Generate = serde_json::from_value(json!({ "bars": null })).expect("left out");
        assert_eq!(read, Generate::default());
    }

    #[test]
    fn what_is_none_is_told_the_range_of_its_field() {
        for got in [json!(-1), json!(4.5), json!("abc"), json!(5_000_000_000u64), json!(1e30), json!([4])] {
            let said = said(json!({ "bars": got }));
            assert!(said.ends_with("expected an integer in 1..=32"), "{got}: {said}");
        }
        for (field, range) in [
            ("variations", "1..=64"),
            ("top_k", "0..=100000"),
            ("priority", "0..=9"),
            ("seed", "0..=18446744073709551615"),
        ] {
            let said = said(json!({ field: -1 }));
            assert!(said.ends_with(&format!("expected an integer in {range}")), "{said}");
        }
        let said = said(json!({ "velocity": [0, 300] }));
        assert!(said.ends_with("expected an integer in 1..=127"), "{said}");
    }
}
