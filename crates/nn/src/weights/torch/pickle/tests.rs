use super::*;
use crate::weights::fixture::Pickle;

fn refused(pickle: &[u8]) -> String {
    state_dict(pickle).expect_err("refused")
}

/// A pickle whose body is these bytes.
fn body(bytes: &[u8]) -> Vec<u8> {
    [b"\x80\x02", bytes, b"."].concat()
}

#[test]
fn a_state_dict_is_read() {
    let mut pickle = Pickle::dict();
    pickle.tensor("a", "FloatStorage", "0", 70_000, 65_536, &[2, 300], &[300, 1]);
    pickle.tensor("b", "HalfStorage", "1", 5_000_000_000, 4_999_999_999, &[], &[]);
    let pickle = pickle.end();
    let tensors = state_dict(&pickle).unwrap();
    assert_eq!(tensors.keys().copied().collect::<Vec<_>>(), ["a", "b"]);
    let a = Described {
        dtype: Dtype::F32,
        key: "0",
        storage: 70_000,
        offset: 65_536,
        shape: vec![2, 300],
        strides: vec![300, 1],
    };
    assert_eq!(tensors["a"], a);
    assert_eq!((tensors["b"].storage, tensors["b"].offset), (5_000_000_000, 4_999_999_999));
}

#[test]
fn parameters_memo_items_one_by_one_and_module_versions_are_read() {
    // An OrderedDict whose attributes come last, as `state_dict()` leaves them.
    let mut pickle = Pickle::new();
    pickle.op(b"ccollections\nOrderedDict\n)Rq\x00");
    pickle.tensor("t", "FloatStorage", "0", 1, 0, &[1], &[1]).op(b"r\x01\x01\x00\x00s");
    pickle.text("p").op(b"ctorch._utils\n_rebuild_parameter\n(j\x01\x01\x00\x00\x88NtRs");
    pickle.op(b"}").text("_metadata").op(b"}").text("").op(b"}").text("version").op(b"K\x01sssb.");
    let tensors = state_dict(&pickle.0).unwrap();
    assert_eq!(tensors["t"], tensors["p"]);
    assert_eq!(tensors.len(), 2);
}

#[test]
fn any_other_name_is_refused_and_named() {
    for (module, name) in [
        ("os", "system"),
        ("posix", "system"),
        ("builtins", "eval"),
        ("__builtin__", "exec"),
        ("torch", "load"),
        ("torch", "UntypedStorage"),
        ("torch._utils", "_rebuild_tensor"),
        ("collections", "OrderedDict.__init__"),
        ("torch.FloatStorage", ""),
        ("", ""),
    ] {
        let code = format!("c{module}\n{name}\nX\x07\0\0\0echo hi\u{85}R");
        let message = refused(&body(code.as_bytes()));
        assert!(message.contains(&format!("global \"{module}.{name}\" is not allowed")), "{message}");
    }
    let long = refused(&body(&[b"c".as_slice(), &[b'x'; 1 << 20], b"\ny\n"].concat()));
    assert!(long.len() < 400 && long.contains("xxx"), "{} bytes", long.len());
    assert!(refused(&body(b"c\xff\xfe\nname\n")).contains("is not allowed"));
}

#[test]
fn opcodes_that_call_code_are_refused_and_named() {
    for (code, name) in [
        (&b"X\x02\0\0\0osX\x06\0\0\0system\x93"[..], "STACK_GLOBAL"),
        (b"(ios\nsystem\n", "INST"),
        (b"(N)o", "OBJ"),
        (b")\x81", "NEWOBJ"),
        (b")}\x92", "NEWOBJ_EX"),
        (b"\x82\x01", "EXT"),
        (b"Pos\n", "PERSID"),
    ] {
        let message = refused(&body(code));
        assert!(message.contains(name) || message.contains("is not allowed"), "{message}");
    }
    for opcode in 0..=u8::MAX {
        let allowed = b".cNKMJX})t(qrhjQRbsu\x85\x86\x87\x88\x89\x8a".contains(&opcode);
        let message = state_dict(&body(&[opcode])).err().unwrap_or_default();
        assert_eq!(!message.contains("is not allowed"), allowed, "{opcode:#x}: {message}");
    }
}

#[test]
fn what_may_be_named_can_be_called_in_its_one_way_alone() {
    for code in [
        &b"ctorch\nFloatStorage\n)R"[..],
        b"ctorch\nFloatStorage\nK\x05\x85R",
        b"ccollections\nOrderedDict\n)\x85R",
        b"ccollections\nOrderedDict\nNR",
        b"ctorch._utils\n_rebuild_tensor_v2\n)R",
        b"ctorch._utils\n_rebuild_tensor_v2\n(NNNNNNtR",
        b"ctorch._utils\n_rebuild_tensor_v2\n(NNNNNNNtR",
        b"ctorch._utils\n_rebuild_parameter\n(NNNtR",
        b"N)R",
        b"})R",
        b"ccollections\nOrderedDict\n)RNb",
        b"N}b",
        b"NQ",
        b")Q",
        b"(NNNNNtQ",
        b"NNNs",
        b"}NNs",
        b"}(Nu",
        b"N(u",
    ] {
        let message = refused(&body(code));
        assert!(!message.contains("opcode"), "{}: {message}", code.escape_ascii());
    }
    for code in [b"".as_slice(), b"NN", b"N", b"(N", b"}K\x01Ns", b"}X\x01\0\0\0aNs", b"K\x01", b")"] {
        refused(&body(code));
    }
    let mut twice = Pickle::dict();
    for _ in 0..2 {
        twice.tensor("a", "FloatStorage", "0", 1, 0, &[1], &[1]);
    }
    assert!(refused(&twice.end()).contains("twice"));
}

#[test]
fn the_stack_and_the_memo_give_what_was_put_there() {
    for code in [
        &b"t"[..],
        b"u",
        b"R",
        b"NR",
        b"q\x00",
        b"(q\x00",
        b"N(R",
        b"N(\x85",
        b"h\x00",
        b"Nq\x00h\x01",
        b"j\xff\xff\xff\xff",
        b"N(s",
        b"NN(N\x86",
    ] {
        refused(&body(code));
    }
}

#[test]
fn huge_lengths_are_refused_before_memory_is_taken() {
    for code in [
        &b"X\xff\xff\xff\xffabc"[..],
        b"X\xff\xff\xff\x7f",
        b"\x8a\xffabc",
        b"\x8a\x09123456789",
        b"\x8b\xff\xff\xff\x7f",
        b"cos",
        b"X\x02\0\0\0\xff\xfe",
    ] {
        refused(&body(code));
    }
}

#[test]
fn signed_integers_of_every_width_are_read() {
    let mut machine = Machine {
        input: Input::new(b"\x00\x01\x80\x02\x00\x80\x08\xff\xff\xff\xff\xff\xff\xff\x7f"),
        values: Vec::new(),
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
    };
    for expected in [0, -128, -32768, i64::MAX] {
        machine.long().unwrap();
        assert!(matches!(machine.values.last(), Some(Value::Integer(got)) if *got == expected), "{expected}");
    }
}

#[test]
fn nesting_repetition_and_cycles_stay_inside_the_limits() {
    let deep = |opcode: &[u8], count: usize| refused(&body(&opcode.repeat(count)));
    assert!(deep(b"(", 1 << 20).contains("stack"));
    assert!(deep(b")", 1 << 20).contains("stack"));
    assert!(deep(b"}", MAX_STACK).contains("one value"));
    assert!(refused(&body(&[b")".as_slice(), &b"\x85".repeat(1 << 21)].concat())).contains("values"));
    // A pair of the same pair, a thousand times: written out it would have 2^1000 parts.
    let doubled = [b"}q\x00".as_slice(), b")q\x01", &b"h\x01\x86q\x01".repeat(1000)].concat();
    assert!(refused(&body(&doubled)).contains("one value"));
    let doubled = [b"}X\x01\0\0\0a)q\x01".as_slice(), &b"h\x01\x86q\x01".repeat(1000), b"s"].concat();
    assert!(refused(&body(&doubled)).contains("must be a tensor"));
    refused(&body(b"}q\x00X\x01\0\0\0ah\x00s"));
    let memo: Vec<u8> =
        (0..MAX_VALUES as u32 + 1).flat_map(|key| [&b"r"[..], &key.to_le_bytes()].concat()).collect();
    assert!(refused(&body(&[b"N".as_slice(), &memo].concat())).contains("memo"));
    let mut key = Pickle::dict();
    key.tensor("a", "FloatStorage", &"0".repeat(MAX_KEY + 1), 1, 0, &[1], &[1]);
    assert!(refused(&key.end()).contains("storage's name"));
}

#[test]
fn other_protocols_are_refused() {
    for begin in [&b""[..], b"\x80", b"\x80\x00", b"\x80\x03}.", b"\x80\x04\x95", b"(dp0\n.", b"}."] {
        refused(begin);
    }
    assert!(refused(b"\x80\x04}.").contains("protocol 2"));
}

#[test]
fn cut_or_changed_anywhere_it_is_an_error_or_a_dict() {
    let mut pickle = Pickle::dict();
    pickle.tensor("a", "FloatStorage", "0", 600, 0, &[2, 300], &[300, 1]);
    pickle.text("b").op(b"ctorch._utils\n_rebuild_parameter\n(").storage("HalfStorage", "1", 1);
    let cut = pickle.0.clone();
    for length in 0..=cut.len() {
        refused(&cut[..length]);
    }
    let mut whole = Pickle::dict();
    whole.tensor("a", "FloatStorage", "0", 600, 0, &[2, 300], &[300, 1]);
    let whole = whole.end();
    assert!(state_dict(&whole).is_ok());
    for at in 0..whole.len() {
        refused(&whole[..at]);
        for value in 0..=u8::MAX {
            let mut changed = whole.clone();
            changed[at] = value;
            let _ = state_dict(&changed);
        }
    }
}
