use std::fs;
use std::path::Path;

use super::fixture::{self, Layout, PLAIN, Variable, entry, header, table, v1, v2};
use super::proto::write::{bytes, number, varint};
use super::slices::Extent;
use crate::weights::fixture::{floats, tar};
use crate::{Error, Tensors};

const MANY_BLOCKS: Layout = Layout { entries_per_block: 3, snappy: false };
const SNAPPY: Layout = Layout { entries_per_block: 3, snappy: true };

/// Index and data as an archive, so that they can be in memory.
fn open(index: &[u8], data: &[u8]) -> crate::Result<Tensors> {
    Tensors::from_bytes(tar(&[("m.index", index), ("m.data-00000-of-00001", data)]))
}

fn refused(index: &[u8], data: &[u8]) -> String {
    open(index, data).err().expect("refused").to_string()
}

#[test]
fn a_v2_checkpoint_is_read_from_blocks_of_every_kind() {
    let names: Vec<String> = (0..40).map(|i| format!("scope/layer_{i:02}/kernel")).collect();
    let values: Vec<Vec<f32>> = (0..40).map(|i| vec![i as f32; i % 5]).collect();
    let tensors: Vec<(&str, &[f32])> =
        names.iter().zip(&values).map(|(name, values)| (name.as_str(), values.as_slice())).collect();
    for layout in [PLAIN, MANY_BLOCKS, SNAPPY, Layout { snappy: true, ..PLAIN }] {
        let (index, data) = v2(&tensors, layout);
        let found = open(&index, &data).unwrap();
        assert!(found.names().eq(names.iter().map(String::as_str)));
        for (name, values) in &tensors {
            assert_eq!(found.f32(name, &[values.len()]).unwrap(), *values, "{name}");
        }
    }
}

#[test]
fn a_checkpoint_is_found_by_folder_prefix_index_and_checkpoint_file() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let save = |prefix: &str, value: f32| {
        let (index, data) = v2(&[("a", &[value])], PLAIN);
        fs::write(at(&format!("{prefix}.index")), index).unwrap();
        fs::write(at(&format!("{prefix}.data-00000-of-00001")), data).unwrap();
    };
    let value = |path: &Path| Tensors::open(path).unwrap().f32("a", &[1]).unwrap()[0];
    save("model.ckpt-1", 1.0);
    fs::write(at("._model.ckpt-1.index"), "left by macOS").unwrap();
    for path in [folder.path(), &at("model.ckpt-1"), &at("model.ckpt-1.index")] {
        assert_eq!(value(path), 1.0, "{}", path.display());
    }
    assert_eq!(Tensors::read(at("model.ckpt-1.index")).unwrap().f32("a", &[1]).unwrap(), [1.0]);

    save("model.ckpt-2", 2.0);
    let message = Tensors::open(folder.path()).err().expect("two").to_string();
    assert!(message.contains("model.ckpt-1.index") && message.contains("model.ckpt-2.index"), "{message}");
    fs::write(at("checkpoint"), "model_checkpoint_path: \"/elsewhere/x/train/model.ckpt-1\"\nall: \"x\"\n")
        .unwrap();
    assert_eq!(value(folder.path()), 1.0);
    fs::write(at("checkpoint"), "\nmodel_checkpoint_path: \"model.ckpt-2\"").unwrap();
    assert_eq!(value(folder.path()), 2.0);
    for wrong in
        ["", "model_checkpoint_path: model", "model_checkpoint_path: \"x/..\"", "model_checkpoint_path: \"\""]
    {
        fs::write(at("checkpoint"), wrong).unwrap();
        let message = Tensors::open(folder.path()).err().expect(wrong).to_string();
        assert!(message.contains("checkpoint:"), "{wrong:?}: {message}");
    }
    fs::write(at("checkpoint"), "model_checkpoint_path: \"model.ckpt-3\"").unwrap();
    assert!(matches!(Tensors::open(folder.path()), Err(Error::Read { .. })));
    assert!(matches!(Tensors::open(at("model.ckpt-3")), Err(Error::Read { .. })));

    fs::remove_file(at("model.ckpt-2.data-00000-of-00001")).unwrap();
    let message = Tensors::open(at("model.ckpt-2")).err().expect("without data").to_string();
    assert!(message.contains("\"a\"") && message.contains("data-00000-of-00001"), "{message}");
}

#[test]
fn every_beginning_and_every_changed_byte_of_a_v2_checkpoint_is_an_error_or_the_same() {
    let (index, data) = v2(&[("a", &[1.0, 2.0]), ("b/kernel", &[3.0, 4.0, 5.0])], PLAIN);
    let same = |tensors: &Tensors| {
        assert_eq!(tensors.names().collect::<Vec<_>>(), ["a", "b/kernel"]);
        assert_eq!(tensors.f32("a", &[2]).unwrap(), [1.0, 2.0]);
        assert_eq!(tensors.f32("b/kernel", &[3]).unwrap(), [3.0, 4.0, 5.0]);
    };
    same(&open(&index, &data).unwrap());
    for length in 0..index.len() {
        refused(&index[..length], &data);
    }
    for length in 0..data.len() {
        let message = refused(&index, &data[..length]);
        assert!(message.contains("tensor \""), "{message}");
    }
    for at in 0..index.len() {
        for bit in 0..8 {
            let mut damaged = index.clone();
            damaged[at] ^= 1 << bit;
            // The footer has no checksum: padding and a handle that nobody uses.
            if let Ok(tensors) = open(&damaged, &data) {
                assert!(at >= index.len() - 48, "{at}");
                same(&tensors);
            }
        }
    }
    for at in 1..data.len() {
        let mut damaged = data.clone();
        damaged[at] ^= 1;
        let tensors = open(&index, &damaged).unwrap();
        let (name, shape) = if at < 9 { ("a", 2) } else { ("b/kernel", 3) };
        let error = tensors.f32(name, &[shape]).unwrap_err().to_string();
        assert!(error.contains(&format!("{name:?}")) && error.contains("checksum"), "{error}");
        assert!(tensors.rows(name, &[shape], 0..1).is_err(), "the whole is checked before a part is used");
    }
}

#[test]
fn entries_of_a_v2_checkpoint_that_cannot_be_are_refused_by_name() {
    let data = floats(&[1.0, 2.0]);
    let good = entry("a", 1, &[2], 0, &data);
    let index = |entries: Vec<(Vec<u8>, Vec<u8>)>| table(&entries, PLAIN);
    let one = |value: Vec<u8>| refused(&index(vec![header(1, 0), (b"a".to_vec(), value)]), &data);
    assert!(open(&index(vec![header(1, 0), good.clone()]), &data).is_ok());
    assert!(refused(&index(vec![header(1, 1), good.clone()]), &data).contains("big-endian"));
    for files in [0, 100_000, u64::MAX] {
        let message = refused(&index(vec![header(files, 0), good.clone()]), &data);
        assert!(message.contains("1..=99999"), "{message}");
    }
    let message = refused(&index(vec![header(2, 0), good.clone()]), &data);
    assert!(message.contains("\"a\"") && message.contains("m.data-00000-of-00002"), "{message}");

    let (_, value) = &good;
    let with = |more: Vec<u8>| one([value.clone(), more].concat());
    assert!(with(number(3, 1)).contains("in 0..1, got 1"));
    for (at, size) in [(1, 8), (0, 9), (u64::MAX, 8), (u64::MAX - 7, 8), (8, 8)] {
        let message = with([number(4, at), number(5, size)].concat());
        assert!(message.contains("\"a\"") && message.contains("file has 8"), "{message}");
    }
    for (side, why) in [(3, "does not fit"), (1 << 62, "does not fit"), (u64::MAX, "negative")] {
        let message = one([number(1, 1), bytes(2, &fixture::shape(&[side])), number(5, 8)].concat());
        assert!(message.contains("\"a\"") && message.contains(why), "{message}");
    }
    assert!(one([number(1, 1), bytes(2, &number(3, 1)), number(5, 8)].concat()).contains("must be known"));

    // Text and unknown types are listed and cannot be read.
    for (dtype, got) in [(7, "STRING"), (8, "a type that is not read"), (99, "a type that is not read")] {
        let value = [number(1, dtype), bytes(2, &fixture::shape(&[5])), number(5, 7)].concat();
        let tensors = open(&index(vec![header(1, 0), (b"a".to_vec(), value)]), &data).unwrap();
        assert_eq!(tensors.shape("a"), Some(&[5][..]));
        for error in [tensors.f32("a", &[5]).unwrap_err(), tensors.integers("a").unwrap_err()] {
            assert!(matches!(&error, Error::Dtype { got: was, .. } if was == got), "{error}");
        }
    }
}

#[test]
fn tables_that_would_grow_without_bound_are_refused() {
    let data = floats(&[1.0]);
    let whole = |blocks: &[(&[u8], &[u8])]| {
        let mut out = Vec::new();
        let mut handles = Vec::new();
        for (key, content) in blocks {
            handles.push((key.to_vec(), fixture::put(&mut out, content, false)));
        }
        let handle = fixture::put(&mut out, &raw(&handles), false);
        fixture::finish(out, &handle)
    };
    fn raw(entries: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
        let entry = |(key, value): &(Vec<u8>, Vec<u8>)| {
            [varint(0), varint(key.len() as u64), varint(value.len() as u64), key.clone(), value.clone()]
                .concat()
        };
        [entries.iter().flat_map(entry).collect(), vec![0; 4]].concat()
    }

    // Every entry repeats all of a long key, with another end.
    let mut block = [varint(0), varint(0), varint(2), number(1, 1)].concat();
    block.extend([varint(0), varint(4000), varint(0), vec![b'a'; 4000]].concat());
    for (a, b, c) in
        (b'a'..=b'z').flat_map(|a| (b'a'..=b'z').flat_map(move |b| (b'a'..=b'z').map(move |c| (a, b, c))))
    {
        block.extend([varint(4000 - 4), varint(4), varint(0), vec![b'b', a, b, c]].concat());
    }
    block.extend([0; 4]);
    let message = refused(&whole(&[(b"z", &block)]), &data);
    assert!(message.contains("all keys must have at most 64 times"), "{message}");
    let long = raw(&[header_entry(), (vec![b'a'; 4097], vec![])]);
    assert!(refused(&whole(&[(b"z", &long)]), &data).contains("at most 4096 bytes, got 4097"));

    // Blocks that lie over each other.
    let header = raw(&[header(1, 0)]);
    let mut out = Vec::new();
    let handle = fixture::put(&mut out, &header, false);
    let twice =
        fixture::put(&mut out, &raw(&[(b"a".to_vec(), handle.clone()), (b"b".to_vec(), handle)]), false);
    let message = refused(&fixture::finish(out, &twice), &data);
    assert!(message.contains("must begin at"), "{message}");

    // Keys that do not grow, restarts that do not fit, a block of another kind.
    let falling = raw(&[header_entry(), (b"b".to_vec(), vec![]), (b"a".to_vec(), vec![])]);
    assert!(refused(&whole(&[(b"z", &falling)]), &data).contains("must grow"));
    assert!(refused(&whole(&[(b"z", &[0, 0, 0, 0xff])]), &data).contains("restarts"));
    assert!(refused(&whole(&[]), &data).contains("empty"));

    fn header_entry() -> (Vec<u8>, Vec<u8>) {
        super::fixture::header(1, 0)
    }
}

#[test]
fn a_snappy_block_may_not_promise_more_than_snappy_can() {
    // A length of a gigabyte before nothing.
    let content = [varint(1 << 30), vec![0, 0, 1]].concat();
    let out = [content.clone(), fixture::masked(&content).to_le_bytes().to_vec()].concat();
    let handle = [varint(0), varint(content.len() as u64 - 1)].concat();
    let message = refused(&fixture::finish(out, &handle), &[]);
    assert!(message.contains("Snappy: must unpack to at most"), "{message}");
}

fn cut(start: u64, length: u64) -> Extent {
    Extent { start, length: Some(length) }
}

const FULL: Extent = Extent { start: 0, length: None };

/// Packed numbers in field `field`.
fn packed(field: u64, numbers: &[i64]) -> Vec<u8> {
    bytes(field, &numbers.iter().flat_map(|&number| varint(number as u64)).collect::<Vec<u8>>())
}

#[test]
fn a_v1_checkpoint_keeps_numbers_of_every_type() {
    let whole = Variable::whole;
    let variables = [
        whole("bf16", 14, &[1], packed(13, &[0x4049])),
        whole("bool", 10, &[3], packed(11, &[1, 0, 7])),
        whole("f16", 19, &[2], packed(13, &[0x3c00, 0xc000])),
        whole("f32", 1, &[2], bytes(5, &floats(&[1.5, -2.0]))),
        whole("f32 in content", 1, &[2], bytes(4, &floats(&[1.5, -2.0]))),
        whole(
            "f32 one by one",
            1,
            &[2],
            floats(&[1.5, -2.0]).chunks(4).flat_map(|b| [&[0x2d], b].concat()).collect(),
        ),
        whole("f64", 2, &[1], bytes(6, &0.5f64.to_le_bytes())),
        whole("i16", 5, &[2], packed(7, &[-3, 300])),
        whole("i32", 3, &[2], packed(7, &[-7, i64::from(i32::MAX)])),
        whole("i64", 9, &[], packed(10, &[i64::MIN])),
        whole("i8", 6, &[2], packed(7, &[-128, 127])),
        whole("none", 1, &[0, 4], vec![]),
        whole("text", 7, &[1], bytes(8, b"abc")),
        whole("u16", 17, &[1], packed(7, &[65535])),
        whole("u32", 22, &[1], packed(16, &[1 << 31])),
        whole("u64", 23, &[1], packed(17, &[-1])),
        whole("u8", 4, &[3], [packed(7, &[1, 255]), number(7, 3)].concat()),
    ];
    for layout in [PLAIN, MANY_BLOCKS, SNAPPY] {
        let tensors = Tensors::from_bytes(v1(&variables, layout)).unwrap();
        assert!(tensors.names().eq(variables.iter().map(|variable| variable.name)));
        for (name, expected) in [
            ("bf16", &[3.140_625][..]),
            ("f16", &[1.0, -2.0]),
            ("f32", &[1.5, -2.0]),
            ("f32 in content", &[1.5, -2.0]),
            ("f32 one by one", &[1.5, -2.0]),
            ("f64", &[0.5]),
        ] {
            assert_eq!(tensors.f32(name, &[expected.len()]).unwrap(), expected, "{name}");
        }
        assert!(tensors.f32("none", &[0, 4]).unwrap().is_empty());
        for (name, expected) in [
            ("bool", &[1, 0, 1][..]),
            ("i16", &[-3, 300]),
            ("i32", &[-7, i64::from(i32::MAX)]),
            ("i64", &[i64::MIN]),
            ("i8", &[-128, 127]),
            ("u16", &[65535]),
            ("u32", &[1 << 31]),
            ("u8", &[1, 255, 3]),
        ] {
            assert_eq!(tensors.integers(name).unwrap(), expected, "{name}");
        }
        assert!(tensors.integers("u64").unwrap_err().to_string().contains("below 2^63"));
        assert!(tensors.integers("text").unwrap_err().to_string().contains("got STRING"));
    }
}

#[test]
fn slices_of_a_v1_variable_are_joined_and_a_last_value_is_repeated() {
    let part = |start, length, values: &[f32]| (vec![cut(start, length), FULL], bytes(5, &floats(values)));
    let slices = vec![part(0, 1, &[1.0, 2.0]), part(1, 2, &[3.0, 4.0, 5.0])];
    let variables = [Variable { name: "a", dtype: 1, sides: &[3, 2], slices }];
    for layout in [PLAIN, SNAPPY] {
        let tensors = Tensors::from_bytes(v1(&variables, layout)).unwrap();
        assert_eq!(tensors.f32("a", &[3, 2]).unwrap(), [1.0, 2.0, 3.0, 4.0, 5.0, 5.0]);
        assert_eq!(tensors.rows("a", &[3, 2], 1..2).unwrap(), [3.0, 4.0]);
    }
    let refused = |sides: &[u64], slices| {
        let variables = [Variable { name: "a", dtype: 1, sides, slices }];
        let message = Tensors::from_bytes(v1(&variables, PLAIN)).err().expect("refused").to_string();
        assert!(message.contains("\"a\""), "{message}");
        message
    };
    assert!(refused(&[3, 2], vec![part(0, 1, &[1.0, 2.0])]).contains("3 rows in all, got 1"));
    assert!(refused(&[3, 2], vec![]).contains("3 rows in all, got 0"));
    assert!(refused(&[1, 2], vec![part(0, 1, &[])]).contains("must have 8 bytes of values, got 0"));
    assert!(refused(&[1, 2], vec![part(0, 1, &[1.0; 3])]).contains("must have 8 bytes of values, got 12"));
    // One value for a terabyte.
    let huge = vec![(vec![FULL, FULL], bytes(5, &floats(&[1.0])))];
    assert!(refused(&[1 << 20, 1 << 18], huge).contains("bytes of values, got 4"));
    let columns = vec![
        (vec![FULL, cut(0, 1)], bytes(5, &floats(&[1.0]))),
        (vec![FULL, cut(1, 1)], bytes(5, &floats(&[1.0]))),
    ];
    assert!(refused(&[1, 2], columns).contains("first axis alone"));
}

#[test]
fn every_beginning_and_every_changed_byte_of_a_v1_checkpoint_is_an_error_or_the_same() {
    let variables = [
        Variable::whole("a", 1, &[2], bytes(5, &floats(&[1.5, -2.0]))),
        Variable::whole("step", 9, &[], packed(10, &[300])),
    ];
    let whole = v1(&variables, PLAIN);
    for length in 0..whole.len() {
        assert!(Tensors::from_bytes(whole[..length].to_vec()).is_err(), "{length}");
    }
    for at in 0..whole.len() {
        for bit in 0..8 {
            let mut damaged = whole.clone();
            damaged[at] ^= 1 << bit;
            let Ok(tensors) = Tensors::from_bytes(damaged) else { continue };
            assert!(at >= whole.len() - 48, "{at}");
            assert_eq!(tensors.f32("a", &[2]).unwrap(), [1.5, -2.0]);
            assert_eq!(tensors.integers("step").unwrap(), [300]);
        }
    }
}

/// A graph with one node whose output is `[1, width]`, listed as what the state begins with.
fn graph(width: u64) -> Vec<u8> {
    let sides = bytes(1, &bytes(7, &fixture::shape(&[1, width])));
    let attribute = [bytes(1, b"_output_shapes"), bytes(2, &sides)].concat();
    let node = [bytes(1, b"zeros"), bytes(2, b"Fill"), bytes(5, &attribute)].concat();
    let list = bytes(2, &bytes(1, &bytes(1, b"zeros:0")));
    [bytes(2, &bytes(1, &node)), bytes(4, &[bytes(1, b"initial_state"), list].concat())].concat()
}

fn bundle(checkpoint: &[u8], graph: &[u8]) -> Vec<u8> {
    let details = [bytes(1, b"attention_rnn"), bytes(2, b"words")].concat();
    [bytes(1, &details), bytes(2, checkpoint), bytes(3, graph), bytes(4, b"")].concat()
}

#[test]
fn a_bundle_tells_its_id_and_the_length_of_its_attention() {
    let cell = "rnn/attention_cell_wrapper/multi_rnn_cell/cell_0/basic_lstm_cell/bias";
    let variables = [
        Variable::whole("rnn/attention_cell_wrapper/attention/attn_w", 1, &[1, 1, 2, 2], bytes(5, &[0; 16])),
        Variable::whole(cell, 1, &[12], bytes(5, &[0; 48])),
    ];
    let checkpoint = v1(&variables, PLAIN);
    // Two vectors of 3, one of 2, and 2 for each slot.
    for (width, slots) in [(6 + 2 + 2 * 40, Some(40)), (6 + 2 + 2, Some(1)), (8, None), (11, None), (0, None)]
    {
        let tensors = Tensors::from_bytes(bundle(&checkpoint, &graph(width))).unwrap();
        let told = tensors.bundle().expect("a bundle");
        assert_eq!((told.id.as_str(), told.description.as_str()), ("attention_rnn", "words"));
        assert_eq!(told.attention_length, slots, "{width}");
        assert_eq!(tensors.f32(cell, &[12]).unwrap(), [0.0; 12]);
    }
    let without = Tensors::from_bytes(bundle(&checkpoint, &[])).unwrap();
    assert_eq!(without.bundle().expect("a bundle").attention_length, None);
    assert!(Tensors::from_bytes(checkpoint).unwrap().bundle().is_none());
}

#[test]
fn a_bundle_must_be_whole_and_have_one_checkpoint() {
    let checkpoint = v1(&[Variable::whole("a", 1, &[1], bytes(5, &floats(&[1.0])))], PLAIN);
    let whole = bundle(&checkpoint, &graph(4));
    let refused = |bytes: &[u8]| Tensors::from_bytes(bytes.to_vec()).err().expect("refused").to_string();
    for length in 0..whole.len() {
        // What comes after the checkpoint may be missing as a whole.
        if let Ok(tensors) = Tensors::from_bytes(whole[..length].to_vec()) {
            assert_eq!(tensors.f32("a", &[1]).unwrap(), [1.0], "{length}");
        }
    }
    assert!(refused(&whole[..whole.len() / 2]).contains("cut short"));
    let details = bytes(1, &bytes(1, b"melody"));
    assert!(refused(&details).contains("1 checkpoint, got 0"));
    let two = [details.clone(), bytes(2, &checkpoint), bytes(2, &checkpoint)].concat();
    assert!(refused(&two).contains("1 checkpoint, got 2"));
    let other = [details, bytes(2, b"no checkpoint")].concat();
    assert!(refused(&other).contains("V1"));
}

#[test]
fn a_variable_in_slices_is_joined_when_they_are_rows() {
    let data = floats(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    let slice = |extents: &[Extent], sides: &[u64], from: usize, to: usize| {
        let (_, value) = entry("", 1, sides, from, &data[from..to]);
        (super::slices::key("a", extents), value)
    };
    let whole = |extents: &[&[Extent]]| {
        let slices = extents.iter().flat_map(|extents| bytes(7, &fixture::slice(extents))).collect();
        (b"a".to_vec(), [number(1, 1), bytes(2, &fixture::shape(&[3, 2])), slices].concat())
    };
    let (first, second) = ([cut(0, 1), cut(0, 2)], [cut(1, 2), FULL]);
    let index = table(
        &[
            header(1, 0),
            slice(&first, &[1, 2], 0, 8),
            slice(&second, &[2, 2], 8, 24),
            whole(&[&second, &first]),
        ],
        PLAIN,
    );
    let tensors = open(&index, &data).unwrap();
    assert_eq!(tensors.names().collect::<Vec<_>>(), ["a"]);
    assert_eq!(tensors.f32("a", &[3, 2]).unwrap(), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    assert_eq!(tensors.rows("a", &[3, 2], 0..2).unwrap(), [1.0, 2.0, 3.0, 4.0]);

    let missing = table(&[header(1, 0), slice(&first, &[1, 2], 0, 8), whole(&[&first, &second])], PLAIN);
    let message = refused(&missing, &data);
    assert!(message.contains("\"a\"") && message.contains("is missing"), "{message}");
    let columns = [[FULL, cut(0, 1)], [FULL, cut(1, 1)]];
    let index = table(
        &[
            header(1, 0),
            slice(&columns[0], &[3, 1], 0, 12),
            slice(&columns[1], &[3, 1], 12, 24),
            whole(&[&columns[0], &columns[1]]),
        ],
        PLAIN,
    );
    let message = refused(&index, &data);
    assert!(message.contains("\"a\"") && message.contains("first axis alone"), "{message}");
}
