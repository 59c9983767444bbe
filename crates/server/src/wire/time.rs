//! Instants as RFC 3339 writes them and as HTTP dates.

pub use partita_engine::rfc3339;
use partita_queue::Millis;

/// `Fri, 20 Nov 2026 15:00:00 GMT` of milliseconds since 1970.
pub fn http_date(millis: Millis) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let text = rfc3339(millis);
    let month: usize = text[5..7].parse().expect("RFC 3339 has two digits of month");
    let weekday = DAYS[millis.div_euclid(86_400_000).rem_euclid(7) as usize];
    format!("{weekday}, {} {} {} {} GMT", &text[8..10], MONTHS[month - 1], &text[..4], &text[11..19])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (millis, text) in [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (951_782_400_000, "Tue, 29 Feb 2000 00:00:00 GMT"),
            (1_795_186_799_123, "Fri, 20 Nov 2026 14:59:59 GMT"),
            (-1, "Wed, 31 Dec 1969 23:59:59 GMT"),
        ] {
            assert_eq!(http_date(millis), text);
        }
    }
}
