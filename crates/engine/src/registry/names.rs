//! From a name to the model that answers for it.

use std::collections::BTreeMap;

use super::catalogue::{Catalogue, Id};
use crate::config::Target;
use crate::store::catalogue as published;
use crate::{Code, Fault};

type Aliases = BTreeMap<String, Vec<Target>>;

/// The model for a name, an alias or a `name@version`. `draw` in `[0, 1)` chooses among the targets of an alias.
///
/// # Errors
/// `UnknownModel` with the nearest names.
pub(super) fn resolve(catalogue: &Catalogue, aliases: &Aliases, name: &str, draw: f64) -> Result<Id, Fault> {
    let (mut current, mut draw) = (name, draw.clamp(0.0, 1.0));
    // A checked configuration has no circles; one that was not checked ends here all the same.
    for _ in 0..=aliases.len() {
        let Some(targets) = aliases.get(current).filter(|targets| !targets.is_empty()) else { break };
        let (target, rest) = choose(targets, draw);
        (current, draw) = (&target.model, rest);
    }
    let found = match current.split_once('@') {
        Some((name, version)) => {
            let id = Id { name: name.to_owned(), version: version.to_owned() };
            catalogue.entries.contains_key(&id).then_some(id)
        }
        None => catalogue.newest(current).cloned(),
    };
    found.ok_or_else(|| unknown(catalogue, aliases, name, current))
}

/// All models that a name, an alias or a `name@version` can lead to.
///
/// # Errors
/// `UnknownModel` for the first that is not there.
pub(super) fn targets(catalogue: &Catalogue, aliases: &Aliases, name: &str) -> Result<Vec<Id>, Fault> {
    fn walk<'a>(aliases: &'a Aliases, name: &'a str, depth: usize, all: &mut Vec<&'a str>) {
        match aliases.get(name).filter(|targets| depth > 0 && !targets.is_empty()) {
            Some(targets) => {
                targets.iter().for_each(|target| walk(aliases, &target.model, depth - 1, all));
            }
            None => all.push(name),
        }
    }
    let mut names = vec![];
    walk(aliases, name, aliases.len() + 1, &mut names);
    let mut ids = names
        .into_iter()
        .map(|name| resolve(catalogue, &Aliases::new(), name, 0.0))
        .collect::<Result<Vec<_>, _>>()?;
    ids.sort();
    ids.dedup();
    Ok(ids)
}

/// The target on which `draw` falls, and the draw that is left for its own targets: again even in `[0, 1)`.
fn choose(targets: &[Target], draw: f64) -> (&Target, f64) {
    let weight = |target: &Target| target.weight.unwrap_or(1.0).max(0.0);
    let total: f64 = targets.iter().map(weight).sum();
    let mut point = draw * total;
    for target in targets {
        if point < weight(target) {
            return (target, point / weight(target));
        }
        point -= weight(target);
    }
    // Rounding, or a draw of 1.
    (&targets[targets.len() - 1], 0.0)
}

fn unknown(catalogue: &Catalogue, aliases: &Aliases, name: &str, current: &str) -> Fault {
    let mut known: Vec<String> = catalogue.entries.keys().map(|id| id.name.clone()).collect();
    known.extend(aliases.keys().cloned());
    if current.contains('@') {
        known.extend(catalogue.entries.keys().map(Id::text));
    }
    known.extend(published::models().iter().map(|model| model.name.clone()));
    known.sort();
    known.dedup();
    let shown: String = current.chars().take(64).collect();
    if let Ok(model) = published::find(current.split('@').next().unwrap_or_default()) {
        return Fault::new(Code::UnknownModel, model.missing());
    }
    let through = if name == current { String::new() } else { " (through an alias)".into() };
    let mut near: Vec<(usize, &String)> =
        known.iter().map(|name| (strsim::osa_distance(name, &shown), name)).collect();
    near.sort();
    let near: Vec<&str> = near
        .iter()
        .filter(|(distance, _)| *distance <= 2 + shown.len() / 4)
        .take(3)
        .map(|(_, name)| name.as_str())
        .collect();
    let hint = if near.is_empty() {
        known.retain(|name| published::find(name).is_err());
        known.truncate(10);
        format!("there are {}", known.join(", "))
    } else {
        format!("did you mean {}?", near.join(" or "))
    };
    Fault::new(Code::UnknownModel, format!("no model is called {shown:?}{through}; {hint}"))
}

/// Names that lead to `id`, each with its share unless it is the whole: `trial (90%)`.
pub(super) fn leading_to(catalogue: &Catalogue, aliases: &Aliases, id: &Id) -> Vec<String> {
    let share = |name: &str| share(catalogue, aliases, name, id, aliases.len());
    let named = aliases.keys().map(|name| (name, share(name))).filter(|(_, share)| *share > 0.0);
    named
        .map(|(name, share)| {
            let percent = share * 100.0;
            if share > 0.999_999 {
                name.clone()
            } else {
                format!("{name} ({percent:.4}%)").replace(".0000%", "%")
            }
        })
        .collect()
}

fn share(catalogue: &Catalogue, aliases: &Aliases, name: &str, id: &Id, depth: usize) -> f64 {
    let Some(targets) = aliases.get(name) else {
        let leads = name == id.text() || catalogue.newest(name) == Some(id);
        return if leads { 1.0 } else { 0.0 };
    };
    if depth == 0 && !targets.iter().all(|target| !aliases.contains_key(&target.model)) {
        return 0.0;
    }
    let total: f64 = targets.iter().map(|target| target.weight.unwrap_or(1.0)).sum();
    let part = |target: &Target| {
        target.weight.unwrap_or(1.0) / total
            * share(catalogue, aliases, &target.model, id, depth.saturating_sub(1))
    };
    targets.iter().map(part).sum()
}
