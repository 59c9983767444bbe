//! Lyrics of a tune (`w:`): a line of syllables under a line of music.

/// A step through the notes of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Sung on the next note; a hyphen at its end where its word goes on.
    Syllable(String),
    /// Nothing, or what was sung before, on the next note.
    Note,
    /// On to the next bar.
    Bar,
}

/// Reads a line of words.
pub(super) fn read(text: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut syllable = String::new();
    let end = |syllable: &mut String, steps: &mut Vec<Step>| {
        if !syllable.is_empty() {
            steps.push(Step::Syllable(std::mem::take(syllable)));
        }
    };
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '-' if syllable.is_empty() => steps.push(Step::Note),
            '-' => {
                syllable.push('-');
                end(&mut syllable, &mut steps);
            }
            '~' => syllable.push(' '),
            '\\' => syllable.extend(letters.next()),
            '_' | '*' | '|' => {
                end(&mut syllable, &mut steps);
                steps.push(if letter == '|' { Step::Bar } else { Step::Note });
            }
            _ if letter.is_whitespace() => end(&mut syllable, &mut steps),
            _ => syllable.push(letter),
        }
    }
    end(&mut syllable, &mut steps);
    steps
}

/// A syllable as it is written; `on`: its word goes on.
pub(super) fn write(syllable: &str, on: bool) -> String {
    let mut text = String::new();
    for letter in syllable.chars() {
        match letter {
            '-' | '%' => text.extend(['\\', letter]),
            '_' | '*' | '|' | '\\' | '~' => {}
            _ if letter.is_whitespace() => text.push('~'),
            _ => text.push(letter),
        }
    }
    if text.is_empty() {
        return "* ".into();
    }
    text.push(if on { '-' } else { ' ' });
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sung(text: &str) -> String {
        let step = |step: &Step| match step {
            Step::Syllable(text) => format!("<{text}>"),
            Step::Note => "*".into(),
            Step::Bar => "|".into(),
        };
        read(text).iter().map(step).collect()
    }

    #[test]
    fn syllables_stand_as_the_standard_says() {
        assert_eq!(sung("syll-a-ble is"), "<syll-><a-><ble><is>");
        assert_eq!(sung("time__ of~the day"), "<time>**<of the><day>");
        assert_eq!(sung("gyp-sy's la--dy"), "<gyp-><sy's><la->*<dy>");
        assert_eq!(sung("one | * two\\-three |"), "<one>|*<two-three>|");
        assert_eq!(sung(""), "");
    }

    #[test]
    fn what_is_written_reads_back() {
        for (syllable, on) in [("Hal", true), ("big & wide", false), ("50% off-beat", true), ("é", false)] {
            let hyphen = if on { "-" } else { "" };
            assert_eq!(sung(&write(syllable, on)), format!("<{syllable}{hyphen}>"));
        }
        assert_eq!(sung(&write("_|", false)), "*");
    }
}
