//! Entity tags (RFC 9110, section 8.8.3): the SHA-256 of a file, in quotes.

/// Whether `If-None-Match` names the tag, or any.
pub fn none_match(header: &str, tag: &str) -> bool {
    let header = header.trim();
    header == "*" || header.split(',').any(|one| one.trim().trim_start_matches("W/") == tag)
}

/// Whether `If-Range` names just this state of the file; a date or a weak tag never does.
pub fn if_range(header: Option<&str>, tag: &str) -> bool {
    header.is_none_or(|text| text.trim() == tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_compared_whole() {
        assert!(none_match("*", "\"a\"") && none_match("\"b\", W/\"a\"", "\"a\""));
        assert!(!none_match("a", "\"a\"") && !none_match("\"ab\"", "\"a\""));
        assert!(if_range(None, "\"a\"") && if_range(Some("\"a\""), "\"a\""));
        assert!(
            !if_range(Some("W/\"a\""), "\"a\"") && !if_range(Some("Fri, 20 Nov 2026 15:00:00 GMT"), "\"a\"")
        );
    }
}
