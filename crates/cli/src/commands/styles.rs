//! `styles list` and `styles show`: what a drummer can play like.

use std::fmt::Write;

use clap::Subcommand;
use partita_models::drums::Style;
use partita_score::DrumClass;
use serde_json::{Value, json};

use crate::error::Result;
use crate::model;
use crate::report::round;
use crate::session::Session;

#[derive(Subcommand, Debug)]
pub enum Command {
    /// All styles, learned ones and profiles
    List,
    /// One style in full
    Show {
        /// Its name, or a profile in a YAML file
        name: String,
    },
}

pub fn run(command: &Command, session: &Session) -> Result<()> {
    let drummer = model::drummer(session)?;
    match command {
        Command::List => {
            let styles = drummer.styles()?;
            let object = json!({ "styles": styles.iter().map(object).collect::<Vec<_>>() });
            session.answer(&object, &table(&styles), false)
        }
        Command::Show { name } => {
            let style = model::style(&drummer, name)?;
            session.answer(&object(&style), &page(&style, name), false)
        }
    }
}

fn kind(style: &Style) -> &'static str {
    if style.profile.is_some() { "profile" } else { "learned" }
}

fn object(style: &Style) -> Value {
    let mut object = json!({
        "name": style.name,
        "kind": kind(style),
        "base": style.base,
        "default_tempo": style.default_tempo(),
        "sound": style.sound(),
        "kit": kit(style),
        "changes": style.changes(),
    });
    if let Some(profile) = &style.profile {
        object["about"] = json!(profile.about);
        object["tempo"] = json!(profile.tempo);
        object["swing"] = json!(profile.swing);
        object["microtiming"] = json!(profile.microtiming);
        object["delay_ms"] = json!(profile.delay_ms);
        object["density"] = json!(profile.density);
        object["anchors"] = json!(profile.anchors);
    }
    object
}

fn kit(style: &Style) -> Vec<&'static str> {
    let lanes = style.lanes();
    DrumClass::ALL.into_iter().filter(|class| lanes[class.index()]).map(DrumClass::name).collect()
}

fn table(styles: &[Style]) -> String {
    let longest = styles.iter().map(|style| style.name.len()).max().unwrap_or(0).max(5);
    let (learned, profiles): (Vec<_>, Vec<_>) = styles.iter().partition(|style| style.profile.is_none());
    let mut text = String::new();
    let _ = writeln!(text, "learned: the model has heard drummers play these ({})", learned.len());
    let names: Vec<&str> = learned.iter().map(|style| style.name.as_str()).collect();
    for row in names.chunks(6) {
        let cells: String = row.iter().map(|name| format!("{name:<14}")).collect();
        let _ = writeln!(text, "  {}", cells.trim_end());
    }
    let _ = writeln!(text, "\nprofiles: rules on top of a learned style ({})", profiles.len());
    let _ = writeln!(text, "  {:longest$}  {:10}  {:>5}  changes", "style", "base", "tempo");
    for style in &profiles {
        let (base, tempo) = (&style.base, round(style.default_tempo(), 1));
        let anchors = || style.profile.iter().flat_map(|profile| &profile.anchors);
        // Anchors are long; `show` has them.
        let is_anchor =
            |change: &String| anchors().any(|(drum, pattern)| *change == format!("{drum} {pattern}"));
        let mut changes = style.changes();
        changes.retain(|change| !is_anchor(change));
        if anchors().next().is_some() {
            let drums: Vec<&str> = anchors().map(|(drum, _)| drum.as_str()).collect();
            changes.push(format!("fixed {}", drums.join("+")));
        }
        let changes = changes.join(", ");
        let _ = writeln!(text, "  {:longest$}  {base:10}  {tempo:>5}  {changes}", style.name);
    }
    text.push_str("\nexamples\n");
    for style in [learned.first(), profiles.first()].into_iter().flatten() {
        let _ = writeln!(text, "  partita generate drums --style {0} -o {0}.mid", style.name);
    }
    text.push_str("  partita generate drums --style my-profile.yaml --wav mine.wav\n");
    text
}

fn page(style: &Style, asked: &str) -> String {
    let mut text = format!("{} ({})\n", style.name, kind(style));
    let mut line = |name: &str, value: String| {
        let _ = writeln!(text, "  {name:<12} {value}");
    };
    if let Some(profile) = &style.profile {
        if !profile.about.is_empty() {
            line("about", profile.about.clone());
        }
        line("base", style.base.clone());
        line(
            "tempo",
            format!("{}-{} bpm, {} if not told", profile.tempo[0], profile.tempo[1], style.default_tempo()),
        );
        line("swing", profile.swing.map_or("as played".into(), |swing| swing.to_string()));
        line("microtiming", format!("x{}", profile.microtiming));
        for (drum, delay) in &profile.delay_ms {
            line("delay", format!("{drum} {delay:+} ms"));
        }
        line("density", profile.density.map_or("as played".into(), |density| density.to_string()));
        line("kit", kit(style).join(", "));
        for (drum, pattern) in &profile.anchors {
            line("fixed", format!("{drum:<10} {pattern}"));
        }
    } else {
        line("tempo", format!("{} bpm if not told", style.default_tempo()));
        line("kit", kit(style).join(", "));
    }
    line("sound", style.sound().to_owned());
    let _ = writeln!(text, "\n  partita generate drums --style {asked} -o drums.mid");
    text
}
