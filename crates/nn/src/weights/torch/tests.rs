use std::fs;

use crate::Tensors;
use crate::weights::fixture::{Content, Member, Pickle, Tied, floats, torch, torch_file, write_zip, zip};

fn refused(bytes: Vec<u8>) -> String {
    Tensors::from_bytes(bytes).err().expect("refused").to_string()
}

/// One tensor "a" over storage "0" with this many F32 in the file.
fn one(stated: i64, offset: i64, shape: &[i64], strides: &[i64], stored: usize) -> Vec<u8> {
    let mut pickle = Pickle::dict();
    pickle.tensor("a", "FloatStorage", "0", stated, offset, shape, strides);
    let values: Vec<f32> = (0..stored).map(|i| i as f32).collect();
    torch_file(&pickle.end(), &[("0", &floats(&values))])
}

#[test]
fn tied_tensors_have_one_storage_and_both_names() {
    let bytes =
        torch(&[Tied { names: &["b", "a"], values: &[1.0, 2.0] }, Tied { names: &["c"], values: &[3.0] }]);
    let tensors = Tensors::from_bytes(bytes).unwrap();
    assert_eq!(tensors.names().collect::<Vec<_>>(), ["a", "b", "c"]);
    assert_eq!(tensors.f32("a", &[2]).unwrap(), [1.0, 2.0]);
    assert_eq!(tensors.f32("b", &[2]).unwrap(), [1.0, 2.0]);
    assert_eq!(tensors.f32("c", &[1]).unwrap(), [3.0]);
}

#[test]
fn every_type_of_storage_is_read() {
    let mut pickle = Pickle::dict();
    let mut storages = Vec::new();
    for (kind, bytes) in [
        ("FloatStorage", 2.5f32.to_le_bytes().to_vec()),
        ("DoubleStorage", 2.5f64.to_le_bytes().to_vec()),
        ("HalfStorage", 0x4100u16.to_le_bytes().to_vec()),
        ("BFloat16Storage", 0x4020u16.to_le_bytes().to_vec()),
        ("LongStorage", (-3i64).to_le_bytes().to_vec()),
        ("IntStorage", (-3i32).to_le_bytes().to_vec()),
        ("ByteStorage", vec![253]),
        ("ShortStorage", (-3i16).to_le_bytes().to_vec()),
        ("CharStorage", vec![253]),
        ("BoolStorage", vec![1]),
    ] {
        pickle.tensor(kind, kind, kind, 1, 0, &[], &[]);
        storages.push((kind, bytes));
    }
    let storages: Vec<_> = storages.iter().map(|(key, bytes)| (*key, bytes.as_slice())).collect();
    let tensors = Tensors::from_bytes(torch_file(&pickle.end(), &storages)).unwrap();
    for kind in ["FloatStorage", "DoubleStorage", "HalfStorage", "BFloat16Storage"] {
        assert_eq!(tensors.f32(kind, &[]).unwrap(), [2.5], "{kind}");
    }
    for (kind, value) in [
        ("LongStorage", -3),
        ("IntStorage", -3),
        ("ShortStorage", -3),
        ("CharStorage", -3),
        ("ByteStorage", 253),
        ("BoolStorage", 1),
    ] {
        assert_eq!(tensors.integers(kind).unwrap(), [value], "{kind}");
        assert!(tensors.f32(kind, &[]).is_err(), "{kind}");
    }
}

#[test]
fn a_tensor_is_the_contiguous_part_of_its_storage_from_the_offset_on() {
    for (offset, shape, strides, expected) in [
        (0, &[2, 3][..], &[3, 1][..], &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0][..]),
        (2, &[2, 2], &[2, 1], &[2.0, 3.0, 4.0, 5.0]),
        (5, &[1, 1], &[77, 99], &[5.0]),
        (3, &[1, 3, 1], &[3, 1, 3], &[3.0, 4.0, 5.0]),
        (5, &[], &[], &[5.0]),
        (6, &[0, 5], &[1, 1], &[]),
    ] {
        let tensors = Tensors::from_bytes(one(6, offset, shape, strides, 6)).unwrap();
        let shape: Vec<usize> = shape.iter().map(|&side| side as usize).collect();
        assert_eq!(tensors.f32("a", &shape).unwrap(), expected, "{shape:?} at {offset}");
    }
    for (offset, shape, strides) in [
        (0, &[2, 3][..], &[1, 2][..]),
        (0, &[2, 3], &[0, 1]),
        (0, &[2], &[2]),
        (0, &[3, 2], &[3, 1]),
        (1, &[2, 3], &[3, 1]),
        (6, &[1], &[1]),
        (7, &[0], &[1]),
        (i64::MAX, &[1], &[1]),
        (0, &[i64::MAX], &[1]),
        (0, &[i64::MAX, 4], &[4, 1]),
        (0, &[4, i64::MAX], &[i64::MAX, 1]),
        (-1, &[1], &[1]),
        (0, &[-1], &[1]),
        (0, &[2, 3], &[1]),
        (0, &[1; 17], &[1; 17]),
    ] {
        let message = refused(one(6, offset, shape, strides, 6));
        assert!(message.contains("\"a\"") || message.contains("data.pkl"), "{message}");
    }
    assert!(refused(one(6, 0, &[2, 3], &[1, 2], 6)).contains("contiguous"));
}

#[test]
fn a_storage_has_the_length_the_pickle_says() {
    for (stated, stored) in [(6, 5), (6, 7), (i64::MAX, 6), (-1, 6), (6, 0)] {
        let message = refused(one(stated, 0, &[1], &[1], stored));
        assert!(message.contains("storage"), "{message}");
    }
    let mut pickle = Pickle::dict();
    pickle.tensor("a", "FloatStorage", "../data.pkl", 1, 0, &[1], &[1]);
    let message = refused(torch_file(&pickle.end(), &[("0", &[0; 4])]));
    assert!(message.contains("\"a\"") && message.contains("is missing"), "{message}");
}

#[test]
fn cut_anywhere_it_is_refused() {
    let whole = torch(&[Tied { names: &["a", "b"], values: &[1.0, 2.0] }]);
    assert!(Tensors::from_bytes(whole.clone()).is_ok());
    for length in 0..whole.len() {
        refused(whole[..length].to_vec());
        refused(whole[whole.len() - length..].to_vec());
    }
    refused([&whole[..], b"\0"].concat());
}

#[test]
fn only_little_endian_files_with_one_pickle_are_read() {
    let mut pickle = Pickle::dict();
    pickle.tensor("a", "FloatStorage", "0", 1, 0, &[1], &[1]);
    let pickle = pickle.end();
    let file = |others: &[(&str, &[u8])]| {
        let data = floats(&[1.0]);
        let mut members = vec![
            Member::new("model/data.pkl", Content::Bytes(&pickle)),
            Member::new("model/data/0", Content::Bytes(&data)),
        ];
        members.extend(others.iter().map(|(name, bytes)| Member::new(name, Content::Bytes(bytes))));
        zip(&members, false)
    };
    assert!(Tensors::from_bytes(file(&[])).is_ok(), "older files do not say");
    assert!(Tensors::from_bytes(file(&[("model/byteorder", b"little"), ("model/version", b"3\n")])).is_ok());
    assert!(refused(file(&[("model/byteorder", b"big")])).contains("byteorder"));
    assert!(refused(file(&[("model/byteorder", b"")])).contains("byteorder"));
    assert!(refused(file(&[("other/data.pkl", &pickle)])).contains("data.pkl"));
    assert!(
        refused(zip(&[Member::new("model/pickle", Content::Bytes(&pickle))], false)).contains("data.pkl")
    );
    assert!(refused(torch_file(b"\x80\x02N.", &[])).contains("dict"));
}

/// As large as the published files are: offsets beyond 32 bits, in a file that is almost all holes.
#[test]
fn files_beyond_four_gigabytes_are_read_by_their_64_bit_numbers() {
    const LARGE: u64 = 5 << 30;
    let count = (LARGE / 4) as i64;
    let mut pickle = Pickle::dict();
    pickle.tensor("large", "FloatStorage", "0", count, 0, &[count / 1024, 1024], &[1024, 1]);
    pickle.tensor("end", "FloatStorage", "0", count, count - 2, &[2], &[1]);
    pickle.tensor("after", "FloatStorage", "1", 2, 0, &[2], &[1]);
    let (pickle, after) = (pickle.end(), floats(&[7.0, 8.0]));
    let members = [
        Member::new("archive/data/0", Content::Zeros(LARGE)),
        Member::new("archive/data/1", Content::Bytes(&after)),
        Member::new("archive/data.pkl", Content::Bytes(&pickle)),
    ];
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pytorch_model.bin");
    write_zip(&mut fs::File::create(&path).unwrap(), &members, false);
    let tensors = Tensors::open(folder.path()).unwrap();
    let rows = count as usize / 1024;
    assert_eq!(tensors.rows("large", &[rows, 1024], rows - 3..rows).unwrap(), [0.0; 3072]);
    assert_eq!(tensors.f32("end", &[2]).unwrap(), [0.0, 0.0]);
    assert_eq!(tensors.f32("after", &[2]).unwrap(), [7.0, 8.0]);
}

#[test]
fn oversized_pickles_are_refused_unread() {
    let members = [Member::new("model/data.pkl", Content::Zeros(super::MAX_PICKLE + 1))];
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pytorch_model.bin");
    write_zip(&mut fs::File::create(&path).unwrap(), &members, false);
    let message = Tensors::open(folder.path()).err().unwrap().to_string();
    assert!(message.contains("at most") && message.contains("pytorch_model.bin"), "{message}");
}

mod container {
    use super::*;

    fn member<'a>(name: &str) -> Member<'a> {
        Member::new(name, Content::Bytes(b"PK\x03\x04 data"))
    }

    fn members(bytes: &[u8]) -> Result<Vec<String>, String> {
        let source = crate::weights::source::Source::memory(bytes.to_vec());
        super::super::zip::members(&source).map(|members| {
            let data = members.values().map(|m| &bytes[m.at as usize..(m.at + m.length) as usize]);
            data.for_each(|data| assert_eq!(data, b"PK\x03\x04 data"));
            members.into_keys().collect()
        })
    }

    fn replaced(bytes: &[u8], from: &[u8], to: &[u8], which: usize) -> Vec<u8> {
        assert_eq!(from.len(), to.len());
        let at =
            (0..bytes.len()).filter(|&at| bytes[at..].starts_with(from)).nth(which).expect("it is there");
        let mut bytes = bytes.to_vec();
        bytes[at..at + from.len()].copy_from_slice(to);
        bytes
    }

    #[test]
    fn narrow_and_wide_numbers_say_the_same() {
        let list = [member("a"), member("b/c"), member("")];
        for wide in [false, true] {
            assert_eq!(members(&zip(&list, wide)).unwrap(), ["", "a", "b/c"]);
        }
        assert_eq!(members(&zip(&[], false)).unwrap(), [""; 0]);
    }

    #[test]
    fn compressed_encrypted_and_repeated_members_are_refused() {
        let with = |change: fn(&mut Member)| {
            let mut list = [member("a"), member("b")];
            change(&mut list[1]);
            members(&zip(&list, false)).unwrap_err()
        };
        assert!(with(|b| b.method = 8).contains("uncompressed"));
        assert!(with(|b| b.flags |= 1).contains("encrypted"));
        assert!(with(|b| b.name = "a".into()).contains("twice"));
        let both = zip(&[member("a"), member("b")], false);
        // Sizes of 5 unpacked, 9 packed; 9 is the length of the data.
        let unpacked = replaced(&both, &[9, 0, 0, 0, 9, 0, 0, 0], &[9, 0, 0, 0, 5, 0, 0, 0], 0);
        assert!(members(&unpacked).unwrap_err().contains("uncompressed"));
    }

    #[test]
    fn headers_that_contradict_each_other_are_refused() {
        for wide in [false, true] {
            let good = zip(&[member("aa"), member("bb")], wide);
            assert!(members(&replaced(&good, b"aa", b"cc", 0)).unwrap_err().contains("another name"));
            assert!(members(&replaced(&good, b"aa", b"bb", 1)).is_err(), "two names for one place");
            assert!(members(&replaced(&good, b"PK\x03\x04", b"PK\x03\x05", 2)).is_err());
            assert!(members(&replaced(&good, b"PK\x01\x02", b"PK\x01\x03", 0)).is_err());
            assert!(members(&[b"junk".as_slice(), &good].concat()).is_err(), "numbers count from elsewhere");
            assert!(members(&[&good[..], &good].concat()).is_err(), "which of two directories?");
            let mut comment = good.clone();
            let end = comment.len();
            comment[end - 2] = 4;
            comment.extend(b"PK\x05\x06");
            assert!(members(&comment).is_err());
        }
        let two = zip(&[member("a"), member("b")], false);
        let end = two.len() - 22;
        let mut fewer = two.clone();
        fewer[end + 8] = 1;
        fewer[end + 10] = 1;
        assert!(members(&fewer).unwrap_err().contains("must have 1 members"));
    }

    #[test]
    fn members_that_overlap_are_refused() {
        // The second member's local header lies in the data of the first.
        let hidden = zip(&[member("b")], false);
        let header = &hidden[..hidden.len() - 22 - 46 - 1];
        let outer = [Member::new("a", Content::Bytes(header)), member("c")];
        let bytes = zip(&outer, false);
        let at = 30 + 1 + 7;
        let list = replaced(&bytes, b"PK\x01\x02", b"PK\x01\x02", 1);
        let start = (0..list.len()).filter(|&at| list[at..].starts_with(b"PK\x01\x02")).nth(1).unwrap();
        let mut list = list;
        list[start + 42..start + 46].copy_from_slice(&(at as u32).to_le_bytes());
        list[start + 46] = b'b';
        let source = crate::weights::source::Source::memory(list);
        let message = super::super::zip::members(&source).unwrap_err();
        assert!(message.contains("overlap"), "{message}");
    }

    #[test]
    fn members_end_before_the_directory() {
        let good = zip(&[member("a"), member("b")], false);
        let sizes = |length: u8| [length, 0, 0, 0, length, 0, 0, 0];
        for length in [10, 100, 250] {
            let longer = replaced(&good, &sizes(9), &sizes(length), 1);
            assert!(members(&longer).unwrap_err().contains("before the directory"));
        }
    }

    #[test]
    fn huge_numbers_anywhere_are_errors() {
        for wide in [false, true] {
            let good = zip(&[member("a"), member("b")], wide);
            for at in 0..good.len() {
                for length in [1, 2, 4, 8] {
                    for value in [0xff, 0x7f] {
                        let mut bytes = good.clone();
                        let end = (at + length).min(bytes.len());
                        bytes[at..end].fill(value);
                        let source = crate::weights::source::Source::memory(bytes);
                        let _ = super::super::zip::members(&source);
                    }
                }
            }
        }
    }
}
