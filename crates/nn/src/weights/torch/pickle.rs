//! The pickle in a torch file, as far as a state dict needs it: protocol 2, a short list of opcodes and of
//! names, no code that is found by name and called.
//!
//! A name (`GLOBAL`) is one of [`Global`] or an error, and calling one (`REDUCE`) means what this file says.
//! Values live in a list and refer to each other by number, so nesting costs no call stack, a value that is
//! used a thousand times is there once, and memory is bounded by the pickle's length and by the limits below.

use std::collections::{BTreeMap, HashMap};

use super::input::Input;
use crate::weights::dtype::Dtype;
use crate::weights::quoted;

/// Values in all, and entries of the memo. A tensor takes about 20 of them.
const MAX_VALUES: usize = 1 << 18;
/// Values waiting on the stack. Python's pickler writes dicts in batches of 1000.
const MAX_STACK: usize = 1 << 16;
/// Axes of a tensor.
const MAX_AXES: usize = 16;
/// Of a storage's name, in bytes. Torch counts storages.
const MAX_KEY: usize = 64;

/// A tensor over a part of a storage; in elements, not checked against the storage.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Described<'a> {
    pub dtype: Dtype,
    /// Name of the storage.
    pub key: &'a str,
    /// Length of the storage.
    pub storage: u64,
    pub offset: u64,
    pub shape: Vec<u64>,
    /// As many as the shape has sides.
    pub strides: Vec<u64>,
}

/// Number of a value.
type Id = u32;

enum Value<'a> {
    /// None and booleans: they are read over.
    Plain,
    Integer(i64),
    Text(&'a str),
    Tuple(Vec<Id>),
    /// Keys are texts.
    Dict(Vec<(&'a str, Id)>),
    Global(Global),
    Storage(Dtype, &'a str, u64),
    Tensor(Box<Described<'a>>),
}

/// What may be named.
#[derive(Clone, Copy)]
enum Global {
    OrderedDict,
    RebuildTensor,
    RebuildParameter,
    Storage(Dtype),
}

impl Global {
    fn find(module: &[u8], name: &[u8]) -> Option<Global> {
        Some(match (module, name) {
            (b"collections", b"OrderedDict") => Global::OrderedDict,
            (b"torch._utils", b"_rebuild_tensor_v2") => Global::RebuildTensor,
            (b"torch._utils", b"_rebuild_parameter") => Global::RebuildParameter,
            (b"torch", name) => Global::Storage(match name {
                b"FloatStorage" => Dtype::F32,
                b"HalfStorage" => Dtype::F16,
                b"BFloat16Storage" => Dtype::Bf16,
                b"DoubleStorage" => Dtype::F64,
                b"LongStorage" => Dtype::I64,
                b"IntStorage" => Dtype::I32,
                b"ShortStorage" => Dtype::I16,
                b"CharStorage" => Dtype::I8,
                b"ByteStorage" => Dtype::U8,
                b"BoolStorage" => Dtype::Bool,
                _ => return None,
            }),
            _ => return None,
        })
    }
}

/// The tensors of a pickled state dict by name. Tied tensors appear under each of their names.
pub(super) fn state_dict(pickle: &[u8]) -> Result<BTreeMap<&str, Described<'_>>, String> {
    let mut machine = Machine {
        input: Input::new(pickle),
        values: Vec::new(),
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
    };
    machine.run().map_err(|what| format!("before byte {}: {what}", machine.input.position()))
}

struct Machine<'a> {
    input: Input<'a>,
    values: Vec<Value<'a>>,
    stack: Vec<Id>,
    /// Heights of the stack; nothing below the last one can be taken.
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
}

impl<'a> Machine<'a> {
    fn run(&mut self) -> Result<BTreeMap<&'a str, Described<'a>>, String> {
        let begin = self.input.array()?;
        if begin != [0x80, 2] {
            return Err(format!("a pickle must be of protocol 2, got {}", begin.escape_ascii()));
        }
        loop {
            match self.input.u8()? {
                b'.' => return self.finish(),
                b'c' => self.global()?,
                b'N' | 0x88 | 0x89 => self.push(Value::Plain)?,
                b'K' => {
                    let number = self.input.u8()?;
                    self.push(Value::Integer(number.into()))?;
                }
                b'M' => {
                    let number = self.input.u16()?;
                    self.push(Value::Integer(number.into()))?;
                }
                b'J' => {
                    let number = self.input.array().map(i32::from_le_bytes)?;
                    self.push(Value::Integer(number.into()))?;
                }
                0x8a => self.long()?,
                b'X' => self.text()?,
                b'}' => self.push(Value::Dict(Vec::new()))?,
                b')' => self.push(Value::Tuple(Vec::new()))?,
                count @ 0x85..=0x87 => self.tuple(usize::from(count - 0x84))?,
                b't' => {
                    let items = self.marked()?;
                    self.push(Value::Tuple(items))?;
                }
                b'(' => {
                    self.room(self.marks.len())?;
                    self.marks.push(self.stack.len());
                }
                b'q' => {
                    let key = self.input.u8()?;
                    self.remember(key.into())?;
                }
                b'r' => {
                    let key = self.input.u32()?;
                    self.remember(key)?;
                }
                b'h' => {
                    let key = self.input.u8()?;
                    self.recall(key.into())?;
                }
                b'j' => {
                    let key = self.input.u32()?;
                    self.recall(key)?;
                }
                b'Q' => self.storage()?,
                b'R' => self.reduce()?,
                b'b' => self.build()?,
                b's' => {
                    let items = self.take::<2>()?;
                    self.set_items(&items)?;
                }
                b'u' => {
                    let items = self.marked()?;
                    self.set_items(&items)?;
                }
                other => return Err(format!("opcode {other:#04x}{} is not allowed", opcode_name(other))),
            }
        }
    }

    fn finish(&self) -> Result<BTreeMap<&'a str, Described<'a>>, String> {
        let &[result] = self.stack.as_slice() else {
            return Err(format!("one value must be left at the end, got {}", self.stack.len()));
        };
        let Value::Dict(items) = self.value(result) else {
            return Err(format!("the file must hold a dict of tensors, got {}", self.kind(result)));
        };
        let mut tensors = BTreeMap::new();
        for &(name, value) in items {
            let Value::Tensor(described) = self.value(value) else {
                return Err(format!("entry {} must be a tensor, got {}", quoted(name), self.kind(value)));
            };
            if tensors.contains_key(name) {
                return Err(format!("tensor {} must be there once, got it twice", quoted(name)));
            }
            tensors.insert(name, Described::clone(described));
        }
        Ok(tensors)
    }

    fn value(&self, id: Id) -> &Value<'a> {
        &self.values[id as usize]
    }

    fn room(&self, used: usize) -> Result<(), String> {
        if used < MAX_STACK { Ok(()) } else { Err(format!("the stack must have at most {MAX_STACK} values")) }
    }

    fn push(&mut self, value: Value<'a>) -> Result<(), String> {
        if self.values.len() >= MAX_VALUES {
            return Err(format!("there must be at most {MAX_VALUES} values"));
        }
        self.room(self.stack.len())?;
        self.stack.push(self.values.len() as Id);
        self.values.push(value);
        Ok(())
    }

    /// The topmost values, the lowest first.
    fn take<const COUNT: usize>(&mut self) -> Result<[Id; COUNT], String> {
        let floor = self.marks.last().copied().unwrap_or(0);
        let from = self.stack.len().checked_sub(COUNT).filter(|&from| from >= floor);
        let taken = from.and_then(|from| {
            let taken = self.stack.get(from..)?.try_into().ok()?;
            self.stack.truncate(from);
            Some(taken)
        });
        taken.ok_or_else(|| format!("{COUNT} values are needed, got {}", self.stack.len() - floor))
    }

    /// What is above the last mark, which goes too.
    fn marked(&mut self) -> Result<Vec<Id>, String> {
        let from = self.marks.pop().ok_or("a mark is needed, got none")?;
        Ok(self.stack.split_off(from))
    }

    fn tuple(&mut self, count: usize) -> Result<(), String> {
        let items = match count {
            1 => self.take::<1>()?.to_vec(),
            2 => self.take::<2>()?.to_vec(),
            _ => self.take::<3>()?.to_vec(),
        };
        self.push(Value::Tuple(items))
    }

    fn global(&mut self) -> Result<(), String> {
        let (module, name) = (self.input.line()?, self.input.line()?);
        let Some(global) = Global::find(module, name) else {
            let full = [module, b".", name].concat();
            return Err(format!("global {} is not allowed", quoted(&String::from_utf8_lossy(&full))));
        };
        self.push(Value::Global(global))
    }

    /// A number of up to eight bytes, signed.
    fn long(&mut self) -> Result<(), String> {
        let length = self.input.u8()?;
        if length > 8 {
            return Err(format!("an integer must have at most 8 bytes, got {length}"));
        }
        let bytes = self.input.slice(length.into())?;
        let negative = bytes.last().is_some_and(|&byte| byte >= 0x80);
        let mut full = [if negative { 0xff } else { 0 }; 8];
        full[..bytes.len()].copy_from_slice(bytes);
        self.push(Value::Integer(i64::from_le_bytes(full)))
    }

    fn text(&mut self) -> Result<(), String> {
        let length = self.input.u32()?;
        let length = usize::try_from(length).map_err(|_| format!("a text has {length} bytes"))?;
        let text = std::str::from_utf8(self.input.slice(length)?).map_err(|_| "a text is not UTF-8")?;
        self.push(Value::Text(text))
    }

    fn remember(&mut self, key: u32) -> Result<(), String> {
        let [top] = self.take()?;
        self.stack.push(top);
        if self.memo.len() >= MAX_VALUES {
            return Err(format!("the memo must have at most {MAX_VALUES} entries"));
        }
        self.memo.insert(key, top);
        Ok(())
    }

    fn recall(&mut self, key: u32) -> Result<(), String> {
        let id = *self.memo.get(&key).ok_or_else(|| format!("memo entry {key} is not there"))?;
        self.room(self.stack.len())?;
        self.stack.push(id);
        Ok(())
    }

    /// `("storage", type, key, device, length)`.
    fn storage(&mut self) -> Result<(), String> {
        let [id] = self.take()?;
        let wrong = || "a reference must be (\"storage\", type, key, device, length)".to_owned();
        let Value::Tuple(items) = self.value(id) else { return Err(wrong()) };
        let &[tag, kind, key, _device, length] = items.as_slice() else { return Err(wrong()) };
        match (self.value(tag), self.value(kind), self.value(key)) {
            (Value::Text("storage"), &Value::Global(Global::Storage(dtype)), &Value::Text(key)) => {
                if key.len() > MAX_KEY {
                    return Err(format!(
                        "a storage's name must have at most {MAX_KEY} bytes, got {}",
                        key.len()
                    ));
                }
                let length = self.count(length, "a storage's length")?;
                self.push(Value::Storage(dtype, key, length))
            }
            _ => Err(wrong()),
        }
    }

    fn reduce(&mut self) -> Result<(), String> {
        let [called, arguments] = self.take()?;
        let (&Value::Global(global), Value::Tuple(arguments)) = (self.value(called), self.value(arguments))
        else {
            return Err(format!("{} cannot be called", self.kind(called)));
        };
        match (global, arguments.as_slice()) {
            (Global::OrderedDict, []) => self.push(Value::Dict(Vec::new())),
            (Global::RebuildTensor, &[storage, offset, shape, strides, _gradient, _hooks]) => {
                let tensor = self.tensor(storage, offset, shape, strides)?;
                self.push(Value::Tensor(Box::new(tensor)))
            }
            (Global::RebuildParameter, &[tensor, _gradient, _hooks]) => {
                let Value::Tensor(_) = self.value(tensor) else {
                    return Err(format!("a parameter must be a tensor, got {}", self.kind(tensor)));
                };
                self.stack.push(tensor);
                Ok(())
            }
            (_, arguments) => {
                Err(format!("{} cannot be called with {} arguments", self.kind(called), arguments.len()))
            }
        }
    }

    /// The attributes of a dict: versions of modules, which say nothing about its tensors.
    fn build(&mut self) -> Result<(), String> {
        let [target, state] = self.take()?;
        match (self.value(target), self.value(state)) {
            (Value::Dict(_), Value::Dict(_)) => {
                self.stack.push(target);
                Ok(())
            }
            _ => Err(format!("{} cannot have attributes", self.kind(target))),
        }
    }

    fn set_items(&mut self, items: &[Id]) -> Result<(), String> {
        let [dict] = self.take()?;
        self.stack.push(dict);
        let (pairs, []) = items.as_chunks::<2>() else {
            return Err(format!("keys and values must come in pairs, got {} values", items.len()));
        };
        let mut named = Vec::with_capacity(pairs.len());
        for &[key, value] in pairs {
            let &Value::Text(key) = self.value(key) else {
                return Err(format!("a key must be a text, got {}", self.kind(key)));
            };
            named.push((key, value));
        }
        let kind = self.kind(dict);
        match &mut self.values[dict as usize] {
            Value::Dict(items) => items.extend(named),
            _ => return Err(format!("{kind} cannot have items")),
        }
        Ok(())
    }

    fn tensor(&self, storage: Id, offset: Id, shape: Id, strides: Id) -> Result<Described<'a>, String> {
        let &Value::Storage(dtype, key, length) = self.value(storage) else {
            return Err(format!("a tensor must have a storage, got {}", self.kind(storage)));
        };
        let (shape, strides) = (self.counts(shape, "a shape")?, self.counts(strides, "strides")?);
        if shape.len() != strides.len() {
            return Err(format!(
                "a shape of {} sides must have as many strides, got {}",
                shape.len(),
                strides.len()
            ));
        }
        let offset = self.count(offset, "a storage's offset")?;
        Ok(Described { dtype, key, storage: length, offset, shape, strides })
    }

    fn count(&self, id: Id, what: &str) -> Result<u64, String> {
        match self.value(id) {
            Value::Integer(number) => {
                u64::try_from(*number).map_err(|_| format!("{what} must be at least 0, got {number}"))
            }
            _ => Err(format!("{what} must be an integer, got {}", self.kind(id))),
        }
    }

    fn counts(&self, id: Id, what: &str) -> Result<Vec<u64>, String> {
        match self.value(id) {
            // Limited: the same tuple may be named by many tensors, each of which copies it.
            Value::Tuple(items) if items.len() <= MAX_AXES => {
                items.iter().map(|&item| self.count(item, what)).collect()
            }
            Value::Tuple(items) => {
                Err(format!("{what} must have at most {MAX_AXES} sides, got {}", items.len()))
            }
            _ => Err(format!("{what} must be a tuple, got {}", self.kind(id))),
        }
    }

    fn kind(&self, id: Id) -> &'static str {
        match self.value(id) {
            Value::Plain => "none or a boolean",
            Value::Integer(_) => "an integer",
            Value::Text(_) => "a text",
            Value::Tuple(_) => "a tuple",
            Value::Dict(_) => "a dict",
            Value::Global(Global::OrderedDict) => "collections.OrderedDict",
            Value::Global(Global::RebuildTensor) => "torch._utils._rebuild_tensor_v2",
            Value::Global(Global::RebuildParameter) => "torch._utils._rebuild_parameter",
            Value::Global(Global::Storage(_)) => "a type of storage",
            Value::Storage(..) => "a storage",
            Value::Tensor(_) => "a tensor",
        }
    }
}

/// The opcodes by which pickles call code that they name.
fn opcode_name(opcode: u8) -> &'static str {
    match opcode {
        b'i' => " (INST)",
        b'o' => " (OBJ)",
        b'P' => " (PERSID)",
        0x81 => " (NEWOBJ)",
        0x82..=0x84 => " (EXT)",
        0x92 => " (NEWOBJ_EX)",
        0x93 => " (STACK_GLOBAL)",
        _ => "",
    }
}

#[cfg(test)]
mod tests;
