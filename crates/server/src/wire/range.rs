//! `Range` (RFC 9110, section 14) of files.

use std::ops::Range;

/// What a `Range` header asks of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// The whole file: no range, several, another unit, or one that makes no sense.
    Whole,
    Part(Range<u64>),
    /// Nothing of it is in the file.
    Outside,
}

/// Of a file of `bytes` bytes. Several ranges get the whole file, which the standard allows: players ask for one.
pub fn asked(header: Option<&str>, bytes: u64) -> Asked {
    let Some(set) = header.and_then(|text| text.trim().strip_prefix("bytes=")) else { return Asked::Whole };
    let Some((first, last)) = set.trim().split_once('-').filter(|_| !set.contains(',')) else {
        return Asked::Whole;
    };
    let (first, last) = (first.trim(), last.trim());
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    // More digits than fit are past the end of any file.
    let number = |text: &str| text.parse::<u64>().unwrap_or(u64::MAX);
    match (digits(first), digits(last)) {
        (true, true) if number(last) < number(first) => Asked::Whole,
        (true, _) if digits(last) || last.is_empty() => {
            let start = number(first);
            let end = if last.is_empty() { bytes } else { number(last).saturating_add(1).min(bytes) };
            if start < bytes { Asked::Part(start..end) } else { Asked::Outside }
        }
        (false, true) if first.is_empty() => {
            let length = number(last).min(bytes);
            if length == 0 { Asked::Outside } else { Asked::Part(bytes - length..bytes) }
        }
        _ => Asked::Whole,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_cut_to_the_file() {
        let cases = [
            (None, Asked::Whole),
            (Some("bytes=0-0"), Asked::Part(0..1)),
            (Some("bytes=2-"), Asked::Part(2..10)),
            (Some("bytes=-3"), Asked::Part(7..10)),
            (Some("bytes=-99"), Asked::Part(0..10)),
            (Some("bytes=5-99999999999999999999999"), Asked::Part(5..10)),
            (Some("bytes=10-"), Asked::Outside),
            (Some("bytes=99999999999999999999999-"), Asked::Outside),
            (Some("bytes=-0"), Asked::Outside),
            (Some("bytes=5-2"), Asked::Whole),
            (Some("bytes=0-1,4-5"), Asked::Whole),
            (Some("bytes=a-b"), Asked::Whole),
            (Some("bytes=1-b"), Asked::Whole),
            (Some("bytes=-"), Asked::Whole),
            (Some("lines=0-1"), Asked::Whole),
            (Some("bytes=+1-+2"), Asked::Whole),
        ];
        for (header, want) in cases {
            assert_eq!(asked(header, 10), want, "{header:?}");
        }
        assert_eq!(asked(Some("bytes=0-"), 0), Asked::Outside);
    }
}
