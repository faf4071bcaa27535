//! Checked access to the tables, vectors and strings of a FlatBuffer.
//!
//! The format is that of the FlatBuffers project ("FlatBuffers internals"). All numbers are little-endian, and every reference is a
//! distance in bytes:
//!
//! ```text
//! file      u32 distance to the root table, 4 bytes that identify the format, the rest in any order
//! table     i32 distance back to its vtable, then its fields
//! vtable    u16 bytes of the vtable, u16 bytes of the table, then for each field of the schema a u16: where in the table
//!           it is, 0 if it has its default
//! vector    u32 number of elements, then the elements
//! string    a vector of bytes
//! ```
//!
//! A field that refers to something holds a u32: the distance from the field itself. It points forwards, and so nothing
//! can hold itself. Addresses need not be aligned here. Nothing is allocated.

use std::marker::PhantomData;

/// A field of a table: its number in the schema and its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) slot: usize,
    pub(super) name: &'static str,
}

/// What can be wrong with the structure of a FlatBuffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Damage {
    /// Something lies beyond the end of the file.
    #[error("{what}: expected {bytes} bytes from byte {at} on, found a file of {file} bytes")]
    Outside {
        /// What was to be read.
        what: &'static str,
        /// Where it starts.
        at: usize,
        /// Its length in bytes.
        bytes: usize,
        /// Bytes of the file.
        file: usize,
    },
    /// A vtable begins before the file or behind what can be addressed; the distance from its table.
    #[error("{what}: expected a vtable inside the file, found it {back} bytes before the table at byte {at}")]
    VTablePlace {
        /// The table.
        what: &'static str,
        /// Where the table starts.
        at: usize,
        /// Distance from the vtable to the table.
        back: i32,
    },
    /// A vtable whose own numbers make no sense.
    #[error(
        "{what}: expected a vtable of at least 4 bytes and an even number, for a table of at least 4; found {vtable} and {table}"
    )]
    VTable {
        /// The table.
        what: &'static str,
        /// Bytes of the vtable, as it says.
        vtable: usize,
        /// Bytes of the table, as the vtable says.
        table: usize,
    },
    /// A field beyond its table, or on the table's first four bytes.
    #[error("{what}: expected {bytes} bytes between bytes 4 and {table} of its table, found it at byte {at}")]
    Field {
        /// The field.
        what: &'static str,
        /// Its length in bytes.
        bytes: usize,
        /// Where it starts in its table.
        at: usize,
        /// Bytes of the table.
        table: usize,
    },
    /// A vector with more elements than fit the file.
    #[error("{what}: expected at most {room} bytes of elements, found {len} elements of {size} bytes")]
    Vector {
        /// The vector.
        what: &'static str,
        /// Its number of elements.
        len: usize,
        /// Bytes of an element.
        size: usize,
        /// Bytes between the vector's start and the end of the file.
        room: usize,
    },
    /// A reference to itself.
    #[error("{what}: expected the distance to something else, found 0 at byte {at}")]
    Null {
        /// The field or the vector.
        what: &'static str,
        /// Where the reference is.
        at: usize,
    },
    /// A place in a vector that it does not have.
    #[error("{what}: expected an index below {len}, found {index}")]
    Index {
        /// The vector.
        what: &'static str,
        /// The index.
        index: usize,
        /// Its number of elements.
        len: usize,
    },
}

/// A number in the file.
pub(super) trait Scalar: Copy {
    /// Its length in bytes.
    const SIZE: usize;

    /// From [`Self::SIZE`] bytes; `None` if there are fewer or more.
    fn from_bytes(bytes: &[u8]) -> Option<Self>;
}

macro_rules! scalars {
    ($($number:ty),*) => { $(
        impl Scalar for $number {
            const SIZE: usize = size_of::<$number>();

            fn from_bytes(bytes: &[u8]) -> Option<Self> {
                Some(Self::from_le_bytes(bytes.try_into().ok()?))
            }
        }
    )* };
}

scalars!(u8, i8, u16, i32, u32, i64, u64, f32);

impl Scalar for bool {
    const SIZE: usize = 1;

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        u8::from_bytes(bytes).map(|byte| byte != 0)
    }
}

fn part<'a>(file: &'a [u8], what: &'static str, at: usize, bytes: usize) -> Result<&'a [u8], Damage> {
    let end = at.checked_add(bytes);
    end.and_then(|end| file.get(at..end)).ok_or(Damage::Outside { what, at, bytes, file: file.len() })
}

fn number<T: Scalar>(file: &[u8], what: &'static str, at: usize) -> Result<T, Damage> {
    let outside = Damage::Outside { what, at, bytes: T::SIZE, file: file.len() };
    T::from_bytes(part(file, what, at, T::SIZE)?).ok_or(outside)
}

/// The place that the reference at `at` leads to.
fn follow(file: &[u8], what: &'static str, at: usize) -> Result<usize, Damage> {
    match number::<u32>(file, what, at)? as usize {
        0 => Err(Damage::Null { what, at }),
        distance => at.checked_add(distance).ok_or(Damage::Outside { what, at, bytes: distance, file: file.len() }),
    }
}

/// The four bytes that identify the format.
pub(super) fn identifier(file: &[u8]) -> Result<[u8; 4], Damage> {
    const WHAT: &str = "file identifier";
    let bytes = part(file, WHAT, 4, 4)?;
    bytes.try_into().map_err(|_| Damage::Outside { what: WHAT, at: 4, bytes: 4, file: file.len() })
}

/// A table whose vtable and bytes are inside the file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Table<'a> {
    file: &'a [u8],
    at: usize,
    /// Bytes of the table.
    len: usize,
    /// For each field where it is in the table.
    places: &'a [u8],
}

impl<'a> Table<'a> {
    /// The table that the file starts with; `what` names it in errors.
    pub(super) fn root(file: &'a [u8], what: &'static str) -> Result<Self, Damage> {
        Self::at(file, follow(file, what, 0)?, what)
    }

    fn at(file: &'a [u8], at: usize, what: &'static str) -> Result<Self, Damage> {
        let back: i32 = number(file, what, at)?;
        let start = i64::try_from(at).ok().and_then(|at| usize::try_from(at - i64::from(back)).ok());
        let start = start.ok_or(Damage::VTablePlace { what, at, back })?;
        let vtable = usize::from(number::<u16>(file, what, start)?);
        let len = usize::from(number::<u16>(file, what, start.saturating_add(2))?);
        if vtable < 4 || vtable % 2 == 1 || len < 4 {
            return Err(Damage::VTable { what, vtable, table: len });
        }
        let places = part(file, what, start, vtable)?.get(4..).unwrap_or(&[]);
        part(file, what, at, len)?;
        Ok(Self { file, at, len, places })
    }

    /// Where a field of `bytes` bytes is in the file.
    fn place(&self, field: Field, bytes: usize) -> Result<Option<usize>, Damage> {
        let place = self.places.get(2 * field.slot..2 * field.slot + 2).and_then(u16::from_bytes);
        match place.map_or(0, usize::from) {
            0 => Ok(None),
            at if at < 4 || at + bytes > self.len => {
                Err(Damage::Field { what: field.name, bytes, at, table: self.len })
            }
            at => Ok(Some(self.at + at)),
        }
    }

    /// A number, or what it is where the file leaves it out.
    pub(super) fn number<T: Scalar>(&self, field: Field, default: T) -> Result<T, Damage> {
        self.place(field, T::SIZE)?.map_or(Ok(default), |at| number(self.file, field.name, at))
    }

    /// Whether the field is there at all.
    pub(super) fn has(&self, field: Field) -> Result<bool, Damage> {
        Ok(self.place(field, 1)?.is_some())
    }

    fn target(&self, field: Field) -> Result<Option<usize>, Damage> {
        self.place(field, u32::SIZE)?.map(|at| follow(self.file, field.name, at)).transpose()
    }

    pub(super) fn table(&self, field: Field) -> Result<Option<Table<'a>>, Damage> {
        self.target(field)?.map(|at| Table::at(self.file, at, field.name)).transpose()
    }

    pub(super) fn vector<T: Scalar>(&self, field: Field) -> Result<Option<Vector<'a, T>>, Damage> {
        let elements = self.target(field)?.map(|at| elements(self.file, at, T::SIZE, field.name)).transpose()?;
        Ok(elements.map(|(_, bytes)| Vector { bytes, element: PhantomData }))
    }

    /// Vector of references to tables.
    pub(super) fn tables(&self, field: Field) -> Result<Option<Tables<'a>>, Damage> {
        let elements = self.target(field)?.map(|at| elements(self.file, at, u32::SIZE, field.name)).transpose()?;
        let file = self.file;
        Ok(elements.map(|(start, bytes)| Tables { file, start, len: bytes.len() / u32::SIZE, what: field.name }))
    }
}

/// Where the elements of the vector at `at` start, and their bytes.
fn elements<'a>(file: &'a [u8], at: usize, size: usize, what: &'static str) -> Result<(usize, &'a [u8]), Damage> {
    let len = number::<u32>(file, what, at)? as usize;
    // The number was inside the file.
    let start = at + u32::SIZE;
    let room = file.len().saturating_sub(start);
    match len.checked_mul(size).filter(|bytes| *bytes <= room) {
        Some(bytes) => Ok((start, part(file, what, start, bytes)?)),
        None => Err(Damage::Vector { what, len, size, room }),
    }
}

/// A vector of numbers inside the file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Vector<'a, T> {
    bytes: &'a [u8],
    element: PhantomData<T>,
}

impl<'a, T: Scalar> Vector<'a, T> {
    pub(super) fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = T> + use<'a, T> {
        self.bytes.chunks_exact(T::SIZE).filter_map(T::from_bytes)
    }
}

/// A vector of tables. Each table is checked when it is asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tables<'a> {
    file: &'a [u8],
    start: usize,
    len: usize,
    what: &'static str,
}

impl<'a> Tables<'a> {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn get(&self, index: usize) -> Result<Table<'a>, Damage> {
        if index >= self.len {
            return Err(Damage::Index { what: self.what, index, len: self.len });
        }
        let at = follow(self.file, self.what, self.start + index * u32::SIZE)?;
        Table::at(self.file, at, self.what)
    }
}
