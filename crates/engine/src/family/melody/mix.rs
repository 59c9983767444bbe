//! Several writers that decide together: which may, and with what weight.

use super::kind::MelodyKind;
use crate::Code;
use crate::family::Catalogue;
use crate::family::check::{Check, look_up};
use crate::family::model::Kind;
use crate::request::Mix;
use crate::request::problems::text;

/// Models beside the request's own.
const MOST: usize = 4;

/// Checks every model and writes its proper `name@version` back. `kind`: of the model that the request itself names.
pub(crate) fn check(
    mix: Option<&mut Vec<Mix>>,
    kind: &MelodyKind,
    catalogue: &dyn Catalogue,
    check: &mut Check,
) {
    let Some(mix) = mix else { return };
    if !(1..=MOST).contains(&mix.len()) {
        check.problems.add("mix", &format!("1..={MOST} models"), mix.len());
        return;
    }
    for (index, other) in mix.iter_mut().enumerate() {
        // Weights are single precision where they count, in which the smallest are 0.
        let fits = |weight: f64| weight as f32 > 0.0 && weight <= 100.0;
        check.problems.real(&format!("mix/{index}/weight"), "(0, 100]", fits, Some(other.weight));
        let field = format!("mix/{index}/model");
        let Some(description) = look_up(&field, &mut other.model, catalogue, &mut check.problems) else {
            continue;
        };
        let name = &other.model;
        match &description.kind {
            Kind::Melody(other) if other.names() == kind.names() => {}
            Kind::Melody(_) => {
                let allowed = format!("a model of the styles {}", kind.names().join(", "));
                check.problems.add(&field, &allowed, format_args!("{}, which has others", text(name)));
            }
            _ => {
                let detail = format!("must be a model that writes melodies, got {}", text(name));
                check.problems.say(Code::InvalidRequest, &field, detail, None);
            }
        }
    }
}
