//! Writes FlatBuffers; `flatbuffer.rs` describes the format.
//!
//! A file is a tree of tables. It is written from the root on: each table behind its vtable, then what it refers to. Numbers
//! are aligned to their size, seen from the start of the file.

use std::collections::HashMap;

use super::flatbuffer::Field;

/// A table to be written: its fields, each at most once. A field that is left out has its default.
#[derive(Debug, Clone, Default)]
pub(super) struct Node<'a>(Vec<(Field, Value<'a>)>);

/// What a field of a table holds.
#[derive(Debug, Clone)]
pub(super) enum Value<'a> {
    Bool(bool),
    I8(i8),
    U8(u8),
    I32(i32),
    U32(u32),
    F32(f32),
    Text(&'a str),
    /// Bytes at an address that is a multiple of a power of two.
    Bytes(&'a [u8], usize),
    I32s(Vec<i32>),
    I64s(Vec<i64>),
    F32s(Vec<f32>),
    Table(Node<'a>),
    Tables(Vec<Node<'a>>),
}

impl<'a> Node<'a> {
    /// This table with a field of this value, whatever it had before.
    pub(super) fn with(mut self, field: Field, value: Value<'a>) -> Self {
        self.0.retain(|(other, _)| other.slot != field.slot);
        self.0.push((field, value));
        self
    }

    /// The bytes of a file with this root.
    pub(super) fn to_file(&self, identifier: [u8; 4]) -> Vec<u8> {
        let mut file = File { bytes: vec![0; 4], vtables: HashMap::new() };
        file.bytes.extend(identifier);
        let root = file.table(self);
        file.refer(0, root);
        file.bytes
    }
}

impl Value<'_> {
    /// The bytes that lie in the table; for what lies elsewhere those of a reference to it.
    fn inline(&self) -> Vec<u8> {
        match self {
            Self::Bool(value) => vec![u8::from(*value)],
            Self::I8(value) => value.to_le_bytes().to_vec(),
            Self::U8(value) => vec![*value],
            Self::I32(value) => value.to_le_bytes().to_vec(),
            Self::U32(value) => value.to_le_bytes().to_vec(),
            Self::F32(value) => value.to_le_bytes().to_vec(),
            _ => vec![0; 4],
        }
    }
}

struct File {
    bytes: Vec<u8>,
    /// Where a vtable of these bytes is already.
    vtables: HashMap<Vec<u8>, usize>,
}

impl File {
    /// Adds zeros until `ahead` bytes further on an address is a multiple of `align`.
    fn align(&mut self, align: usize, ahead: usize) {
        let end = self.bytes.len() + ahead;
        self.bytes.resize(end.next_multiple_of(align) - ahead, 0);
    }

    /// Lets the reference at one place lead to another.
    fn refer(&mut self, at: usize, to: usize) {
        self.bytes[at..at + 4].copy_from_slice(&((to - at) as u32).to_le_bytes());
    }

    /// Writes a table and what it refers to; gives the table's place.
    fn table(&mut self, node: &Node<'_>) -> usize {
        let mut fields: Vec<_> = node.0.iter().map(|(field, value)| (field.slot, value, value.inline())).collect();
        // Large ones first, so that none needs padding.
        fields.sort_by_key(|(slot, _, inline)| (usize::MAX - inline.len(), *slot));
        let mut table = vec![0; 4];
        let slots = fields.iter().map(|(slot, ..)| slot + 1).max().unwrap_or(0);
        let mut vtable = vec![0u16; 2 + slots];
        for (slot, _, inline) in &fields {
            vtable[2 + slot] = table.len() as u16;
            table.extend(inline);
        }
        vtable[0] = 2 * vtable.len() as u16;
        vtable[1] = table.len() as u16;
        let places = vtable.clone();
        let vtable = self.vtable(vtable.into_iter().flat_map(u16::to_le_bytes).collect());
        self.align(4, 0);
        let at = self.bytes.len();
        table[..4].copy_from_slice(&(at as i32 - vtable as i32).to_le_bytes());
        self.bytes.extend(table);
        for (slot, value, _) in fields {
            if let Some(to) = self.target(value) {
                self.refer(at + usize::from(places[2 + slot]), to);
            }
        }
        at
    }

    fn vtable(&mut self, vtable: Vec<u8>) -> usize {
        if let Some(at) = self.vtables.get(&vtable) {
            return *at;
        }
        self.align(2, 0);
        let at = self.bytes.len();
        self.bytes.extend(&vtable);
        self.vtables.insert(vtable, at);
        at
    }

    /// Writes what a field refers to and gives its place; `None` if the field holds it itself.
    fn target(&mut self, value: &Value<'_>) -> Option<usize> {
        Some(match value {
            Value::Text(text) => {
                let at = self.vector(text.len(), 4, text.bytes());
                // For readers in C.
                self.bytes.push(0);
                at
            }
            Value::Bytes(bytes, align) => self.vector(bytes.len(), *align, bytes.iter().copied()),
            Value::I32s(all) => self.vector(all.len(), 4, all.iter().flat_map(|value| value.to_le_bytes())),
            Value::I64s(all) => self.vector(all.len(), 8, all.iter().flat_map(|value| value.to_le_bytes())),
            Value::F32s(all) => self.vector(all.len(), 4, all.iter().flat_map(|value| value.to_le_bytes())),
            Value::Table(node) => self.table(node),
            Value::Tables(nodes) => {
                let at = self.vector(nodes.len(), 4, std::iter::repeat_n(0, 4 * nodes.len()));
                for (index, node) in nodes.iter().enumerate() {
                    let to = self.table(node);
                    self.refer(at + 4 + 4 * index, to);
                }
                at
            }
            Value::Bool(_) | Value::I8(_) | Value::U8(_) | Value::I32(_) | Value::U32(_) | Value::F32(_) => {
                return None;
            }
        })
    }

    /// A vector whose elements start at a multiple of `align`.
    fn vector(&mut self, len: usize, align: usize, elements: impl Iterator<Item = u8>) -> usize {
        self.align(align.max(4), 4);
        let at = self.bytes.len();
        self.bytes.extend((len as u32).to_le_bytes());
        self.bytes.extend(elements);
        at
    }
}
