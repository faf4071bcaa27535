//! Where the walk through a stage's rows stands.

/// How many rows a stage has received and made. No stage has more than 2^14 of them and a few of padding.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Progress {
    received: u16,
    made: u16,
}

impl Progress {
    /// Rows that it has received.
    pub(super) fn received(self) -> usize {
        usize::from(self.received)
    }

    /// Rows that it has made.
    pub(super) fn made(self) -> usize {
        usize::from(self.made)
    }

    /// Counts a received row and returns its number.
    pub(super) fn receive(&mut self) -> usize {
        self.received += 1;
        usize::from(self.received - 1)
    }

    /// Counts a row that was made and returns its number.
    pub(super) fn make(&mut self) -> usize {
        self.made += 1;
        usize::from(self.made - 1)
    }
}
