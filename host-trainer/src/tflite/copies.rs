//! Names and lists of numbers, which are copied out of a file.

use std::borrow::Cow;
use std::cell::Cell;

use super::error::Problem;
use super::flatbuffer::{Field, Scalar, Table};

/// How many times the length of the file its names and lists may be read in all. Known writers share nothing.
pub(super) const MOST_SHARED: usize = 4;

/// How much a file may still have copied: many tables may refer to the same name or list.
pub(super) struct Copies {
    /// Bytes that names and lists may have in all.
    most: usize,
    /// Those that have not been read yet.
    left: Cell<usize>,
}

impl Copies {
    /// Of a file of `len` bytes.
    pub(super) fn of(len: usize) -> Self {
        let most = len.saturating_mul(MOST_SHARED);
        Self { most, left: Cell::new(most) }
    }

    /// Counts the bytes of a name or list before it is copied: many tables may refer to the same one.
    fn spend(&self, bytes: usize) -> Result<(), Problem> {
        let left = self.left.get().checked_sub(bytes).ok_or(Problem::Shared { most: self.most })?;
        self.left.set(left);
        Ok(())
    }

    /// A list of numbers; empty if it is left out.
    pub(super) fn list<T: Scalar>(&self, table: Table<'_>, field: Field) -> Result<Vec<T>, Problem> {
        let Some(vector) = table.vector::<T>(field)? else { return Ok(Vec::new()) };
        self.spend(vector.bytes().len())?;
        Ok(vector.iter().collect())
    }

    /// Text; empty if it is left out.
    pub(super) fn text<'a>(&self, table: Table<'a>, field: Field) -> Result<Cow<'a, str>, Problem> {
        let Some(vector) = table.vector::<u8>(field)? else { return Ok(Cow::default()) };
        self.spend(vector.bytes().len())?;
        Ok(String::from_utf8_lossy(vector.bytes()))
    }
}
