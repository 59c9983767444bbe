//! Everything wrong with a request, gathered before it is refused.

use std::fmt::{Display, Write};
use std::ops::RangeInclusive;

use crate::{Code, Fault, Problem};

/// Problems told at once; a batch can have millions.
const MOST: usize = 100;

/// Gathers problems under one place of a request.
#[derive(Debug, Default)]
pub(crate) struct Problems {
    /// Where the request at hand begins: empty, or `/requests/3`.
    base: String,
    found: Vec<(Code, Problem)>,
    /// Problems beyond [`MOST`].
    more: usize,
}

impl Problems {
    /// From here on pointers begin with `base`.
    pub fn enter(&mut self, base: impl Into<String>) {
        self.base = base.into();
    }

    /// Problems so far.
    pub fn count(&self) -> usize {
        self.found.len() + self.more
    }

    /// The pointer of a field here.
    pub fn pointer(&self, field: &str) -> String {
        let slash = if field.is_empty() { "" } else { "/" };
        format!("#{}{slash}{field}", self.base)
    }

    /// `detail` is said as it is; `field` is a pointer without its beginning, as in `input/notes/3`.
    pub fn say(&mut self, code: Code, field: &str, detail: impl Display, allowed: Option<String>) {
        if self.found.len() >= MOST {
            self.more += 1;
            return;
        }
        let pointer = self.pointer(field);
        self.found.push((code, Problem { pointer, detail: detail.to_string(), allowed }));
    }

    /// Must be `allowed`, came as `got`.
    pub fn add(&mut self, field: &str, allowed: &str, got: impl Display) {
        let detail = format!("must be {allowed}, got {got}");
        self.say(Code::InvalidRequest, field, detail, Some(allowed.to_owned()));
    }

    /// A field that goes with nothing here: `why` says what it is for.
    pub fn useless(&mut self, field: &str, is_given: bool, why: impl Display) {
        if is_given {
            self.say(Code::InvalidRequest, field, format!("must be left out: {why}"), None);
        }
    }

    fn outside(&mut self, field: &str, range: &str, got: impl Display) {
        let detail = format!("must be in {range}, got {got}");
        self.say(Code::InvalidRequest, field, detail, Some(range.to_owned()));
    }

    /// A whole number in a range.
    pub fn whole<T: PartialOrd + Display + Copy>(
        &mut self,
        field: &str,
        range: RangeInclusive<T>,
        value: Option<T>,
    ) {
        if let Some(got) = value.filter(|value| !range.contains(value)) {
            self.outside(field, &format!("{}..={}", range.start(), range.end()), got);
        }
    }

    /// A number for which `fits` holds; `range` tells people which.
    pub fn real(&mut self, field: &str, range: &str, fits: impl Fn(f64) -> bool, value: Option<f64>) {
        if let Some(got) = value.filter(|value| !(value.is_finite() && fits(*value))) {
            self.outside(field, range, number(got));
        }
    }

    /// Problems of a failure whose pointers begin where this request does.
    pub fn merge(&mut self, fault: Fault) {
        if fault.errors.is_empty() {
            self.say(fault.code, "", fault.message, None);
            return;
        }
        for problem in fault.errors {
            let field = problem.pointer.trim_start_matches("#/");
            self.say(fault.code, field, problem.detail, problem.allowed);
        }
    }

    /// All that was found as one failure, if anything was.
    ///
    /// # Errors
    /// What was found. The code is that of the problems where they agree.
    pub fn finish(self) -> Result<(), Fault> {
        let Some((first, problem)) = self.found.first() else { return Ok(()) };
        let agree = self.found.iter().all(|(code, _)| code == first);
        let name = problem.pointer.trim_start_matches('#').trim_start_matches('/');
        let name = if name.is_empty() { "the request" } else { name };
        let mut message = format!("{name} {}", problem.detail);
        let others = self.found.len() - 1 + self.more;
        if others > 0 {
            let _ = write!(message, " (and {others} more)");
        }
        Err(Fault {
            code: if agree { *first } else { Code::InvalidRequest },
            message,
            errors: self.found.into_iter().map(|(_, problem)| problem).collect(),
            retry_after: None,
        })
    }
}

/// A number in few characters, however large.
pub(crate) fn number(value: f64) -> String {
    let plain = value == 0.0 || (1e-6..1e15).contains(&value.abs()) || !value.is_finite();
    if plain { value.to_string() } else { format!("{value:e}") }
}

/// A text in quotes, cut where it is long.
pub(crate) fn text(value: &str) -> String {
    const LONGEST: usize = 60;
    let short: String = value.chars().take(LONGEST).collect();
    let dots = if short.len() < value.len() { "..." } else { "" };
    format!("{short:?}{dots}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_problems_come_with_their_pointers() {
        let mut problems = Problems::default();
        problems.whole("bars", 1..=32, Some(64u32));
        problems.enter("/requests/3");
        problems.real("tempo", "40..=300", |v| (40.0..=300.0).contains(&v), Some(1e308));
        problems.whole("bars", 1..=32, Some(4u32));
        let fault = problems.finish().expect_err("two problems");
        assert_eq!(fault.message, "bars must be in 1..=32, got 64 (and 1 more)");
        let pointers: Vec<&str> = fault.errors.iter().map(|problem| problem.pointer.as_str()).collect();
        assert_eq!(pointers, ["#/bars", "#/requests/3/tempo"]);
        assert_eq!(fault.errors[1].detail, "must be in 40..=300, got 1e308");
        assert_eq!(fault.errors[1].allowed.as_deref(), Some("40..=300"));
    }

    #[test]
    fn a_flood_of_problems_is_counted_and_not_kept() {
        let mut problems = Problems::default();
        (0..100_000).for_each(|_| problems.add("kit", "short", 1));
        let fault = problems.finish().expect_err("many");
        assert_eq!((fault.errors.len(), fault.message.ends_with("(and 99999 more)")), (MOST, true));
    }

    #[test]
    fn a_code_stands_only_where_all_agree() {
        let mut problems = Problems::default();
        problems.say(Code::UnknownStyle, "style", "is unknown", None);
        let mut both = Problems::default();
        both.say(Code::UnknownStyle, "style", "is unknown", None);
        both.add("bars", "small", 3);
        assert_eq!(problems.finish().expect_err("one").code, Code::UnknownStyle);
        assert_eq!(both.finish().expect_err("two").code, Code::InvalidRequest);
    }

    #[test]
    fn numbers_and_texts_stay_short() {
        assert_eq!(
            (number(1e308), number(0.1), number(-5e-324)),
            ("1e308".into(), "0.1".into(), "-5e-324".into())
        );
        assert_eq!(text("a\"b"), r#""a\"b""#);
        assert!(text(&"x".repeat(10_000)).len() < 70);
    }
}
