//! Weight files as test data: written by hand, so that they can also be wrong.

use std::io::{Cursor, Seek, SeekFrom, Write};

/// A safetensors file of F32 tensors with one axis.
pub(super) fn safetensors(tensors: &[(&str, &[f32])]) -> Vec<u8> {
    let mut header = serde_json::Map::new();
    let mut data = Vec::new();
    for (name, values) in tensors {
        let from = data.len();
        data.extend(floats(values));
        let offsets = [from, data.len()];
        let described = serde_json::json!({"dtype": "F32", "shape": [values.len()], "data_offsets": offsets});
        header.insert((*name).to_owned(), described);
    }
    safetensors_file(&serde_json::to_string(&header).unwrap(), &data)
}

pub(super) fn safetensors_file(header: &str, data: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), data].concat()
}

pub(super) fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// A storage of F32 and the tensors that are the whole of it.
pub(super) struct Tied<'a> {
    pub names: &'a [&'a str],
    pub values: &'a [f32],
}

/// A torch file.
pub(super) fn torch(storages: &[Tied]) -> Vec<u8> {
    let mut pickle = Pickle::dict();
    let mut data = Vec::new();
    for (key, Tied { names, values }) in storages.iter().enumerate() {
        let count = values.len() as i64;
        for name in *names {
            pickle.tensor(name, "FloatStorage", &key.to_string(), count, 0, &[count], &[1]);
        }
        data.push((key.to_string(), floats(values)));
    }
    let data: Vec<_> = data.iter().map(|(key, bytes)| (key.as_str(), bytes.as_slice())).collect();
    torch_file(&pickle.end(), &data)
}

/// A torch file with this pickle and these storages.
pub(super) fn torch_file(pickle: &[u8], storages: &[(&str, &[u8])]) -> Vec<u8> {
    let mut members = vec![
        Member::new("model/data.pkl", Content::Bytes(pickle)),
        Member::new("model/byteorder", Content::Bytes(b"little")),
    ];
    members.extend(
        storages.iter().map(|(key, bytes)| Member::new(&format!("model/data/{key}"), Content::Bytes(bytes))),
    );
    zip(&members, false)
}

pub(super) enum Content<'a> {
    Bytes(&'a [u8]),
    /// So many zeros; on disk they take no room.
    Zeros(u64),
}

pub(super) struct Member<'a> {
    pub name: String,
    pub content: Content<'a>,
    pub method: u16,
    pub flags: u16,
}

impl<'a> Member<'a> {
    pub(super) fn new(name: &str, content: Content<'a>) -> Member<'a> {
        Member { name: name.to_owned(), content, method: 0, flags: 1 << 11 }
    }
}

pub(super) fn zip(members: &[Member], always_64: bool) -> Vec<u8> {
    let mut out = Cursor::new(Vec::new());
    write_zip(&mut out, members, always_64);
    out.into_inner()
}

/// Stores the members; numbers of 64 bits where they are needed, or everywhere.
pub(super) fn write_zip(out: &mut (impl Write + Seek), members: &[Member], always_64: bool) {
    let mut directory = Vec::new();
    let short = |number: u64| match u32::try_from(number) {
        Ok(short) if short != u32::MAX && !always_64 => short,
        _ => u32::MAX,
    };
    for member in members {
        let at = out.stream_position().unwrap();
        let length = match member.content {
            Content::Bytes(bytes) => bytes.len() as u64,
            Content::Zeros(length) => length,
        };
        let name = member.name.as_bytes();
        // Torch pads with an extra field so that data begins at multiples of 64.
        let padding = b"FB\x03\x00ZZZ";
        let mut local = b"PK\x03\x04\x2d\x00".to_vec();
        local.extend([member.flags.to_le_bytes(), member.method.to_le_bytes()].concat());
        local.extend([0; 16]);
        local.extend([(name.len() as u16).to_le_bytes(), (padding.len() as u16).to_le_bytes()].concat());
        local.extend([name, padding].concat());
        out.write_all(&local).unwrap();
        match member.content {
            Content::Bytes(bytes) => out.write_all(bytes).unwrap(),
            Content::Zeros(length) => {
                out.seek(SeekFrom::Current(length as i64)).unwrap();
            }
        }

        let mut extra = Vec::new();
        for number in [length, length, at] {
            if short(number) == u32::MAX {
                extra.extend(number.to_le_bytes());
            }
        }
        if !extra.is_empty() {
            extra.splice(0..0, [&[1, 0][..], &(extra.len() as u16).to_le_bytes()].concat());
        }
        directory.extend(b"PK\x01\x02\x2d\x00\x2d\x00");
        directory.extend([member.flags.to_le_bytes(), member.method.to_le_bytes()].concat());
        directory.extend([0; 8]);
        directory.extend([short(length).to_le_bytes(), short(length).to_le_bytes()].concat());
        directory.extend([(name.len() as u16).to_le_bytes(), (extra.len() as u16).to_le_bytes()].concat());
        directory.extend([0; 10]);
        directory.extend(short(at).to_le_bytes());
        directory.extend([name, &extra].concat());
    }

    let at = out.stream_position().unwrap();
    let (length, count) = (directory.len() as u64, members.len() as u64);
    out.write_all(&directory).unwrap();
    if short(at) == u32::MAX {
        let mut end = b"PK\x06\x06".to_vec();
        end.extend(44u64.to_le_bytes());
        end.extend([0x2d, 0, 0x2d, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        end.extend([count, count, length, at].map(u64::to_le_bytes).concat());
        end.extend(b"PK\x06\x07\0\0\0\0");
        end.extend([(at + length).to_le_bytes().as_slice(), &[1, 0, 0, 0]].concat());
        out.write_all(&end).unwrap();
    }
    let mut end = b"PK\x05\x06\0\0\0\0".to_vec();
    end.extend([(count as u16).to_le_bytes(), (count as u16).to_le_bytes()].concat());
    end.extend([(length as u32).to_le_bytes(), short(at).to_le_bytes()].concat());
    end.extend([0, 0]);
    out.write_all(&end).unwrap();
}

/// A member of a tar archive.
pub(super) fn tar_member(name: &str, kind: u8, content: &[u8]) -> Vec<u8> {
    let mut header = [0; 512];
    let name = name.as_bytes();
    header[..name.len().min(100)].copy_from_slice(&name[..name.len().min(100)]);
    header[124..136].copy_from_slice(format!("{:011o} ", content.len()).as_bytes());
    header[156] = kind;
    header[257..265].copy_from_slice(b"ustar  \0");
    seal(&mut header);
    let padding = vec![0; content.len().next_multiple_of(512) - content.len()];
    [&header, content, &padding].concat()
}

/// Gives the header at the beginning of `member` its checksum.
pub(super) fn seal(member: &mut [u8]) {
    member[148..156].fill(b' ');
    let sum: u32 = member[..512].iter().map(|&byte| u32::from(byte)).sum();
    member[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

/// An archive of regular files.
pub(super) fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let members = files.iter().flat_map(|(name, content)| tar_member(name, b'0', content));
    members.chain([0; 1024]).collect()
}

pub(super) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A pickle of protocol 2, an opcode at a time.
pub(super) struct Pickle(pub Vec<u8>);

impl Pickle {
    pub(super) fn new() -> Pickle {
        Pickle(vec![0x80, 2])
    }

    /// A dict whose items follow.
    pub(super) fn dict() -> Pickle {
        let mut pickle = Pickle::new();
        pickle.op(b"}(");
        pickle
    }

    /// The end of [`Pickle::dict`].
    pub(super) fn end(mut self) -> Vec<u8> {
        self.op(b"u.");
        self.0
    }

    pub(super) fn op(&mut self, bytes: &[u8]) -> &mut Pickle {
        self.0.extend_from_slice(bytes);
        self
    }

    pub(super) fn text(&mut self, text: &str) -> &mut Pickle {
        self.op(b"X").op(&(text.len() as u32).to_le_bytes()).op(text.as_bytes())
    }

    pub(super) fn integer(&mut self, number: i64) -> &mut Pickle {
        match (u8::try_from(number), i32::try_from(number)) {
            (Ok(small), _) => self.op(&[b'K', small]),
            (_, Ok(number)) => self.op(b"J").op(&number.to_le_bytes()),
            _ => self.op(&[0x8a, 8]).op(&number.to_le_bytes()),
        }
    }

    pub(super) fn integers(&mut self, numbers: &[i64]) -> &mut Pickle {
        self.op(b"(");
        for &number in numbers {
            self.integer(number);
        }
        self.op(b"t")
    }

    pub(super) fn storage(&mut self, kind: &str, key: &str, length: i64) -> &mut Pickle {
        self.op(b"(").text("storage").op(b"ctorch\n").op(kind.as_bytes()).op(b"\n");
        self.text(key).text("cpu").integer(length).op(b"tQ")
    }

    /// Name and tensor.
    #[allow(clippy::too_many_arguments)]
    pub(super) fn tensor(
        &mut self,
        name: &str,
        kind: &str,
        key: &str,
        length: i64,
        offset: i64,
        shape: &[i64],
        strides: &[i64],
    ) -> &mut Pickle {
        self.text(name).op(b"ctorch._utils\n_rebuild_tensor_v2\n(").storage(kind, key, length);
        self.integer(offset).integers(shape).integers(strides);
        self.op(b"\x89ccollections\nOrderedDict\n)RtR")
    }
}
