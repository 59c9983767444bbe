//! Errors that point at the character, and the cursor that the readers of this module share.

use std::fmt;

/// A place in a text where something else was expected.
///
/// Displays as one line, `chord symbol, column 4: expected an extension, got 'q'`; [`SyntaxError::caret`] draws it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyntaxError {
    /// What was being read: `key`, `chord symbol`.
    pub what: &'static str,
    /// The line that was being read, whole.
    pub text: String,
    /// Column of the character at fault, in characters, counted from 1; one past the last at the end.
    pub column: usize,
    pub expected: String,
    /// The character or word that came, in quotes, or `the end`.
    pub got: String,
}

/// Most characters of the text that [`SyntaxError::caret`] shows.
const WINDOW: usize = 72;

impl SyntaxError {
    /// At byte `at` of `text`; several lines are counted as one, in which a line end is a character.
    pub(crate) fn new(what: &'static str, text: &str, at: usize, expected: impl Into<String>) -> SyntaxError {
        let (before, rest) = text.split_at_checked(at).unwrap_or((text, ""));
        let got = rest.chars().next().map_or("the end".to_owned(), |it| format!("{it:?}"));
        let column = before.chars().count() + 1;
        SyntaxError { what, text: text.into(), column, expected: expected.into(), got }
    }

    /// Like [`SyntaxError::new`], with the word up to the next blank as what came.
    pub(crate) fn word(
        what: &'static str,
        text: &str,
        at: usize,
        expected: impl Into<String>,
    ) -> SyntaxError {
        let mut error = SyntaxError::new(what, text, at, expected);
        if let Some(word) = text.get(at..).and_then(|rest| rest.split_whitespace().next()) {
            error.got = format!("{:?}", word.chars().take(24).collect::<String>());
        }
        error
    }

    /// The text and under it a caret at the fault, two lines without an end of line; long texts are cut around it.
    ///
    /// ```
    /// let error = "H minor".parse::<partita_score::harmony::Key>().unwrap_err();
    /// assert_eq!(error.caret(), "H minor\n^");
    /// ```
    pub fn caret(&self) -> String {
        let start = self.column.saturating_sub(WINDOW * 2 / 3);
        let shown = self.text.chars().skip(start).take(WINDOW);
        // A blank for each, so that the caret stays below its character.
        let line: String = shown.map(|it| if it.is_control() { ' ' } else { it }).collect();
        format!("{line}\n{:>width$}", '^', width = self.column - start)
    }
}

impl fmt::Display for SyntaxError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SyntaxError { what, column, expected, got, .. } = self;
        write!(out, "{what}, column {column}: expected {expected}, got {got}")
    }
}

impl std::error::Error for SyntaxError {}

/// Reads a text from left to right.
#[derive(Clone, Copy)]
pub(crate) struct Cursor<'a> {
    pub what: &'static str,
    pub text: &'a str,
    /// Byte position; always between two characters.
    pub at: usize,
}

impl<'a> Cursor<'a> {
    pub fn new(what: &'static str, text: &'a str) -> Cursor<'a> {
        Cursor { what, text, at: 0 }
    }

    pub fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    pub fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    pub fn is_done(&self) -> bool {
        self.at >= self.text.len()
    }

    /// Steps over `word` if it comes next.
    pub fn take(&mut self, word: &str) -> bool {
        let comes = self.rest().starts_with(word);
        if comes {
            self.at += word.len();
        }
        comes
    }

    pub fn skip_blanks(&mut self) {
        self.at = self.text.len() - self.rest().trim_start().len();
    }

    pub fn expected(&self, expected: impl Into<String>) -> SyntaxError {
        SyntaxError::new(self.what, self.text, self.at, expected)
    }

    /// # Errors
    /// Unless the text ends here, blanks aside.
    pub fn end(mut self, expected: impl Into<String>) -> Result<(), SyntaxError> {
        self.skip_blanks();
        if self.is_done() { Ok(()) } else { Err(self.expected(expected)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_characters() {
        let error = SyntaxError::new("chord symbol", "♭♭x", 6, "a letter");
        assert_eq!(error.to_string(), "chord symbol, column 3: expected a letter, got 'x'");
        assert_eq!(error.caret(), "♭♭x\n  ^");
        let error = SyntaxError::new("key", "C", 1, "more");
        assert_eq!((error.column, error.got.as_str()), (2, "the end"));
        assert_eq!(error.caret(), "C\n ^");
    }

    #[test]
    fn long_texts_are_cut_around_the_fault() {
        let text = "ab".repeat(300);
        for at in [0, 1, 47, 48, 49, 300, 599, 600] {
            let drawn = SyntaxError::new("key", &text, at, "").caret();
            let (line, caret) = drawn.split_once('\n').expect("two lines");
            assert!(line.len() <= WINDOW && caret.len() <= WINDOW);
            let pointed = line.as_bytes().get(caret.len() - 1);
            assert_eq!(pointed, text.as_bytes().get(at), "{at}");
        }
    }
}
