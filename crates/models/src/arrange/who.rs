//! Who plays a part, by name, and who played it, in words.

use std::fmt::{Display, Formatter};

use partita_tokens::song::Part;

use super::request::Make;
use super::rules::{BassRule, CompRule, Manner};
use super::write::Made;

/// Who is asked to play a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who<R> {
    Make(Make<R>),
    /// Nobody, also not whoever does in the input.
    Nobody,
}

/// Who is asked to play under a melody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Players {
    pub bass: Who<BassRule>,
    pub piano: Who<CompRule>,
}

impl<R: Manner> Make<R> {
    /// `model`, or a rule's name.
    pub fn from_name(name: &str) -> Option<Make<R>> {
        if name == "model" { Some(Make::Model) } else { R::from_name(name).map(Make::Rule) }
    }

    pub fn name(self) -> &'static str {
        match self {
            Make::Keep => "keep",
            Make::Model => "model",
            Make::Rule(rule) => rule.name(),
        }
    }

    /// What [`Make::from_name`] takes, for people.
    pub fn names() -> String {
        format!("model or one of {}", R::names())
    }
}

impl<R: Manner> Who<R> {
    /// `model`, `keep`, `none` or a rule's name.
    pub fn from_name(name: &str) -> Option<Who<R>> {
        match name {
            "keep" => Some(Who::Make(Make::Keep)),
            "none" => Some(Who::Nobody),
            _ => Make::from_name(name).map(Who::Make),
        }
    }

    pub fn name(self) -> &'static str {
        self.make().map_or("none", Make::name)
    }

    /// What [`Who::from_name`] takes, for people.
    pub fn names() -> String {
        format!("model, keep, none or one of {}", R::names())
    }

    /// Whether the part is made anew.
    pub fn makes(self) -> bool {
        !matches!(self, Who::Nobody | Who::Make(Make::Keep))
    }

    /// Who makes the part; none for nobody.
    pub fn make(self) -> Option<Make<R>> {
        match self {
            Who::Make(make) => Some(make),
            Who::Nobody => None,
        }
    }
}

impl Players {
    /// Whether a network plays.
    pub fn has_model(&self) -> bool {
        self.bass.make() == Some(Make::Model) || self.piano.make() == Some(Make::Model)
    }

    /// Parts that do not stay as they are.
    pub fn parts(&self) -> Vec<Part> {
        let bass = (self.bass.make() != Some(Make::Keep)).then_some(Part::Bass);
        let piano = (self.piano.make() != Some(Make::Keep)).then_some(Part::Piano);
        bass.into_iter().chain(piano).collect()
    }
}

impl Display for Made {
    fn fmt(&self, out: &mut Formatter<'_>) -> std::fmt::Result {
        match self {
            Made::Nobody => out.write_str("nobody"),
            Made::Given => out.write_str("given"),
            Made::Model => out.write_str("model"),
            Made::Rule(rule) => rule.fmt(out),
        }
    }
}
