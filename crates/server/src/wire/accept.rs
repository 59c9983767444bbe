//! `Accept` (RFC 9110, section 12.5.1) of paths that answer in one form only.

use axum::http::{HeaderMap, header};

use crate::problem::{Answer, Field, Kind, Problem};

/// # Errors
/// `NotAcceptable` unless the caller takes `media`, as in `text/event-stream`.
pub fn require(headers: &HeaderMap, media: &str) -> Answer<()> {
    choose(headers, &[media]).map(drop)
}

/// Which of `media` the caller likes best; the first of those that it likes the same.
///
/// # Errors
/// `NotAcceptable` for one that takes none of them.
pub fn choose<'a>(headers: &HeaderMap, media: &[&'a str]) -> Answer<&'a str> {
    let mut best = None;
    for media in media {
        let weight = weight(headers, media);
        if weight > best.map_or(0.0, |(_, best)| best) {
            best = Some((*media, weight));
        }
    }
    best.map(|(media, _)| media).ok_or_else(|| refused(&media.join(" or ")))
}

/// What a caller is told that takes none of the `media` there are.
pub fn refused(media: &str) -> Problem {
    let detail = format!("must allow {media}, which is all that this path answers with");
    let name = header::ACCEPT.as_str();
    let mut problem = Problem::new(Kind::NotAcceptable, format!("the header {name} {detail}"));
    problem.errors = vec![Field::new(name, detail, Some(media.to_owned()))];
    problem
}

/// How much the caller likes `media`, `[0, 1]`. The closest range that names it decides; without any range everything
/// is liked.
fn weight(headers: &HeaderMap, media: &str) -> f32 {
    let (family, _) = media.split_once('/').unwrap_or((media, ""));
    let lines = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let ranges = lines.flat_map(|line| line.split(',')).map(str::trim).filter(|range| !range.is_empty());
    let mut closest = None;
    let mut some = false;
    for range in ranges {
        some = true;
        let mut parts = range.split(';').map(|part| part.trim().to_ascii_lowercase());
        let name = parts.next().unwrap_or_default();
        let near = match name.strip_suffix("/*") {
            _ if name == media => 2,
            Some(wide) if wide == family => 1,
            Some("*") => 0,
            _ => continue,
        };
        let weight = parts.find_map(|part| part.strip_prefix("q=").map(|q| q.trim().parse::<f32>()));
        let weight = weight.map_or(1.0, |weight| weight.unwrap_or(0.0).clamp(0.0, 1.0));
        if closest.is_none_or(|(other, _)| other < near) {
            closest = Some((near, weight));
        }
    }
    closest.map_or(if some { 0.0 } else { 1.0 }, |(_, weight)| weight)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn the_closest_range_decides() {
        let of = |lines: &[&str]| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(header::ACCEPT, HeaderValue::from_str(line).expect("a header"));
            }
            require(&headers, "text/event-stream").is_ok()
        };
        for good in [
            &[][..],
            &[""],
            &["*/*"],
            &["text/event-stream"],
            &["Text/Event-Stream; q=0.1"],
            &["audio/wav, text/*;q=0.5"],
            &["audio/wav", "*/*;q=0.1"],
            &["*/*;q=0, text/event-stream"],
        ] {
            assert!(of(good), "{good:?}");
        }
        for bad in [
            &["audio/wav"][..],
            &["application/json, audio/*"],
            &["*/*;q=0"],
            &["*/*, text/event-stream;q=0"],
            &["text/event-stream;q=0.0"],
            &["text/html"],
        ] {
            assert!(!of(bad), "{bad:?}");
        }
        let chosen = |accept: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
            choose(&headers, &["text/event-stream", "audio/wav"]).map_err(|problem| problem.status().as_u16())
        };
        assert_eq!(chosen("*/*"), Ok("text/event-stream"));
        assert_eq!(chosen("audio/wav"), Ok("audio/wav"));
        assert_eq!(chosen("audio/*, text/event-stream;q=0.9"), Ok("audio/wav"));
        assert_eq!(chosen("audio/wav;q=0, audio/*"), Err(406));
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_static("audio/wav"));
        let problem = require(&headers, "text/event-stream").expect_err("refused");
        assert_eq!((problem.status().as_u16(), problem.errors[0].pointer.as_str()), (406, "accept"));
    }
}
