//! Names of jobs: unique without a register, sortable by time.

use std::fmt;
use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// `tsk_` and 26 lower-case Crockford base-32 characters: 48 bits of milliseconds, 80 random bits.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct JobId(String);

const PREFIX: &str = "tsk_";
const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

impl JobId {
    /// A name that no other job has.
    pub fn new() -> JobId {
        let millis = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_millis());
        let mut bytes = [0; 16];
        fill_random(&mut bytes);
        let value = (millis << 80) | (u128::from_be_bytes(bytes) >> 48);
        let digit = |i: u32| char::from(DIGITS[(value >> (5 * i)) as usize & 31]);
        JobId(PREFIX.chars().chain((0..26).rev().map(digit)).collect())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for JobId {
    fn default() -> JobId {
        JobId::new()
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl FromStr for JobId {
    type Err = String;

    fn from_str(text: &str) -> Result<JobId, String> {
        let digits = text.strip_prefix(PREFIX).unwrap_or_default();
        if digits.len() == 26 && digits.bytes().all(|byte| DIGITS.contains(&byte)) {
            return Ok(JobId(text.to_owned()));
        }
        let got: String = text.chars().take(40).collect();
        Err(format!("a task id must be {PREFIX} and 26 letters or digits, got {got:?}"))
    }
}

impl TryFrom<String> for JobId {
    type Error = String;

    fn try_from(text: String) -> Result<JobId, String> {
        text.parse()
    }
}

impl From<JobId> for String {
    fn from(id: JobId) -> String {
        id.0
    }
}

/// `bytes` random bytes from the system as hex.
pub fn random_hex(bytes: usize) -> String {
    let mut buffer = vec![0; bytes];
    fill_random(&mut buffer);
    buffer.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn fill_random(bytes: &mut [u8]) {
    getrandom::fill(bytes).expect("the system has random bytes");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_read_back_and_sort_by_time() {
        let first = JobId::new();
        assert_eq!(first.as_str().parse(), Ok(first.clone()));
        std::thread::sleep(std::time::Duration::from_millis(2));
        assert!(JobId::new() > first);
    }

    #[test]
    fn what_is_no_id_is_refused() {
        for text in [
            "",
            "tsk_",
            "../../etc/passwd",
            "tsk_01j00000000000000000000000x",
            "tsk_01J0000000000000000000000I",
        ] {
            assert!(text.parse::<JobId>().is_err(), "{text}");
        }
    }
}
