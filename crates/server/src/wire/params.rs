//! Query parameters, each read once, unknown and repeated ones refused.

use std::str::FromStr;

use crate::problem::{Answer, Kind, Problem};

/// The parameters of a query, among `known`.
#[derive(Debug)]
pub struct Params {
    pairs: Vec<(String, String)>,
}

impl Params {
    /// # Errors
    /// `InvalidRequest` for one that is unknown, with the nearest name, or comes twice.
    pub fn of(query: Option<&str>, known: &[&str]) -> Answer<Params> {
        let mut pairs: Vec<(String, String)> = vec![];
        for (name, value) in url::form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            if !known.contains(&name.as_ref()) {
                let near = super::body::nearest(&name, known.iter().copied());
                let hint = match near {
                    Some(near) => format!("did you mean {near}?"),
                    None if known.is_empty() => "it takes none".to_owned(),
                    None => format!("known are {}", known.join(", ")),
                };
                let detail = format!("is no query parameter of this path; {hint}");
                let shown: String = name.chars().take(40).collect();
                let allowed = Some(known.join(", ")).filter(|names| !names.is_empty());
                return Err(Problem::field(Kind::InvalidRequest, &shown, detail, allowed));
            }
            if pairs.iter().any(|(other, _)| *other == name) {
                return Err(Problem::field(Kind::InvalidRequest, &name, "must come once", None));
            }
            pairs.push((name.into_owned(), value.into_owned()));
        }
        Ok(Params { pairs })
    }

    pub fn text(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    /// # Errors
    /// `InvalidRequest` unless it reads as a `T`; `allowed` says what that is.
    pub fn read<T: FromStr>(&self, name: &str, allowed: &str) -> Answer<Option<T>> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let shown: String = text.chars().take(40).collect();
        let wrong = |_| {
            let detail = format!("must be {allowed}, got {shown:?}");
            Problem::field(Kind::InvalidRequest, name, detail, Some(allowed.to_owned()))
        };
        text.parse().map(Some).map_err(wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_read_once_and_by_name() {
        let params = Params::of(Some("bars=4&style=boom+bap%20x"), &["bars", "style"]).expect("known");
        assert_eq!(params.text("style"), Some("boom bap x"));
        assert_eq!(params.read::<u32>("bars", "an integer").expect("a number"), Some(4));
        assert_eq!(params.read::<u32>("seed", "an integer").expect("none"), None);
        let problem = params.read::<u32>("style", "an integer").expect_err("text");
        assert_eq!(problem.errors[0].pointer, "style");
        let problem = Params::of(Some("barz=4"), &["bars", "style"]).expect_err("unknown");
        assert!(problem.detail.contains("did you mean bars?"), "{}", problem.detail);
        assert!(Params::of(Some("bars=4&bars=5"), &["bars"]).is_err());
        let problem = Params::of(Some("bars=4"), &[]).expect_err("unknown");
        assert!(problem.detail.contains("it takes none"), "{}", problem.detail);
        assert!(Params::of(Some(""), &[]).is_ok() && Params::of(None, &[]).is_ok());
    }
}
