//! The shape of a JSON body, looked at without keeping any of it: lists where objects belong, and lists that are too
//! long.

use std::borrow::Cow;
use std::fmt::{self, Write as _};

use partita_engine::Config;
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::body::escaped;
use super::spoken::Spoken;
use crate::problem::{Kind, Problem};

/// How long lists may be.
#[derive(Clone, Copy, Debug)]
pub struct Most {
    pub requests: usize,
    pub notes: usize,
    /// Of every other list.
    pub items: usize,
}

impl Default for Most {
    fn default() -> Most {
        Most { requests: 10_000, notes: 100_000, items: 1000 }
    }
}

impl Most {
    /// What the configuration allows.
    pub fn of(config: &Config) -> Most {
        let most = Most::default();
        Most { requests: most.requests.min(config.limits.max_batch), ..most }
    }
}

/// Why a body is refused.
pub enum Wrong {
    Shape(Box<Problem>),
    /// It is no JSON, or holds a number beyond all numbers; and where reading it stopped.
    Text(serde_json::Error, String),
}

/// Reads a value, which must be an object if it is a list or an object; `root` is its pointer. Tells which fields came
/// under another name.
///
/// # Errors
/// The first thing that is wrong.
pub fn check<'de, D>(value: D, root: &str, most: &Most) -> Result<Spoken, Wrong>
where
    D: Deserializer<'de, Error = serde_json::Error>,
{
    let mut look = Look { place: root.to_owned(), most, found: None, spoken: Spoken::default() };
    let result = Object(&mut look).deserialize(value);
    match (result, look.found) {
        (_, Some(problem)) => Err(Wrong::Shape(Box::new(problem))),
        (Err(error), None) => Err(Wrong::Text(error, look.place)),
        (Ok(()), None) => Ok(look.spoken),
    }
}

/// What is known while a body is read.
struct Look<'a> {
    /// Pointer to the value at hand; where reading fails it stays.
    place: String,
    most: &'a Most,
    found: Option<Problem>,
    spoken: Spoken,
}

/// A value that is an object if it is a list or an object. Lists that serde would take for objects, field by field in
/// order, are none.
struct Object<'a, 'b>(&'a mut Look<'b>);

impl<'de> DeserializeSeed<'de> for Object<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, value: D) -> Result<(), D::Error> {
        value.deserialize_any(self)
    }
}

/// Values that are neither lists nor objects pass; their types are for others.
macro_rules! scalars {
    () => {
        fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
            out.write_str("a value")
        }
        fn visit_bool<E>(self, _: bool) -> Result<(), E> {
            Ok(())
        }
        fn visit_i64<E>(self, _: i64) -> Result<(), E> {
            Ok(())
        }
        fn visit_u64<E>(self, _: u64) -> Result<(), E> {
            Ok(())
        }
        fn visit_f64<E>(self, _: f64) -> Result<(), E> {
            Ok(())
        }
        fn visit_str<E>(self, _: &str) -> Result<(), E> {
            Ok(())
        }
        fn visit_unit<E>(self) -> Result<(), E> {
            Ok(())
        }
    };
}

impl<'de> Visitor<'de> for Object<'_, '_> {
    type Value = ();

    scalars!();

    fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<(), A::Error> {
        let Object(look) = self;
        let detail = "must be an object, got a list";
        look.found = Some(Problem::field(Kind::InvalidRequest, &look.place, detail, None));
        Err(A::Error::custom(detail))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Object(look) = self;
        while let Some(name) = map.next_key::<String>()? {
            let length = look.place.len();
            look.spoken.hear(&look.place, &name);
            look.place.push('/');
            let plain =
                name.len() <= 60 && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
            look.place.push_str(&if plain { name.as_str().into() } else { Cow::Owned(escaped(&name)) });
            let limit = match name.as_str() {
                "input" | "webhook" | "body" => {
                    map.next_value_seed(Object(look))?;
                    look.place.truncate(length);
                    continue;
                }
                "requests" => Limit { items: look.most.requests, of: "requests", objects: true },
                "seed_notes" | "notes" => Limit { items: look.most.notes, of: "notes", objects: true },
                "mix" => Limit { items: look.most.items, of: "models", objects: true },
                _ => Limit { items: look.most.items, of: "items", objects: false },
            };
            map.next_value_seed(List { look, limit })?;
            look.place.truncate(length);
        }
        Ok(())
    }
}

#[derive(Clone, Copy)]
struct Limit {
    items: usize,
    of: &'static str,
    /// Each is an object.
    objects: bool,
}

/// Any value; if it is a list, not too long a one.
struct List<'a, 'b> {
    look: &'a mut Look<'b>,
    limit: Limit,
}

impl<'de> DeserializeSeed<'de> for List<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, value: D) -> Result<(), D::Error> {
        value.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for List<'_, '_> {
    type Value = ();

    scalars!();

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let List { look, limit } = self;
        for index in 0..limit.items {
            let length = look.place.len();
            let _ = write!(look.place, "/{index}");
            let more = match limit.objects {
                true => list.next_element_seed(Object(look))?.is_some(),
                false => list.next_element::<IgnoredAny>()?.is_some(),
            };
            look.place.truncate(length);
            if !more {
                return Ok(());
            }
        }
        if list.next_element::<IgnoredAny>()?.is_none() {
            return Ok(());
        }
        let (allowed, of) = (format!("1..={}", limit.items), limit.of);
        let detail = format!("must hold {allowed} {of}, got more");
        let problem = Problem::field(Kind::InvalidRequest, &look.place, &detail, Some(allowed));
        look.found = Some(problem);
        Err(A::Error::custom(detail))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(text: &str) -> Option<String> {
        let most = Most { requests: 2, notes: 3, items: 4 };
        let mut reader = serde_json::Deserializer::from_str(text);
        match check(&mut reader, "#", &most) {
            Ok(_) => None,
            Err(Wrong::Shape(problem)) => Some(problem.errors[0].pointer.clone()),
            Err(Wrong::Text(_, place)) => Some(format!("text {place}")),
        }
    }

    #[test]
    fn too_much_is_refused_where_it_begins() {
        for (text, place) in [
            (r#"{"requests": [{}, {}]}"#, None),
            // What follows is not even read.
            (r#"{"requests": [{}, {}, {}, "#, Some("#/requests")),
            (r#"{"requests": [{"seed_notes": [{}, {}, {}, {}]}]}"#, Some("#/requests/0/seed_notes")),
            (r#"{"requests": [{}, []]}"#, Some("#/requests/1")),
            (r#"{"input": {"notes": [{}, [], {}]}}"#, Some("#/input/notes/1")),
            (r#"{"mix": [{}, ["mine", 1]]}"#, Some("#/mix/1")),
            (r#"{"kit": [1, 2, 3, 4]}"#, None),
            (r#"{"kit": [1, 2, 3, 4, 5]}"#, Some("#/kit")),
            (r#"{"a/b": [1, 2, 3, 4, 5]}"#, Some("#/a~1b")),
            ("[]", Some("#")),
            (r#""x""#, None),
            (r#"{"kit": {"a": [[[null]]]}, "b": 1e3}"#, None),
            (r#"{"kit": [[[["#, Some("text #/kit/0")),
            (r#"{"tempo": 1e400}"#, Some("text #/tempo")),
            (
                r#"{"requests": [{}, {"seed_notes": [{"start": 1e400}]}]}"#,
                Some("text #/requests/1/seed_notes/0/start"),
            ),
        ] {
            assert_eq!(wrong(text).as_deref(), place, "{text}");
        }
    }
}
