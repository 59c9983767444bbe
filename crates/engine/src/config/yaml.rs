//! YAML as a tree that still knows where each value stood.

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_saphyr::Spanned;

/// Line and column, counted from 1.
pub(super) type At = (u64, u64);

/// A value and its place; `None` when it did not come from a file.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub at: Option<At>,
    pub kind: Kind,
}

#[derive(Clone, Debug)]
pub(super) enum Kind {
    /// Nothing, a switch or a number.
    Plain(Value),
    Text(String),
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
}

impl Node {
    /// Text from outside a file.
    pub fn text(text: &str) -> Node {
        Node { at: None, kind: Kind::Text(text.to_owned()) }
    }

    pub fn is_nothing(&self) -> bool {
        matches!(self.kind, Kind::Plain(Value::Null))
    }

    /// For messages: short, and never a whole document.
    pub fn shown(&self) -> String {
        match &self.kind {
            Kind::Plain(Value::Null) => "nothing".into(),
            Kind::Plain(value) => value.to_string(),
            Kind::Text(text) => {
                let short: String = text.chars().take(60).collect();
                format!("{short:?}")
            }
            Kind::List(_) => "a list".into(),
            Kind::Map(_) => "a map".into(),
        }
    }

    fn from_spanned(spanned: Spanned<Kind>) -> Node {
        let at = (spanned.referenced.line(), spanned.referenced.column());
        Node { at: (at.0 > 0).then_some(at), kind: spanned.value }
    }
}

/// Reads one YAML document; an empty one is an empty map.
///
/// # Errors
/// Place, if known, and message of what is no YAML.
pub(super) fn parse(text: &str) -> Result<Node, (Option<At>, String)> {
    // `cache.store: off` is a word, not a switch; and a snippet in a message could show a secret.
    let options = serde_saphyr::options! { strict_booleans: true, with_snippet: false };
    let spanned: Spanned<Kind> = serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let at = error.location().map(|place| (place.line(), place.column()));
        (at, plain(&error))
    })?;
    let node = Node::from_spanned(spanned);
    Ok(if node.is_nothing() { Node { at: node.at, kind: Kind::Map(vec![]) } } else { node })
}

/// What the parser says of a mistake, as far as its words hold this, and what it means to whoever wrote the file.
const MISTAKES: &[(&str, &str)] = &[
    ("unclosed bracket '['", "every [ must have its ], got one without"),
    ("unclosed bracket '{'", "every { must have its }, got one without"),
    ("misplaced bracket", "] and } must close a bracket, got one that closes none"),
    (
        "illegal placement of ':'",
        "a ':' must come after a key, got one elsewhere; a [ or { before it may be without its end",
    ),
    ("expected ',' or '}'", "entries between { and } must have commas between them, got none"),
    ("expected ',' or ']'", "entries between [ and ] must have commas between them, got none"),
    (
        "mapping values are not allowed",
        "a line must hold one key and its value, got a second ':'; text with ': ' in it must be in quotes, and what is \
         below a key must be deeper than the key",
    ),
    ("tab", "lines must be indented with spaces, got a tab"),
    ("did not find expected key", "keys of one section must be indented alike, got another depth"),
    (
        "invalid indentation",
        "lines must be indented like those around them, and text in quotes must end in quotes",
    ),
    (
        "unknown escape character",
        "after \\ in double quotes must come an escape such as \\n or \\\\, got another character",
    ),
    ("simple key expected ':'", "a key must have ':' after it, got none"),
    ("unexpected character", "text that begins with a sign of YAML's must be in quotes, got it without"),
    ("sequence entries are not allowed", "each '- ' of a list must begin a line, got one elsewhere"),
    ("recursion limit", DEEP),
];
const DEEP: &str = "the file must be a configuration, got one that is too deep or has too much in it";

/// What is wrong with a file, in words for whoever wrote it: the library's are for whoever programs with it. No value is
/// told, for it may be a secret.
fn plain(error: &serde_saphyr::Error) -> String {
    use serde_saphyr::Error as Yaml;
    let short = |text: &str| text.chars().take(60).collect::<String>();
    let words = match error.without_snippet() {
        Yaml::AliasError { error, .. } => return plain(error),
        Yaml::DuplicateMappingKey { key, .. } => {
            let key = key.as_deref().map_or_else(|| "one".to_owned(), |key| format!("{:?}", short(key)));
            return format!("every key must be there once, got {key} again");
        }
        Yaml::ExternalMessage { msg, .. } | Yaml::Message { msg, .. } => {
            let known = MISTAKES.iter().find(|(said, _)| msg.contains(said));
            let first = msg.lines().next().unwrap_or_default();
            return known.map_or_else(
                || format!("the file must be YAML, got a mistake here: {}", short(first)),
                |(_, means)| (*means).to_owned(),
            );
        }
        Yaml::MultipleDocuments { .. } => "the file must hold one document, got another after ---",
        Yaml::UnknownAnchor { .. } => "what * names must be marked with & before it, got a name that is not",
        Yaml::MergeValueNotMapOrSeqOfMaps { .. } => "what << adds must be a map, got something else",
        Yaml::NonFiniteFloat { .. } => "numbers must be finite, got one that is not",
        Yaml::Budget { .. }
        | Yaml::AliasReplayCounterOverflow { .. }
        | Yaml::AliasReplayLimitExceeded { .. }
        | Yaml::AliasExpansionLimitExceeded { .. }
        | Yaml::AliasReplayStackDepthExceeded { .. } => DEEP,
        // Values are taken as they come: what is read as something of its own is a key, or has a tag.
        Yaml::NullIntoString { .. } | Yaml::Unexpected { .. } | Yaml::SerdeInvalidType { .. } => {
            "keys must be words, got something else"
        }
        Yaml::InvalidScalar { .. } | Yaml::InvalidBinaryBase64 { .. } | Yaml::UnsupportedTag { .. } => {
            "values must be what their tags (!) say, got one that is not"
        }
        _ => "the file must be YAML, got something else here",
    };
    words.to_owned()
}

impl<'de> Deserialize<'de> for Kind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Kind, D::Error> {
        deserializer.deserialize_any(KindVisitor)
    }
}

struct KindVisitor;

impl<'de> Visitor<'de> for KindVisitor {
    type Value = Kind;

    fn expecting(&self, out: &mut std::fmt::Formatter) -> std::fmt::Result {
        out.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Kind, E> {
        Ok(Kind::Plain(Value::Null))
    }

    fn visit_none<E>(self) -> Result<Kind, E> {
        Ok(Kind::Plain(Value::Null))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Kind, D::Error> {
        deserializer.deserialize_any(KindVisitor)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Kind, E> {
        Ok(Kind::Plain(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Kind, E> {
        Ok(Kind::Plain(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Kind, E> {
        Ok(Kind::Plain(value.into()))
    }

    fn visit_i128<E>(self, value: i128) -> Result<Kind, E> {
        Ok(Kind::Plain((value as f64).into()))
    }

    fn visit_u128<E>(self, value: u128) -> Result<Kind, E> {
        Ok(Kind::Plain((value as f64).into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Kind, E> {
        // JSON has no word for what is not finite; as text it is refused where a number belongs.
        Ok(serde_json::Number::from_f64(value)
            .map_or_else(|| Kind::Text(value.to_string()), |number| Kind::Plain(number.into())))
    }

    fn visit_str<E>(self, value: &str) -> Result<Kind, E> {
        Ok(Kind::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Kind, A::Error> {
        let mut list = vec![];
        while let Some(item) = seq.next_element::<Spanned<Kind>>()? {
            list.push(Node::from_spanned(item));
        }
        Ok(Kind::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Kind, A::Error> {
        let mut entries = vec![];
        while let Some(key) = map.next_key::<Spanned<String>>()? {
            let mut node = Node::from_spanned(map.next_value::<Spanned<Kind>>()?);
            // A map's own place is its first key; what is wrong with an entry is shown at the entry's key.
            if matches!(node.kind, Kind::Map(_) | Kind::List(_)) || node.at.is_none() {
                let at = (key.referenced.line(), key.referenced.column());
                node.at = (at.0 > 0).then_some(at).or(node.at);
            }
            entries.push((key.value, node));
        }
        Ok(Kind::Map(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_keep_their_places() {
        let node = parse("server:\n  port: 80\nlist: [a, 1, null]\nword: off\n").expect("YAML");
        let Kind::Map(entries) = node.kind else { panic!("a map") };
        let Kind::Map(server) = &entries[0].1.kind else { panic!("a map") };
        assert_eq!(server[0].1.at, Some((2, 9)));
        assert_eq!(server[0].1.shown(), "80");
        let Kind::List(list) = &entries[1].1.kind else { panic!("a list") };
        assert_eq!(list.iter().map(Node::shown).collect::<Vec<_>>(), ["\"a\"", "1", "nothing"]);
        assert_eq!(entries[2].1.shown(), "\"off\"");
    }

    #[test]
    fn an_empty_document_holds_nothing() {
        for text in ["", "# only words\n", "---\n"] {
            let node = parse(text).expect("YAML");
            assert!(matches!(node.kind, Kind::Map(ref entries) if entries.is_empty()), "{text:?}");
        }
    }

    #[test]
    fn what_is_no_yaml_is_told_where_and_in_plain_words() {
        let deep = format!("a: {}", "[".repeat(5000));
        for (text, line, words) in [
            ("a: 1\nb: [1, 2\nc: 3\n", 3, "a [ or { before it"),
            ("a: [1\n", 1, "every [ must have its ]"),
            ("a: {b\n", 1, "every { must have its }"),
            ("a: [1]]\n", 1, "got one that closes none"),
            ("a: {b: 1\nc: 2", 2, "commas between them"),
            ("a: 1\na: 2\n", 2, "every key must be there once, got \"a\" again"),
            ("a:\n  b: 1\n c: 2\n", 3, "indented alike, got another depth"),
            ("a:\n\tb: 1\n", 2, "with spaces, got a tab"),
            ("a: b: c\n", 1, "got a second ':'"),
            ("a: 1\n---\nb: 2\n", 3, "one document"),
            ("~: 1\n", 1, "keys must be words"),
            ("[a]: 1\n", 1, "keys must be words"),
            ("a: *x\n", 1, "marked with &"),
            ("a: !!int x\n", 1, "what their tags (!) say"),
            ("a: \"x\n", 2, "must end in quotes"),
            ("a: \"\\q\"\n", 1, "got another character"),
            ("a: |\nb\n", 2, "must have ':' after it"),
            ("a: @x\n", 1, "must be in quotes"),
            ("a: .nan\n", 1, "must be finite"),
            ("<<: 1\n", 1, "must be a map"),
            ("a: -\n", 1, "must begin a line"),
            ("%YAML 3.0\na: 1\n", 1, "must be YAML"),
            (&deep, 1, "too deep"),
        ] {
            let (at, message) = parse(text).expect_err(text);
            assert!(message.contains(words), "{text:.40}: {message}");
            assert!(message.contains("must"), "{text:.40}: {message}");
            assert_eq!(at.map(|(line, _)| line), Some(line), "{text:.40}: {message}");
            for foreign in ["scalar", "mapping", "Option", "u64", "serialize", "policy", "budget"] {
                assert!(!message.contains(foreign), "{text:.40}: {message}");
            }
        }
    }
}
