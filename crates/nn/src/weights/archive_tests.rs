//! Archives, packed files and manifests.

use std::fs;
use std::io::{Seek, SeekFrom, Write};

use super::Tensors;
use super::fixture::{floats, gzip, safetensors, seal, tar, tar_member};
use super::tensorflow::fixture::{PLAIN, Variable, v1, v2};

fn value(tensors: &Tensors) -> f32 {
    assert_eq!(tensors.names().collect::<Vec<_>>(), ["a"]);
    tensors.f32("a", &[1]).unwrap()[0]
}

fn read(bytes: Vec<u8>) -> f32 {
    value(&Tensors::from_bytes(bytes).unwrap())
}

fn refused(bytes: Vec<u8>) -> String {
    Tensors::from_bytes(bytes).err().expect("refused").to_string()
}

/// The members of a checkpoint with one tensor, as an archive without its end.
fn checkpoint(prefix: &str, value: f32) -> [Vec<u8>; 2] {
    let (index, data) = v2(&[("a", &[value])], PLAIN);
    let (index_name, data_name) = (format!("{prefix}.index"), format!("{prefix}.data-00000-of-00001"));
    [tar_member(&index_name, b'0', &index), tar_member(&data_name, b'0', &data)]
}

fn archive(members: &[&[u8]]) -> Vec<u8> {
    [members.concat(), vec![0; 1024]].concat()
}

#[test]
fn the_first_checkpoint_of_an_archive_is_read_whatever_lies_around_it() {
    let [index, data] = checkpoint("home/x/model.ckpt", 1.0);
    let [other_index, other_data] = checkpoint("z.ckpt", 2.0);
    let left = [
        tar_member("home/", b'5', &[]),
        tar_member("home/x/._model.ckpt.index", b'0', b"left by macOS"),
        tar_member("__MACOSX/x.index", b'0', b"left by macOS"),
        tar_member("home/x/model.ckpt.meta", b'0', b"a graph"),
        tar_member("folder.index/", 0, &[]),
        tar_member("link.index", b'2', &[]),
        tar_member("pax_global_header", b'g', b"19 comment=nothing\n"),
    ]
    .concat();
    for members in [
        [&index[..], &data, &left, &other_index, &other_data],
        [&data, &left, &index, &other_index, &other_data],
        [&left, &other_data, &index, &other_index, &data],
    ] {
        assert_eq!(read(archive(&members)), 1.0);
        assert_eq!(read(gzip(&archive(&members))), 1.0);
    }
    assert_eq!(read(archive(&[&other_index, &index, &data, &other_data])), 2.0);
    // Of two members with one name the later is what unpacking would leave.
    let [newer_index, newer_data] = checkpoint("z.ckpt", 3.0);
    assert_eq!(read(archive(&[&other_index, &other_data, &newer_index, &newer_data])), 3.0);
}

#[test]
fn names_of_members_are_read_in_every_form_and_are_no_paths() {
    let long = format!("{}/model.ckpt", "folder/".repeat(30));
    let [index, data] = checkpoint("short", 1.0);
    let gnu = |end: &str| tar_member("././@LongLink", b'L', format!("{long}{end}\0").as_bytes());
    let pax = |end: &str| {
        let record = format!(" path={long}{end}\n");
        let length = record.len() + 3;
        tar_member("PaxHeaders/x", b'x', format!("{length}{record}").as_bytes())
    };
    let (first, second) = (".index", ".data-00000-of-00001");
    assert_eq!(read(archive(&[&gnu(first), &index, &gnu(second), &data])), 1.0);
    assert_eq!(read(archive(&[&pax(first), &index, &pax(second), &data])), 1.0);

    let with_prefix = |mut member: Vec<u8>, prefix: &str| {
        member[257..265].copy_from_slice(b"ustar\x0000");
        member[345..345 + prefix.len()].copy_from_slice(prefix.as_bytes());
        seal(&mut member);
        member
    };
    let (index, data) = (with_prefix(index, "x/y"), with_prefix(data, "x/y"));
    assert_eq!(read(archive(&[&index, &data])), 1.0);
    // Another folder is another checkpoint.
    let [_, elsewhere] = checkpoint("short", 1.0);
    assert!(refused(archive(&[&index, &elsewhere])).contains("no such member"));

    for prefix in ["./m", "../../etc/m", "/etc/m", "..", "a//m", "C:\\m"] {
        let [index, data] = checkpoint(prefix, 1.0);
        let got = Tensors::from_bytes(archive(&[&index, &data]));
        // A name that is no plain name is at most one that nothing is found beside.
        match got {
            Ok(tensors) => assert_eq!(value(&tensors), 1.0),
            Err(error) => assert!(error.to_string().contains("data-00000-of-00001"), "{error}"),
        }
    }
    let [index, data] = checkpoint("m", 1.0);
    let mut link = tar_member("n.data-00000-of-00001", b'1', &[]);
    let target = b"./m.data-00000-of-00001";
    link[157..157 + target.len()].copy_from_slice(target);
    seal(&mut link);
    let mut renamed = index;
    renamed[0] = b'n';
    seal(&mut renamed);
    assert_eq!(read(archive(&[&data, &renamed, &link])), 1.0);
}

#[test]
fn every_beginning_of_an_archive_is_an_error() {
    let members = checkpoint("model.ckpt", 1.0).concat();
    let whole = archive(&[&members]);
    for length in 0..members.len() + 512 {
        let message = refused(whole[..length].to_vec());
        // Shorter ones do not look like an archive yet.
        assert!(length < 265 || message.contains("cut short"), "{length}: {message}");
    }
    assert_eq!(read(whole[..members.len() + 512].to_vec()), 1.0);
    for at in 0..512 {
        let mut damaged = whole.clone();
        damaged[at] ^= 1;
        match Tensors::from_bytes(damaged) {
            Ok(tensors) => assert_eq!(value(&tensors), 1.0, "{at}"),
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
}

#[test]
fn headers_that_cannot_be_are_refused() {
    let [index, data] = checkpoint("m", 1.0);
    let with_size = |field: &[u8]| {
        let mut member = index.clone();
        member[124..124 + field.len()].copy_from_slice(field);
        seal(&mut member);
        refused(archive(&[&member, &data]))
    };
    assert!(with_size(b"77777777777\0").contains("cut short"));
    assert!(
        with_size(&[0x80, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]).contains("cut short")
    );
    assert!(with_size(&[0xff; 12]).contains("no length"));
    assert!(with_size(b"89xxxxxxxxx\0").contains("no length"));
    let sparse = tar_member("m.index", b'S', b"x");
    assert!(refused(archive(&[&sparse])).contains("holes"));
    for record in
        [&b"9 a=b"[..], b"x", b"99 path=a\n", b"0 path=a\n", b"9 path a\n", b"18446744073709551615 a=b\n"]
    {
        let message = refused(archive(&[&tar_member("x", b'x', record), &index]));
        assert!(message.contains("extended header"), "{message}");
    }
    let long = tar_member("x", b'L', &vec![b'a'; (1 << 16) + 1]);
    assert!(refused(archive(&[&long])).contains("at most 65536"));
    assert!(refused(archive(&[&tar_member("readme", b'0', b"x")])).contains("\"readme\""));
    assert!(refused(archive(&[&tar_member("folder/", b'5', b"")])).contains("got no file"));
}

#[test]
fn an_archive_may_hold_any_one_file_of_weights_and_no_archive() {
    let old = v1(&[Variable::whole("a", 1, &[1], [&[0x2a, 4][..], &floats(&[5.0])].concat())], PLAIN);
    assert_eq!(read(tar(&[("readme", b"x"), ("x/model.ckpt", &old)])), 5.0);
    assert_eq!(read(tar(&[("x/model.safetensors", &safetensors(&[("a", &[6.0])]))])), 6.0);
    assert_eq!(read(gzip(&old)), 5.0);
    let inner = tar(&[("x.mag", &tar(&[("model.ckpt", &old)]))]);
    assert!(refused(inner).contains("archive inside of one"));
    assert!(refused(tar(&[("x.mag", &gzip(&old))])).contains("packed file inside"));
    assert!(refused(gzip(&gzip(&old))).contains("packed once"));
}

#[test]
fn a_packed_archive_is_unpacked_once_and_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let packed = gzip(&archive(&[&checkpoint("model.ckpt", 7.0).concat()]));
    let path = folder.path().join("model.tar.gz");
    fs::write(&path, &packed).unwrap();
    for path in [&path, folder.path()] {
        let tensors = Tensors::open(path).unwrap();
        assert_eq!(value(&tensors), 7.0);
        assert!(tensors.fingerprint().expect("of a file").contains("model.tar.gz"));
        assert_eq!(
            fs::read_dir(folder.path()).unwrap().count(),
            1,
            "the file it is unpacked into has no name"
        );
    }
    for length in 2..packed.len() {
        let message = refused(packed[..length].to_vec());
        assert!(message.contains("gzip"), "{length}: {message}");
        fs::write(&path, &packed[..length]).unwrap();
        let message = Tensors::open(&path).err().expect("cut short").to_string();
        assert!(message.contains("model.tar.gz: gzip"), "{length}: {message}");
    }
}

/// Nothing else could hold it: before the checkpoint lies a member of a terabyte, which is a hole.
#[test]
fn an_archive_larger_than_memory_is_read_where_it_lies() {
    const HOLE: u64 = 1 << 40;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.tar");
    let mut large = tar_member("video.bin", b'0', &[]);
    large[124..136].copy_from_slice(&[&[0x80, 0, 0, 0][..], &HOLE.to_be_bytes()].concat());
    seal(&mut large);
    fs::write(&path, &large).unwrap();
    let mut file = fs::File::options().write(true).open(&path).unwrap();
    if file.set_len(512 + HOLE).is_err() {
        eprintln!("skipped: this file system has no files of a terabyte");
        return;
    }
    file.seek(SeekFrom::End(0)).unwrap();
    file.write_all(&archive(&[&checkpoint("model.ckpt", 8.0).concat()])).unwrap();
    assert_eq!(value(&Tensors::open(&path).unwrap()), 8.0);
}

#[test]
fn a_file_that_unpacks_without_end_is_refused() {
    let bomb = gzip(&vec![0; 80 << 20]);
    assert!(bomb.len() < 1 << 20);
    assert!(refused(bomb.clone()).contains("must unpack to at most"));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bomb.tgz");
    fs::write(&path, bomb).unwrap();
    let message = Tensors::open(&path).err().expect("too much").to_string();
    assert!(message.contains("must unpack to at most 67108864 bytes"), "{message}");
}

/// A group of three files of 5, 0 and the other bytes, under this list of weights.
fn manifest(weights: &str, data: &[u8]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let text = format!(r#"[{{"paths": ["one", "none", "two"], "weights": [{weights}]}}]"#);
    fs::write(folder.path().join("weights_manifest.json"), text).unwrap();
    let (one, two) = data.split_at(data.len().min(5));
    for (name, bytes) in [("one", one), ("none", &[]), ("two", two)] {
        fs::write(folder.path().join(name), bytes).unwrap();
    }
    folder
}

const EVERY_TYPE: &str = r#"
    {"name": "f32", "shape": [2], "dtype": "float32"},
    {"name": "i32", "shape": [], "dtype": "int32"},
    {"name": "bool", "shape": [3], "dtype": "bool"},
    {"name": "text", "shape": [2], "dtype": "string"},
    {"name": "u8", "shape": [2, 1], "dtype": "float32", "quantization": {"dtype": "uint8", "scale": 0.1, "min": -1}},
    {"name": "u16", "shape": [2], "dtype": "float32", "quantization": {"dtype": "uint16", "scale": 0.5, "min": 0}},
    {"name": "f16", "shape": [1], "dtype": "float32", "quantization": {"dtype": "float16"}},
    {"name": "pairs", "shape": [1], "dtype": "complex64"},
    {"name": "steps", "shape": [1], "dtype": "int32", "quantization": {"dtype": "uint8", "scale": 1, "min": 0}},
    {"name": "none", "shape": [0, 7], "dtype": "float32"}"#;

fn every_type() -> Vec<u8> {
    [
        floats(&[1.5, -2.0]),
        (-7i32).to_le_bytes().to_vec(),
        vec![1, 0, 1],
        vec![2, 0, 0, 0, b'o', b'k', 0, 0, 0, 0],
        vec![0, 255],
        vec![1, 0, 0, 1],
        vec![0, 0x3c],
        vec![0; 8],
        vec![3],
    ]
    .concat()
}

#[test]
fn weights_of_a_manifest_follow_on_one_another_across_its_files() {
    let folder = manifest(EVERY_TYPE, &every_type());
    fs::write(folder.path().join("config.json"), "{\"type\": \"MusicVAE\"}").unwrap();
    let path = folder.path().join("weights_manifest.json");
    let files = ["weights_manifest.json", "one", "none", "two", "config.json"];
    let contents = files.map(|name| fs::read(folder.path().join(name)).unwrap());
    let members: Vec<_> =
        files.iter().zip(&contents).map(|(name, bytes)| (format!("x/{name}"), bytes)).collect();
    let members: Vec<_> = members.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect();
    for tensors in [Tensors::open(folder.path()), Tensors::read(&path), Tensors::from_bytes(tar(&members))] {
        let tensors = tensors.unwrap();
        assert_eq!(tensors.names().count(), 10);
        assert_eq!(tensors.config(), Some("{\"type\": \"MusicVAE\"}"));
        assert_eq!(tensors.f32("f32", &[2]).unwrap(), [1.5, -2.0]);
        assert_eq!(tensors.integers("i32").unwrap(), [-7]);
        assert_eq!(tensors.integers("bool").unwrap(), [1, 0, 1]);
        // 255 * 0.1 - 1 in f64, rounded once.
        assert_eq!(tensors.f32("u8", &[2, 1]).unwrap(), [-1.0, (255.0 * 0.1 - 1.0) as f32]);
        assert_eq!(tensors.rows("u8", &[2, 1], 1..2).unwrap(), [24.5]);
        assert_eq!(tensors.f32("u16", &[2]).unwrap(), [0.5, 128.0]);
        assert_eq!(tensors.f32("f16", &[1]).unwrap(), [1.0]);
        assert!(tensors.f32("none", &[0, 7]).unwrap().is_empty());
        assert!(tensors.integers("u8").unwrap_err().to_string().contains("quantised"));
        for name in ["text", "pairs", "steps"] {
            assert!(tensors.integers(name).is_err(), "{name}");
        }
    }
    let model = format!("{{\"format\": \"x\", \"weightsManifest\": {}}}", fs::read_to_string(&path).unwrap());
    fs::write(&path, model).unwrap();
    assert_eq!(Tensors::open(folder.path()).unwrap().names().count(), 10);
}

#[test]
fn manifests_that_do_not_fit_their_files_are_refused_by_name() {
    let data = every_type();
    for length in 0..data.len() {
        let folder = manifest(EVERY_TYPE, &data[..length]);
        let message = Tensors::open(folder.path()).err().expect("too short").to_string();
        assert!(message.contains("tensor \"") && message.contains("left"), "{length}: {message}");
    }
    let refused = |weights: &str| {
        let folder = manifest(weights, &data);
        let message = Tensors::open(folder.path()).err().expect(weights).to_string();
        assert!(message.contains("weights_manifest.json"), "{message}");
        message
    };
    let one = r#"{"name": "a", "shape": [1], "dtype": "float32"}"#;
    assert!(refused(&format!("{one}, {one}")).contains("\"a\": must be there once"));
    assert!(refused(&one.replace("[1]", "[18446744073709551615, 3]")).contains("\"a\""));
    assert!(refused(&one.replace("[1]", "[-1]")).contains("manifest:"));
    assert!(refused(&one.replace("float32", "float8")).contains("float8"));
    let quantised = |kind: &str| one.replace('}', &format!(r#", "quantization": {kind}}}"#));
    assert!(refused(&quantised(r#"{"dtype": "uint4"}"#)).contains("uint4"));
    assert!(refused(&quantised(r#"{"dtype": "uint8"}"#)).contains("a scale and a min"));
    assert!(refused(&one.replace("float32", "string").replace("[1]", "[70000]")).contains("65536"));

    let folder = manifest(one, &data);
    let path = folder.path().join("weights_manifest.json");
    for shard in ["../one", "/etc/passwd", "a/b", "..", "", "C:one", "one\\u0000"] {
        fs::write(&path, format!(r#"[{{"paths": ["{shard}"], "weights": [{one}]}}]"#)).unwrap();
        let message = Tensors::open(folder.path()).err().expect(shard).to_string();
        assert!(message.contains("same folder"), "{shard}: {message}");
    }
    fs::write(&path, format!(r#"[{{"paths": ["three"], "weights": [{one}]}}]"#)).unwrap();
    let message = Tensors::open(folder.path()).err().expect("absent").to_string();
    assert!(message.contains("cannot read its weights") && message.contains("three"), "{message}");
    for text in ["[", "{}", "[1]", "[{}]", "[[[[[["] {
        fs::write(&path, text).unwrap();
        assert!(Tensors::open(folder.path()).err().expect(text).to_string().contains("manifest: "), "{text}");
    }
    let nested = "[".repeat(100_000);
    fs::write(&path, nested).unwrap();
    assert!(Tensors::open(folder.path()).is_err());
    let file = fs::File::create(&path).unwrap();
    file.set_len(1 << 23).unwrap();
    drop(file);
    assert!(Tensors::open(folder.path()).is_err());
}
