//! Protocol buffers on the wire: fields with a number, each a varint, four or eight bytes, or bytes with a length.

use super::error::OnnxError;

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Content<'b> {
    Varint(u64),
    Fixed32([u8; 4]),
    Fixed64([u8; 8]),
    Bytes(&'b [u8]),
}

impl<'b> Content<'b> {
    /// Nothing if it is of another kind, as for a reader of an older schema.
    pub(super) fn bytes(self) -> &'b [u8] {
        if let Self::Bytes(bytes) = self { bytes } else { &[] }
    }

    pub(super) fn text(self) -> &'b str {
        str::from_utf8(self.bytes()).unwrap_or_default()
    }

    pub(super) fn integer(self) -> i64 {
        if let Self::Varint(number) = self { number as i64 } else { 0 }
    }

    /// Adds the integers of a repeated field, which may be packed.
    pub(super) fn integers(self, to: &mut Vec<i64>) -> Result<(), OnnxError> {
        match self {
            Self::Bytes(mut bytes) => {
                while !bytes.is_empty() {
                    to.push(varint(&mut bytes).ok_or(OnnxError::Wire)? as i64);
                }
            }
            other => to.push(other.integer()),
        }
        Ok(())
    }

    /// Adds the numbers of a repeated field, which may be packed.
    pub(super) fn floats(self, to: &mut Vec<f32>) {
        match self {
            Self::Bytes(bytes) => {
                to.extend(bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])))
            }
            Self::Fixed32(bytes) => to.push(f32::from_le_bytes(bytes)),
            _ => {}
        }
    }

    /// The same for numbers of eight bytes.
    pub(super) fn doubles(self, to: &mut Vec<f64>) {
        match self {
            Self::Bytes(bytes) => {
                let chunks = bytes.chunks_exact(8).filter_map(|chunk| chunk.first_chunk::<8>());
                to.extend(chunks.map(|chunk| f64::from_le_bytes(*chunk)));
            }
            Self::Fixed64(bytes) => to.push(f64::from_le_bytes(bytes)),
            _ => {}
        }
    }
}

/// The fields of a message.
#[derive(Debug, Clone)]
pub(super) struct Fields<'b>(pub(super) &'b [u8]);

impl<'b> Iterator for Fields<'b> {
    type Item = Result<(u64, Content<'b>), OnnxError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field().ok_or(OnnxError::Wire);
        if field.is_err() {
            self.0 = &[];
        }
        Some(field)
    }
}

impl<'b> Fields<'b> {
    fn field(&mut self) -> Option<(u64, Content<'b>)> {
        let key = varint(&mut self.0)?;
        let content = match key & 7 {
            0 => Content::Varint(varint(&mut self.0)?),
            1 => {
                let (bytes, rest) = self.0.split_first_chunk()?;
                self.0 = rest;
                Content::Fixed64(*bytes)
            }
            2 => {
                let length = usize::try_from(varint(&mut self.0)?).ok()?;
                let bytes = self.0.get(..length)?;
                self.0 = &self.0[length..];
                Content::Bytes(bytes)
            }
            5 => {
                let (bytes, rest) = self.0.split_first_chunk()?;
                self.0 = rest;
                Content::Fixed32(*bytes)
            }
            _ => return None,
        };
        Some((key >> 3, content))
    }
}

/// Reads a number of seven bits a byte, the lowest first, off the front.
fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}
