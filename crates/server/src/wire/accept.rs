//! `Accept` (RFC 9110, section 12.5.1) of paths that answer in one form only.

use axum::http::{HeaderMap, header};

use crate::problem::{Answer, Field, Kind, Problem};

/// # Errors
/// `NotAcceptable` unless the caller takes `media`, as in `text/event-stream`.
pub fn require(headers: &HeaderMap, media: &str) -> Answer<()> {
    if allows(headers, media) {
        return Ok(());
    }
    let detail = format!("must allow {media}, which is all that this path answers with");
    let name = header::ACCEPT.as_str();
    let mut problem = Problem::new(Kind::NotAcceptable, format!("the header {name} {detail}"));
    problem.errors = vec![Field::new(name, detail, Some(media.to_owned()))];
    Err(problem)
}

/// The closest range that names `media` decides; without any range everything is allowed.
fn allows(headers: &HeaderMap, media: &str) -> bool {
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
        let wanted = weight.is_none_or(|weight| weight.is_ok_and(|weight| weight > 0.0));
        if closest.is_none_or(|(other, _)| other < near) {
            closest = Some((near, wanted));
        }
    }
    closest.map_or(!some, |(_, wanted)| wanted)
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
            allows(&headers, "text/event-stream")
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
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_static("audio/wav"));
        let problem = require(&headers, "text/event-stream").expect_err("refused");
        assert_eq!((problem.status().as_u16(), problem.errors[0].pointer.as_str()), (406, "accept"));
    }
}
