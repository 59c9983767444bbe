//! `Content-Disposition` (RFC 6266) with names that any browser reads.

use axum::http::HeaderValue;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What RFC 5987 lets stand as it is (`attr-char`).
const ESCAPED: AsciiSet = NON_ALPHANUMERIC
    .remove(b'!')
    .remove(b'#')
    .remove(b'$')
    .remove(b'&')
    .remove(b'+')
    .remove(b'-')
    .remove(b'.')
    .remove(b'^')
    .remove(b'_')
    .remove(b'`')
    .remove(b'|')
    .remove(b'~');

/// For a file to be saved as `name`: a plain name for old clients, the whole one for all others.
pub fn attachment(name: &str) -> HeaderValue {
    // A name is one name: no folders, no control characters.
    let clean: String =
        name.chars().filter(|c| !c.is_control() && !matches!(c, '/' | '\\')).take(200).collect();
    let clean = if clean.trim_matches(['.', ' ']).is_empty() { "file".to_owned() } else { clean };
    let plain: String =
        clean.chars().map(|c| if c.is_ascii() && !matches!(c, '"' | '%') { c } else { '_' }).collect();
    let mut text = format!("attachment; filename=\"{plain}\"");
    if plain != clean {
        text.push_str(&format!("; filename*=UTF-8''{}", utf8_percent_encode(&clean, &ESCAPED)));
    }
    HeaderValue::from_str(&text).expect("visible ASCII")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_leave_their_quotes_or_their_folder() {
        let check = |name: &str, want: &str| assert_eq!(attachment(name).to_str().expect("ascii"), want);
        check("funk-96bpm.mid", "attachment; filename=\"funk-96bpm.mid\"");
        check("../../x\r\ny.mid", "attachment; filename=\"....xy.mid\"");
        check("a\"b.mid", "attachment; filename=\"a_b.mid\"; filename*=UTF-8''a%22b.mid");
        check(
            "größe 鼓.mid",
            "attachment; filename=\"gr__e _.mid\"; filename*=UTF-8''gr%C3%B6%C3%9Fe%20%E9%BC%93.mid",
        );
        check("..", "attachment; filename=\"file\"");
    }
}
