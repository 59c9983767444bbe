//! Just enough Markdown: commands in code blocks, code spans, links and headings.

/// What the checks look at in one document.
#[derive(Debug, Default, PartialEq)]
pub struct Document {
    /// Command lines of `sh` and `console` blocks, in words; pipes and `&&` split them.
    pub commands: Vec<Vec<String>>,
    /// Text between backticks, outside code blocks.
    pub spans: Vec<String>,
    /// Targets of links and images.
    pub links: Vec<String>,
    /// Anchors of the headings, as GitHub makes them.
    pub anchors: Vec<String>,
}

pub fn parse(text: &str) -> Document {
    let mut document = Document::default();
    // The language of the block we are in.
    let mut block: Option<&str> = None;
    let mut unfinished = String::new();
    for line in text.lines() {
        if let Some(language) = line.trim_start().strip_prefix("```") {
            block = if block.is_some() { None } else { Some(language.trim()) };
            continue;
        }
        match block {
            Some(language @ ("sh" | "bash" | "shell" | "console")) => {
                // In `console` blocks the other lines are what the command printed.
                let typed = line
                    .strip_prefix("$ ")
                    .or((language != "console" || !unfinished.is_empty()).then_some(line));
                let Some(typed) = typed else { continue };
                unfinished.push_str(typed.strip_suffix('\\').unwrap_or(typed));
                if !typed.ends_with('\\') {
                    document.commands.extend(words(&std::mem::take(&mut unfinished)));
                }
            }
            Some(_) => {}
            None => {
                if let Some(heading) = line.starts_with('#').then(|| line.trim_start_matches('#')) {
                    document.anchors.push(anchor(heading.trim()));
                }
                prose(line, &mut document);
            }
        }
    }
    document
}

/// Spans and links of one line.
fn prose(line: &str, document: &mut Document) {
    // Links inside a span are text, so spans are cut out first.
    let mut rest = String::new();
    for (index, part) in line.split('`').enumerate() {
        if index % 2 == 1 {
            document.spans.push(part.to_owned());
        } else {
            rest.push_str(part);
        }
    }
    let mut rest = rest.as_str();
    while let Some(start) = rest.find("](") {
        rest = &rest[start + 2..];
        let Some(end) = rest.find(')') else { break };
        let target = rest[..end].split(' ').next().unwrap_or_default();
        document.links.push(target.trim_matches(['<', '>']).to_owned());
    }
}

/// GitHub's anchor of a heading: lower case, punctuation dropped, hyphens for spaces.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.flat_map(char::to_lowercase).map(|c| if c == ' ' { '-' } else { c }).collect()
}

/// The commands of one line, each in words, as a shell would split them; redirections are dropped.
fn words(line: &str) -> Vec<Vec<String>> {
    let mut commands = vec![Vec::new()];
    let mut word: Option<String> = None;
    let mut quote: Option<char> = None;
    for c in line.chars().chain([' ']) {
        match (quote, c) {
            (Some(open), _) if c == open => quote = None,
            (Some(_), _) => word.get_or_insert_default().push(c),
            (None, '"' | '\'') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, '#') if word.is_none() => break,
            (None, ' ' | '\t' | ';' | '|' | '&') => {
                commands.last_mut().expect("starts with one").extend(word.take());
                if matches!(c, ';' | '|' | '&') {
                    commands.push(Vec::new());
                }
            }
            (None, _) => word.get_or_insert_default().push(c),
        }
    }
    for command in &mut commands {
        if let Some(end) = command.iter().position(|word| word.starts_with(['>', '<'])) {
            command.truncate(end);
        }
    }
    commands.retain(|command| !command.is_empty());
    commands
}

#[cfg(test)]
mod tests {
    use super::{anchor, parse, words};

    #[test]
    fn commands_come_from_shell_blocks_only() {
        let text = "```sh\npartita a \\\n  --b 'c d' # why\n```\n```console\n$ partita e\nprinted\n```\n```json\n{}\n```\n";
        let commands = parse(text).commands;
        assert_eq!(commands, [vec!["partita", "a", "--b", "c d"], vec!["partita", "e"]]);
    }

    #[test]
    fn a_line_is_split_at_pipes_and_ends_at_redirections() {
        assert_eq!(
            words("cd x && partita y | sort > out"),
            [vec!["cd", "x"], vec!["partita", "y"], vec!["sort"]]
        );
    }

    #[test]
    fn links_spans_and_anchors_are_found() {
        let document =
            parse("## What's new: *v2*\nSee [a](b.md#c), ![i](<d e>) and `crates/x`, not `[f](g)`.\n");
        assert_eq!(document.links, ["b.md#c", "d"]);
        assert_eq!(document.spans, ["crates/x", "[f](g)"]);
        assert_eq!(document.anchors, ["whats-new-v2"]);
        assert_eq!(anchor("Errors, cancelling"), "errors-cancelling");
    }
}
