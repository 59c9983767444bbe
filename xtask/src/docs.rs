//! What the documents say of the repository is so: paths exist, links lead somewhere, commands parse.

use std::path::Path;
use std::process::Command;

use crate::markdown::{Document, parse};
use crate::repository::Repository;
use crate::shell::{finish, run, target, workspace};

/// Documents in which every path between backticks must exist.
const MAPS: [&str; 3] = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"];

/// Every path named in the maps exists, and every link of every document leads somewhere.
pub fn paths_and_links(repository: &Repository) -> Result<(), String> {
    let files = repository.files()?;
    let mut wrong = Vec::new();
    for name in MAPS {
        let Some(text) = files.iter().any(|file| file == name).then(|| repository.text(name)) else {
            wrong.push(format!("{name} is missing"));
            continue;
        };
        let document = parse(&text?.unwrap_or_default());
        let named = document.spans.iter().flat_map(|span| expand(span));
        wrong.extend(
            named.filter(|path| !exists(path, &files)).map(|path| format!("{name}: no such path: {path}")),
        );
    }
    for name in files.iter().filter(|file| file.ends_with(".md")) {
        let document = parse(&repository.text(name)?.unwrap_or_default());
        for link in &document.links {
            if let Some(problem) = follow(repository, name, &document, link)? {
                wrong.push(format!("{name}: {link}: {problem}"));
            }
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
}

/// Every command of the guides is one that the program or `cargo xtask` knows.
///
/// The program is asked for help after the command's own arguments: it refuses any it does not know.
pub fn commands(repository: &Repository) -> Result<(), String> {
    // As part of the workspace, so that what the tests built serves here too.
    run(&mut workspace(repository, "build", &["--bins"]))?;
    let program = target(repository).join("debug").join(format!("partita{}", std::env::consts::EXE_SUFFIX));
    let mut wrong = Vec::new();
    for name in ["README.md", "CONTRIBUTING.md", "bench/README.md"] {
        let document = parse(&repository.text(name)?.unwrap_or_default());
        for words in &document.commands {
            if let [first, second, rest @ ..] = words.as_slice()
                && first == "cargo"
                && second == "xtask"
                && rest.first().is_some_and(|command| crate::find(command).is_none())
            {
                wrong.push(format!("{name}: no such command: {}", words.join(" ")));
            }
            let Some(arguments) = program_arguments(words) else { continue };
            let answer = finish(Command::new(&program).args(arguments).arg("--help"))?;
            if !answer.status.success() {
                let why =
                    String::from_utf8_lossy(&answer.stderr).lines().next().unwrap_or_default().to_owned();
                wrong.push(format!("{name}: {}: {why}", words.join(" ")));
            }
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
}

/// What a command line hands to the program: after `partita`, or after `cargo run … --`.
///
/// Variables set in front (`PARTITA_THREADS=2 partita …`) are passed over.
pub fn program_arguments(words: &[String]) -> Option<&[String]> {
    let words = &words[words.iter().take_while(|word| is_assignment(word)).count()..];
    let program = Path::new(words.first()?).file_stem()?;
    if program == "partita" {
        return Some(&words[1..]);
    }
    let is_run = program == "cargo" && words.get(1).is_some_and(|word| word == "run");
    // Examples and other packages are programs of their own.
    let is_other =
        words.iter().any(|word| matches!(word.as_str(), "--example" | "--bin" | "--manifest-path"));
    let dashes = words.iter().position(|word| word == "--")?;
    (is_run && !is_other).then(|| &words[dashes + 1..])
}

fn is_assignment(word: &str) -> bool {
    word.split_once('=').is_some_and(|(name, _)| name.chars().all(|c| c.is_ascii_uppercase() || c == '_'))
}

/// The paths a code span names: none, one, or several if it has `{a,b}`.
///
/// A span is a path if it has no spaces and either a `/` and a beginning or end that says so, or is a Rust file.
/// What stands for something else (`<name>`, `*`) cuts it off at the folder before.
fn expand(span: &str) -> Vec<String> {
    let is_word = span.chars().all(|c| c.is_ascii_alphanumeric() || "._-/{},<>*".contains(c));
    let ends = [".rs", ".md", ".toml", ".yaml", ".yml", ".json", ".py", ".sh", "/"];
    let begins =
        ["crates/", "xtask/", "fuzz/", "testdata/", "weights/", "bench/", "docs/", "config/", "web/", ".ci/"];
    let is_path = span.contains('/')
        && (ends.iter().any(|end| span.ends_with(end)) || begins.iter().any(|begin| span.starts_with(begin)));
    let is_file = span.ends_with(".rs") && span.len() > 3;
    if !is_word || !(is_path || is_file) || span.starts_with('/') || span.starts_with("target/") {
        return Vec::new();
    }
    if let (Some(open), Some(close)) = (span.find('{'), span.find('}'))
        && open < close
    {
        let (before, after) = (&span[..open], &span[close + 1..]);
        return span[open + 1..close]
            .split(',')
            .flat_map(|one| expand(&format!("{before}{one}{after}")))
            .collect();
    }
    match span.find(['<', '*']) {
        Some(at) => span[..at].rfind('/').map(|slash| span[..=slash].to_owned()).into_iter().collect(),
        None => vec![span.to_owned()],
    }
}

/// A path is a file or a folder from the root; a Rust file's name alone is that of any file.
fn exists(path: &str, files: &[String]) -> bool {
    let path = path.trim_end_matches('/');
    let below = format!("{path}/");
    files.iter().any(|file| {
        file == path
            || file.starts_with(&below)
            || (!path.contains('/') && file.rsplit('/').next() == Some(path))
    })
}

/// Why a link of a document leads nowhere. Pages elsewhere are not visited: tests need no network.
fn follow(
    repository: &Repository,
    name: &str,
    document: &Document,
    link: &str,
) -> Result<Option<String>, String> {
    if link.contains("://") || link.starts_with("mailto:") {
        return Ok(None);
    }
    let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
    let folder = Path::new(name).parent().unwrap_or(Path::new(""));
    let file = repository.root.join(folder).join(path);
    if path.starts_with('/') || !(path.is_empty() || file.exists()) {
        return Ok(Some("no such file".into()));
    }
    if anchor.is_empty() {
        return Ok(None);
    }
    let anchors = if path.is_empty() {
        document.anchors.clone()
    } else if path.ends_with(".md") {
        parse(&std::fs::read_to_string(&file).map_err(|error| format!("{path}: {error}"))?).anchors
    } else {
        return Ok(None);
    };
    Ok((!anchors.iter().any(|known| known == anchor)).then(|| "no such heading".into()))
}

#[cfg(test)]
mod tests {
    use super::{exists, expand, program_arguments};

    #[test]
    fn spans_that_name_paths_are_told_from_others() {
        for (span, paths) in [
            ("crates/nn/src/{gpt,style}.rs", vec!["crates/nn/src/gpt.rs", "crates/nn/src/style.rs"]),
            ("bench/runs/<date>-<cpu>/", vec!["bench/runs/"]),
            ("dispatch.rs", vec!["dispatch.rs"]),
            ("text/event-stream", vec![]),
            ("POST /v1/generate", vec![]),
            ("/v1/generate", vec![]),
            ("target/release/", vec![]),
            ("6/8", vec![]),
        ] {
            assert_eq!(expand(span), paths, "{span}");
        }
    }

    #[test]
    fn folders_exist_through_their_files() {
        let files = ["crates/nn/src/gpt.rs".to_owned()];
        assert!(["crates/nn/", "crates/nn/src/gpt.rs", "gpt.rs"].iter().all(|path| exists(path, &files)));
        assert!(!["crates/n", "crates/nn/gpt.rs", "src/gpt.rs"].iter().any(|path| exists(path, &files)));
    }

    #[test]
    fn arguments_of_the_program_are_found() {
        let check = |line: &str| {
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            program_arguments(&words).map(|arguments| arguments.join(" "))
        };
        assert_eq!(check("./target/release/partita styles list").as_deref(), Some("styles list"));
        assert_eq!(check("cargo run --release -- styles list").as_deref(), Some("styles list"));
        assert_eq!(check("PARTITA_THREADS=2 partita bench").as_deref(), Some("bench"));
        assert_eq!(check("cargo run --example decode -- --layers 6"), None);
        assert_eq!(check("cargo xtask test"), None);
    }
}
