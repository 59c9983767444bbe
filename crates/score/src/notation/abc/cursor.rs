//! A line of music, sign by sign.

use super::super::repeats::MAX_TIMES;
use super::music::Written;
use crate::harmony::Letter;

/// A line of music, read from left to right.
pub(super) struct Cursor<'a> {
    pub text: &'a str,
    pub at: usize,
    /// Where the last closing bracket stands.
    pub closes: usize,
}

impl<'a> Cursor<'a> {
    pub fn new(text: &'a str) -> Cursor<'a> {
        Cursor { text, at: 0, closes: text.rfind(']').unwrap_or(0) }
    }

    pub fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    pub fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    pub fn skip(&mut self) {
        self.at += self.peek().map_or(0, char::len_utf8);
    }

    pub fn take(&mut self, letter: char) -> bool {
        let comes = self.rest().starts_with(letter);
        if comes {
            self.skip();
        }
        comes
    }

    /// What stands between the sign here and `end`, stepping over both; all of the line if `end` is missing.
    pub fn until(&mut self, end: char) -> &'a str {
        self.skip();
        let rest = self.rest();
        let length = rest.find(end).unwrap_or(rest.len());
        self.at = (self.at + length + end.len_utf8()).min(self.text.len());
        &rest[..length]
    }

    /// `!trill!`; an exclamation mark that begins no name is an old sign for the end of a line and stands for nothing.
    pub fn decoration(&mut self) {
        let name = self.rest()[1..].split_once('!').map(|it| it.0);
        if name.is_some_and(|name| !name.contains(['|', '[', ']', '{', '}', '"', ':'])) {
            _ = self.until('!');
        } else {
            self.skip();
        }
    }

    /// Digits; more than nine are cut.
    pub fn number(&mut self) -> Option<u32> {
        let digits = self.rest().bytes().take_while(u8::is_ascii_digit).count();
        let number = self.rest()[..digits.min(9)].parse().ok();
        self.at += digits;
        number
    }

    /// `1`, `1,3`, `1-3` of an ending.
    pub fn passes(&mut self) -> Option<Vec<u32>> {
        let mut passes = Vec::new();
        while let Some(first) = self.number() {
            let last = if self.take('-') { self.number().unwrap_or(first) } else { first };
            passes.extend((first..=last.min(first.saturating_add(MAX_TIMES))).take(MAX_TIMES as usize));
            if !self.take(',') || passes.len() > MAX_TIMES as usize {
                break;
            }
        }
        (!passes.is_empty()).then_some(passes)
    }

    /// A note without its length: `^C,`; does not move if none comes.
    pub fn note(&mut self) -> Option<Written> {
        let start = self.at;
        let accidental =
            [("^^", 2), ("^", 1), ("__", -2), ("_", -1), ("=", 0)].into_iter().find(|(sign, _)| {
                let comes = self.rest().starts_with(sign);
                if comes {
                    self.at += sign.len();
                }
                comes
            });
        let letter = self.peek().filter(|letter| matches!(letter, 'A'..='G' | 'a'..='g'));
        let Some((named, letter)) = letter.and_then(|it| Some((Letter::from_char(it)?, it))) else {
            self.at = start;
            return None;
        };
        self.skip();
        let mut octave = i32::from(letter.is_ascii_lowercase());
        loop {
            if self.take('\'') {
                octave = (octave + 1).min(12);
            } else if self.take(',') {
                octave = (octave - 1).max(-12);
            } else {
                break;
            }
        }
        Some(Written { letter: named, octave, accidental: accidental.map(|it| it.1), tied: false })
    }
}
