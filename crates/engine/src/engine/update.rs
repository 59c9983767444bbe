//! Parameters changed while a job plays.

use serde_json::Value;

use crate::Fault;
use crate::request::problems::Problems;
use crate::request::whole;

/// Checks live parameters: any of `temperature`, `top_k` and `top_p`, at least one.
///
/// # Errors
/// Everything that is wrong, with pointers.
pub(super) fn check(parameters: &Value) -> Result<(), Fault> {
    let mut problems = Problems::default();
    let Some(fields) = parameters.as_object().filter(|fields| !fields.is_empty()) else {
        problems.add("", "an object with temperature, top_k or top_p", shape(parameters));
        return problems.finish();
    };
    for (name, value) in fields {
        let number = value.as_f64().filter(|number| number.is_finite());
        let (allowed, fits) = match name.as_str() {
            "temperature" => ("in (0, 4]", number.is_some_and(|number| number > 0.0 && number <= 4.0)),
            "top_k" => {
                ("a whole number in 0..=100000", whole::of(value).is_some_and(|number| number <= 100_000))
            }
            "top_p" => ("in (0, 1]", number.is_some_and(|number| number > 0.0 && number <= 1.0)),
            _ => {
                let name: String = name.chars().take(40).collect();
                let pointer = name.replace('~', "~0").replace('/', "~1");
                problems.add(&pointer, "temperature, top_k or top_p", format_args!("{name:?}"));
                continue;
            }
        };
        if !fits {
            problems.add(name, allowed, shape(value));
        }
    }
    problems.finish()
}

/// A value in few words.
fn shape(value: &Value) -> String {
    match value {
        Value::Object(fields) if fields.is_empty() => "an empty object".into(),
        Value::Object(_) => "an object".into(),
        Value::Array(_) => "a list".into(),
        Value::String(_) => "a text".into(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_can_change_while_it_plays_is_taken() {
        for good in [
            json!({"temperature": 4}),
            json!({"top_k": 0, "top_p": 1}),
            json!({"top_k": 5.0}),
            json!({"temperature": 0.01, "top_k": 100_000, "top_p": 0.5}),
        ] {
            assert_eq!(check(&good), Ok(()), "{good}");
        }
    }

    #[test]
    fn everything_wrong_is_told_with_its_place() {
        for (bad, pointers) in [
            (json!({"temperature": 0}), vec!["#/temperature"]),
            (
                json!({"temperature": "hot", "top_k": -1, "top_p": 1.1}),
                vec!["#/temperature", "#/top_k", "#/top_p"],
            ),
            (json!({"top_k": 1.5}), vec!["#/top_k"]),
            (json!({"bars/~": 4}), vec!["#/bars~1~0"]),
        ] {
            let fault = check(&bad).expect_err("wrong");
            let got: Vec<_> = fault.errors.iter().map(|problem| problem.pointer.as_str()).collect();
            assert_eq!(got, pointers, "{bad}");
        }
        for bad in [json!({}), json!([]), json!(null), json!("x")] {
            assert_eq!(check(&bad).expect_err("wrong").errors.len(), 1, "{bad}");
        }
    }
}
