//! Types of elements.

use std::fmt::{self, Display, Formatter};

/// The type of a tensor's elements, with its number in the schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i8)]
#[non_exhaustive]
pub enum ElementType {
    /// 32-bit float.
    F32 = 0,
    /// 16-bit float.
    F16 = 1,
    /// Signed 32-bit integer.
    I32 = 2,
    /// Unsigned 8-bit integer.
    U8 = 3,
    /// Signed 64-bit integer.
    I64 = 4,
    /// Text.
    String = 5,
    /// A truth value in a byte.
    Bool = 6,
    /// Signed 16-bit integer.
    I16 = 7,
    /// Two 32-bit floats.
    Complex64 = 8,
    /// Signed 8-bit integer.
    I8 = 9,
    /// 64-bit float.
    F64 = 10,
    /// Two 64-bit floats.
    Complex128 = 11,
    /// Unsigned 64-bit integer.
    U64 = 12,
    /// A handle of the runtime's.
    Resource = 13,
    /// Any value of the runtime's.
    Variant = 14,
    /// Unsigned 32-bit integer.
    U32 = 15,
    /// Unsigned 16-bit integer.
    U16 = 16,
    /// Signed 4-bit integer, two in a byte.
    I4 = 17,
    /// The upper half of a 32-bit float.
    Bf16 = 18,
    /// Signed 2-bit integer, four in a byte.
    I2 = 19,
    /// Unsigned 4-bit integer, two in a byte.
    U4 = 20,
    /// 8-bit float with 3 bits of mantissa.
    F8E4m3fn = 21,
    /// 8-bit float with 2 bits of mantissa.
    F8E5m2 = 22,
}

/// All types in the order of their numbers, with the schema's word and the bytes of an element, if it has a whole number.
const TYPES: [(ElementType, &str, Option<usize>); 23] = {
    use ElementType::*;
    [
        (F32, "FLOAT32", Some(4)),
        (F16, "FLOAT16", Some(2)),
        (I32, "INT32", Some(4)),
        (U8, "UINT8", Some(1)),
        (I64, "INT64", Some(8)),
        (String, "STRING", None),
        (Bool, "BOOL", Some(1)),
        (I16, "INT16", Some(2)),
        (Complex64, "COMPLEX64", Some(8)),
        (I8, "INT8", Some(1)),
        (F64, "FLOAT64", Some(8)),
        (Complex128, "COMPLEX128", Some(16)),
        (U64, "UINT64", Some(8)),
        (Resource, "RESOURCE", None),
        (Variant, "VARIANT", None),
        (U32, "UINT32", Some(4)),
        (U16, "UINT16", Some(2)),
        (I4, "INT4", None),
        (Bf16, "BFLOAT16", Some(2)),
        (I2, "INT2", None),
        (U4, "UINT4", None),
        (F8E4m3fn, "FLOAT8_E4M3FN", Some(1)),
        (F8E5m2, "FLOAT8_E5M2", Some(1)),
    ]
};

impl ElementType {
    /// The type with this number in the schema.
    pub fn from_code(code: i8) -> Option<Self> {
        TYPES.get(usize::try_from(code).ok()?).map(|(element, _, _)| *element)
    }

    /// Its number in the schema.
    pub fn code(self) -> i8 {
        self as i8
    }

    /// The schema's word for it.
    pub fn name(self) -> &'static str {
        TYPES.get(self as usize).map_or("", |(_, name, _)| name)
    }

    /// Bytes of an element; `None` if an element has no whole number of them.
    pub fn bytes(self) -> Option<usize> {
        TYPES.get(self as usize).and_then(|(_, _, bytes)| *bytes)
    }
}

impl Display for ElementType {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_the_order_of_the_numbers() {
        for (code, (element, name, bytes)) in (0..).zip(TYPES) {
            assert_eq!((element.code(), ElementType::from_code(code)), (code, Some(element)));
            assert_eq!((element.name(), element.bytes()), (name, bytes));
        }
        assert_eq!((ElementType::from_code(23), ElementType::from_code(-1)), (None, None));
        assert_eq!((ElementType::I8.code(), ElementType::I8.name()), (9, "INT8"));
    }
}
