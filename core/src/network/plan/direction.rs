//! The two ways through the stages.

/// A way through the stages.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    Forward,
    Backward,
}

impl Direction {
    /// The stage that comes as number `number` of `count`.
    pub(super) const fn stage(self, number: usize, count: usize) -> usize {
        match self {
            Self::Forward => number,
            Self::Backward => count - 1 - number,
        }
    }
}
