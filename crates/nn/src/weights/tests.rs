use std::fs;

use super::fixture::{safetensors_file as file, torch_file, zip};
use super::*;

fn refused(bytes: Vec<u8>) -> String {
    Tensors::from_bytes(bytes).err().expect("damaged").to_string()
}

#[test]
fn floats_of_every_width_are_read() {
    let header = r#"{"__metadata__":{"format":"pt"},
        "a":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]},
        "b":{"dtype":"F16","shape":[4],"data_offsets":[8,16]},
        "c":{"dtype":"BF16","shape":[1],"data_offsets":[16,18]},
        "d":{"dtype":"I32","shape":[],"data_offsets":[18,22]},
        "f":{"dtype":"F64","shape":[2],"data_offsets":[22,38]}}"#;
    let mut data = [1.5f32.to_le_bytes(), (-2f32).to_le_bytes()].concat();
    for half in [0x3c00u16, 0xc000, 0x0001, 0x7c00] {
        data.extend(half.to_le_bytes());
    }
    data.extend(0x4049u16.to_le_bytes());
    data.extend((-7i32).to_le_bytes());
    data.extend([0.1f64.to_le_bytes(), 1e300f64.to_le_bytes()].concat());
    let tensors = Tensors::from_bytes(file(header, &data)).unwrap();
    assert_eq!(tensors.names().collect::<Vec<_>>(), ["a", "b", "c", "d", "f"]);
    assert_eq!(tensors.f32("a", &[1, 2]).unwrap(), [1.5, -2.0]);
    assert_eq!(tensors.f32("b", &[4]).unwrap(), [1.0, -2.0, 2f32.powi(-24), f32::INFINITY]);
    assert_eq!(tensors.f32("c", &[1]).unwrap(), [3.140_625]);
    assert_eq!(tensors.f32("f", &[2]).unwrap(), [0.1, f32::INFINITY]);
    assert_eq!(tensors.integers("d").unwrap(), [-7]);
    let message = |result: Result<Vec<f32>>| result.unwrap_err().to_string();
    assert_eq!(message(tensors.f32("e", &[1])), "tensor \"e\" is missing");
    assert_eq!(message(tensors.f32("a", &[2])), "tensor \"a\" must have shape [2], got [1, 2]");
    assert_eq!(message(tensors.f32("d", &[])), "tensor \"d\" must be one of F32, F16, BF16, F64, got I32");
}

#[test]
fn rows_are_the_part_of_the_whole_that_the_first_axis_cuts_out() {
    let header = r#"{
        "a":{"dtype":"F32","shape":[3,2],"data_offsets":[0,24]},
        "b":{"dtype":"F16","shape":[4],"data_offsets":[24,32]},
        "none":{"dtype":"F32","shape":[0,2],"data_offsets":[32,32]},
        "one":{"dtype":"F32","shape":[],"data_offsets":[32,36]}}"#;
    let tensors = Tensors::from_bytes(file(header, &(0..36).collect::<Vec<u8>>())).unwrap();
    for (name, shape, row) in [("a", &[3, 2][..], 2), ("b", &[4], 1), ("none", &[0, 2], 2)] {
        let whole = tensors.f32(name, shape).unwrap();
        for start in 0..=shape[0] {
            for end in start..=shape[0] {
                let rows = tensors.rows(name, shape, start..end).unwrap();
                assert_eq!(rows, whole[start * row..end * row], "{name} {start}..{end}");
            }
        }
        let after = tensors.rows(name, shape, 0..shape[0] + 1).unwrap_err();
        assert!(matches!(after, Error::Rows { .. }), "{after}");
    }
    #[expect(clippy::reversed_empty_ranges)]
    let backwards = tensors.rows("a", &[3, 2], 2..1).unwrap_err().to_string();
    assert_eq!(backwards, "tensor \"a\" must be asked for rows inside 0..3, got 2..1");
    assert!(tensors.rows("one", &[], 0..1).is_err());
    assert!(tensors.rows("a", &[2, 3], 0..1).is_err());
}

#[test]
fn damaged_files_are_refused() {
    let tensor = |rest: &str| format!(r#"{{"a":{{"dtype":"F32",{rest}}}}}"#);
    let good = tensor(r#""shape":[2],"data_offsets":[0,8]"#);
    let whole = file(&good, &[0; 8]);
    assert!(Tensors::from_bytes(whole.clone()).is_ok());
    for length in 0..whole.len() {
        refused(whole[..length].to_vec());
    }
    assert!(refused(vec![1, 2, 3]).contains("8 bytes"));
    assert!(refused(u64::MAX.to_le_bytes().to_vec()).contains("header"));
    assert!(refused([&9_999_999u64.to_le_bytes()[..], b"{}"].concat()).contains("at most 2 bytes"));
    let long = format!("{{{}}}", " ".repeat(1 << 24));
    assert!(refused(file(&long, &[])).contains("at most 16777216 bytes"));
    assert!(refused(file("not json", &[])).contains("header"));
    assert!(refused(file(&good, &[0; 7])).contains("\"a\""));
    assert!(refused(file(&good, &[0; 9])).contains("must end where the file does"));
    for rest in [
        r#""shape":[3],"data_offsets":[0,8]"#,
        r#""shape":[2],"data_offsets":[8,0]"#,
        r#""shape":[2],"data_offsets":[4,12]"#,
        r#""shape":[2],"data_offsets":[0,18446744073709551615]"#,
        r#""shape":[2],"data_offsets":[18446744073709551608,18446744073709551615]"#,
        r#""shape":[18446744073709551615,2],"data_offsets":[0,8]"#,
        r#""shape":[4611686018427387904],"data_offsets":[0,0]"#,
        r#""shape":[-1],"data_offsets":[0,8]"#,
        r#""shape":[2.5],"data_offsets":[0,8]"#,
        r#""shape":[2],"data_offsets":[0]"#,
        r#""shape":[2]"#,
    ] {
        assert!(refused(file(&tensor(rest), &[0; 8])).contains("\"a\""), "{rest}");
    }
    assert!(refused(file(&good.replace("F32", "F8"), &[0; 8])).contains("\"F8\""));
    refused(file(&"[".repeat(100_000), &[]));
    refused(file(&format!("{{\"__metadata__\":{}", "[".repeat(100_000)), &[]));
}

#[test]
fn tensors_must_cover_the_data_without_gaps_and_overlaps() {
    let two = |a: [u64; 2], b: [u64; 2]| {
        let tensor = |name: &str, at: [u64; 2]| {
            format!(r#"{name:?}:{{"dtype":"U8","shape":[{}],"data_offsets":{at:?}}}"#, at[1] - at[0])
        };
        file(&format!("{{{},{}}}", tensor("a", a), tensor("b", b)), &[1, 2, 3, 4])
    };
    for (a, b) in [([0, 2], [2, 4]), ([3, 4], [0, 3]), ([0, 4], [4, 4]), ([0, 4], [0, 0])] {
        assert!(Tensors::from_bytes(two(a, b)).is_ok(), "{a:?} {b:?}");
    }
    for (a, b, named) in [
        ([0, 3], [2, 4], "\"b\""),
        ([0, 1], [2, 4], "\"b\""),
        ([1, 2], [2, 4], "\"a\""),
        ([0, 4], [0, 4], "\"b\""),
    ] {
        let message = refused(two(a, b));
        assert!(message.contains(named) && message.contains("must begin at"), "{message}");
    }
    let twice = r#""a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}"#;
    assert!(refused(file(&format!("{{{twice},{twice}}}"), &[0; 4])).contains("twice"));
}

#[test]
fn what_is_no_weights_file_is_named() {
    let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 8040\n";
    assert!(refused(pointer.to_vec()).contains("Git LFS"));
    let legacy = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.";
    assert!(refused(legacy.to_vec()).contains("torch 1.6"));
    assert!(refused(zip(&[], false)).contains("data.pkl"));
    assert!(refused(b"PK\x03\x04".to_vec()).contains("zip"));
}

#[test]
fn errors_repeat_the_beginning_of_a_long_name_alone() {
    let name = "ü".repeat(1 << 20);
    let header = format!(r#"{{"{name}":{{"dtype":"F32","shape":[1],"data_offsets":[0,8]}}}}"#);
    let message = refused(file(&header, &[0; 8]));
    assert!(message.len() < 400 && message.contains("üü"), "{} bytes", message.len());
}

/// Nothing else could hold it: the file is larger than the memory of most machines, and almost all of it is a hole.
#[test]
fn a_tensor_of_a_terabyte_is_read_in_part() {
    const ROWS: u64 = 1 << 28;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let data = ROWS * 4096;
    let header = format!(
        r#"{{"large":{{"dtype":"F32","shape":[{ROWS},1024],"data_offsets":[0,{data}]}},
            "last":{{"dtype":"F32","shape":[1],"data_offsets":[{data},{}]}}}}"#,
        data + 4
    );
    let beginning = file(&header, &1f32.to_le_bytes());
    let start = beginning.len() as u64 - 4;
    fs::write(&path, beginning).unwrap();
    let whole = fs::File::options().write(true).open(&path).unwrap();
    if whole.set_len(start + data + 4).is_err() {
        eprintln!("skipped: this file system has no files of a terabyte");
        return;
    }
    let tensors = Tensors::read(&path).unwrap();
    let (shape, rows) = ([ROWS as usize, 1024], ROWS as usize);
    assert_eq!(tensors.rows("large", &shape, 0..1).unwrap()[..2], [1.0, 0.0]);
    assert_eq!(tensors.rows("large", &shape, rows - 2..rows).unwrap(), [0.0; 2048]);
    assert_eq!(tensors.f32("last", &[1]).unwrap(), [0.0]);

    whole.set_len(start + data).unwrap();
    assert!(matches!(tensors.f32("last", &[1]), Err(Error::ReadTensor { .. })), "the file was cut meanwhile");
    assert!(Tensors::read(&path).err().unwrap().to_string().contains("\"last\""));
}

#[test]
fn a_torch_file_in_memory_is_the_same_as_on_disk() {
    let mut pickle = fixture::Pickle::dict();
    pickle.tensor("a", "HalfStorage", "0", 3, 1, &[2], &[1]);
    let bytes = torch_file(&pickle.end(), &[("0", &[0, 0x3c, 0, 0x40, 0, 0x44])]);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("any name");
    fs::write(&path, &bytes).unwrap();
    for tensors in [Tensors::read(&path).unwrap(), Tensors::from_bytes(bytes).unwrap()] {
        assert_eq!(tensors.f32("a", &[2]).unwrap(), [2.0, 4.0]);
        assert_eq!(tensors.rows("a", &[2], 1..2).unwrap(), [4.0]);
    }
}

#[test]
fn a_fingerprint_is_that_of_unchanged_files_in_any_folder() {
    let tensors = |value: f32| super::fixture::safetensors(&[("a", &[1.0, value]), ("none", &[])]);
    let folder = tempfile::tempdir().unwrap();
    let (path, other) = (folder.path().join("one.safetensors"), folder.path().join("there"));
    fs::write(&path, tensors(2.0)).unwrap();
    let time = path.metadata().unwrap().modified().unwrap();
    let of = |path: &Path| Tensors::read(path).unwrap().fingerprint().expect("of a file");
    let first = of(&path);
    assert_eq!(of(&path), first);
    assert!(first.lines().next().unwrap().starts_with("\"one.safetensors\" "), "{first}");
    fs::create_dir(&other).unwrap();
    fs::rename(&path, other.join("one.safetensors")).unwrap();
    assert_eq!(of(&other.join("one.safetensors")), first);

    let changed = |bytes: Vec<u8>, time| {
        fs::write(&path, bytes).unwrap();
        fs::File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
        of(&path)
    };
    assert_eq!(changed(tensors(2.0), time), first);
    assert_ne!(changed(tensors(2.0), time + std::time::Duration::from_nanos(1000)), first);
    assert_ne!(changed(tensors(3.0), time), first);
    let longer = super::fixture::safetensors(&[("a", &[1.0, 2.0]), ("none", &[]), ("c", &[0.0])]);
    assert_ne!(changed(longer, time), first);
    assert_eq!(Tensors::from_bytes(tensors(2.0)).unwrap().fingerprint(), None);

    // The open file is asked again each time.
    let open = Tensors::read(&path).unwrap();
    let before = open.fingerprint();
    fs::File::options().write(true).open(&path).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
    assert_ne!(open.fingerprint(), before);
}
