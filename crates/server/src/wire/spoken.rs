//! Other names of fields, for programs written for other servers: what is wrong with a field is told under the name
//! it came with.

use crate::problem::{Problem, shown};

/// Another name, and the field's own.
pub const ALIASES: [(&str, &str); 5] = [
    ("model_name", "model"),
    ("producer_style", "style"),
    ("num_outputs", "variations"),
    ("n", "variations"),
    ("duration", "seconds"),
];

/// Names kept of one body: every one that a batch can have, and not all that a hostile body repeats.
const MOST: usize = 40_000;

/// The fields of a body that came under another name: pointer by own name, pointer as it came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spoken(Vec<(String, String)>);

impl Spoken {
    /// Of a body whose fields have other names throughout: the field's own, and the one it came under.
    pub fn of(names: &[(&str, &str)]) -> Spoken {
        let place = |name: &str| format!("#/{name}");
        Spoken(names.iter().map(|(own, came)| (place(own), place(came))).collect())
    }

    /// Notes the field `name` of the object at pointer `place`, if that is another name.
    pub fn hear(&mut self, place: &str, name: &str) {
        let found = ALIASES.iter().find(|(alias, _)| *alias == name);
        // Notes have a duration of their own, and there may be very many.
        let in_notes = place.contains("notes/");
        if let Some((alias, own)) = found.filter(|_| self.0.len() < MOST && !in_notes) {
            self.0.push((format!("{place}/{own}"), format!("{place}/{alias}")));
        }
    }

    pub fn append(&mut self, mut other: Spoken) {
        other.0.truncate(MOST.saturating_sub(self.0.len()));
        self.0.append(&mut other.0);
    }

    /// The problem with the names that came.
    pub fn tell(&self, mut problem: Problem) -> Problem {
        for (index, error) in problem.errors.iter_mut().enumerate() {
            let inside = |own: &str| {
                let rest = error.pointer.strip_prefix(own)?;
                (rest.is_empty() || rest.starts_with('/')).then(|| rest.to_owned())
            };
            let found = self.0.iter().find_map(|(own, came)| Some((own, came, inside(own)?)));
            let Some((own, came, rest)) = found else { continue };
            error.pointer = format!("{came}{rest}");
            if index == 0 {
                problem.detail = renamed(&problem.detail, own, came);
            }
        }
        problem
    }
}

/// A detail begins with the place of the first error, which may be told from further inside.
fn renamed(detail: &str, own: &str, came: &str) -> String {
    let last = |pointer: &str| pointer.rsplit('/').next().unwrap_or_default().to_owned();
    for (own, came) in [(shown(own), shown(came)), (last(own), last(came))] {
        if let Some(rest) = detail.strip_prefix(&own).filter(|rest| rest.starts_with([' ', '/'])) {
            return format!("{came}{rest}");
        }
    }
    detail.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::Kind;

    #[test]
    fn problems_are_told_under_the_name_that_came() {
        let mut spoken = Spoken::default();
        spoken.hear("#", "n");
        spoken.hear("#/requests/3", "model_name");
        spoken.hear("#", "bars");
        let told = |pointer: &str| {
            let told = spoken.tell(Problem::field(Kind::InvalidRequest, pointer, "must be less", None));
            (told.errors[0].pointer.clone(), told.detail)
        };
        let pair = |pointer: &str, detail: &str| (pointer.to_owned(), detail.to_owned());
        assert_eq!(told("#/variations"), pair("#/n", "n must be less"));
        assert_eq!(told("#/variations/0"), pair("#/n/0", "n/0 must be less"));
        assert_eq!(
            told("#/requests/3/model"),
            pair("#/requests/3/model_name", "requests/3/model_name must be less")
        );
        for other in ["#/model", "#/variation", "#/variationss", "#/requests/33/model", "#/bars"] {
            assert_eq!(told(other).0, other);
        }
    }

    #[test]
    fn a_body_of_names_alone_is_not_kept() {
        let mut spoken = Spoken::default();
        (0..2 * MOST).for_each(|_| spoken.hear("#", "n"));
        let mut all = spoken.clone();
        all.append(spoken);
        assert_eq!(all.0.len(), MOST);
    }
}
