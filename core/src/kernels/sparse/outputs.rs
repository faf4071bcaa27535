//! Outputs that have a gradient, listed so that a processor can take several at a time.
//!
//! ```text
//! index      3   17   40   ..    up to OUTPUTS (20); each index is below `end`: one check covers all loads
//! gradient   g3  g17  g40  ..
//!            [-- GROUP (4) --]   assembly fills the last group up with gradients of 0
//! ```

/// Neighbouring outputs whose sums a scalar processor keeps in registers.
pub(crate) const ROW: usize = 16;

/// Outputs that assembly takes together.
#[cfg(cortex_m_fpu)]
const GROUP: usize = 4;

/// Most outputs in a list: whole groups, and little on the stack.
pub(super) const OUTPUTS: usize = 20;

/// A list of outputs and their gradients, in the layout that assembly reads.
#[repr(C)]
pub(crate) struct Outputs {
    pub(super) index: [usize; OUTPUTS],
    pub(super) gradient: [f32; OUTPUTS],
    pub(super) count: usize,
    pub(super) end: usize,
}

impl Outputs {
    /// An empty list of outputs below `end`.
    #[inline(always)]
    pub(crate) fn new(end: usize) -> Self {
        Self { index: [0; OUTPUTS], gradient: [0.0; OUTPUTS], count: 0, end }
    }

    /// Adds an output; true if that makes the list full.
    #[inline(always)]
    pub(crate) fn push(&mut self, index: usize, gradient: f32) -> bool {
        if let (Some(i), Some(g)) = (self.index.get_mut(self.count), self.gradient.get_mut(self.count))
            && index < self.end
        {
            (*i, *g) = (index, gradient);
            self.count += 1;
        }
        self.count == OUTPUTS
    }

    /// `target[o] += g[o]` for the listed outputs `o`. The list is empty then.
    pub(crate) fn pass_on(&mut self, target: &mut [f32]) {
        let count = core::mem::take(&mut self.count);
        for (index, g) in self.index.iter().zip(&self.gradient).take(count) {
            if let Some(target) = target.get_mut(*index) {
                *target += g;
            }
        }
    }

    /// The number of outputs after filling the last group with gradients of 0, and what every index is below.
    #[cfg(cortex_m_fpu)]
    pub(crate) fn whole_groups(&mut self) -> (usize, usize) {
        let whole = self.count.next_multiple_of(GROUP);
        for k in self.count..whole.min(OUTPUTS) {
            (self.index[k], self.gradient[k]) = (0, 0.0);
        }
        (whole, self.end)
    }
}
