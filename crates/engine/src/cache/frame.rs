//! A result as bytes: the length of a JSON head (8 bytes, little endian), the head, then the files one after another.

use serde::{Deserialize, Serialize};

use crate::Outcome;
use crate::family::{Made, MadeFile};

#[derive(Serialize, Deserialize)]
struct Head<O> {
    outcome: O,
    files: Vec<FileHead>,
}

#[derive(Serialize, Deserialize)]
struct FileHead {
    take: Option<usize>,
    item: Option<usize>,
    name: String,
    media_type: String,
    bytes: usize,
}

/// `None` for numbers that JSON cannot hold.
pub(super) fn write(made: &Made) -> Option<Vec<u8>> {
    let files = made.files.iter().map(|file| FileHead {
        take: file.take,
        item: file.item,
        name: file.name.clone(),
        media_type: file.media_type.clone(),
        bytes: file.bytes.len(),
    });
    let head = serde_json::to_vec(&Head { outcome: &made.outcome, files: files.collect() }).ok()?;
    let mut frame = (head.len() as u64).to_le_bytes().to_vec();
    frame.extend(head);
    for file in &made.files {
        frame.extend(&file.bytes);
    }
    Some(frame)
}

/// `None` for anything but a whole frame.
pub(super) fn read(frame: &[u8]) -> Option<Made> {
    let (length, rest) = frame.split_first_chunk::<8>()?;
    let (head, mut bodies) = rest.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
    let head: Head<Outcome> = serde_json::from_slice(head).ok()?;
    let mut files = vec![];
    for FileHead { take, item, name, media_type, bytes } in head.files {
        let (body, rest) = bodies.split_at_checked(bytes)?;
        files.push(MadeFile { take, item, name, media_type, bytes: body.to_vec() });
        bodies = rest;
    }
    bodies.is_empty().then_some(Made { outcome: head.outcome, files })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_reads_back_and_no_part_of_it_does() {
        let file = |bytes: &[u8]| MadeFile {
            take: Some(1),
            item: None,
            name: "a.mid".into(),
            media_type: "audio/midi".into(),
            bytes: bytes.to_vec(),
        };
        let outcome = Outcome { seed: Some(u64::MAX), tempo: Some(96.1), ..Outcome::default() };
        let made = Made { outcome, files: vec![file(b"MThd\0\xff"), file(b"")] };
        let frame = write(&made).expect("plain data");
        assert_eq!(read(&frame), Some(made));
        for end in 0..frame.len() {
            assert_eq!(read(&frame[..end]), None);
        }
        assert_eq!(read(&[frame, vec![0]].concat()), None);
    }
}
