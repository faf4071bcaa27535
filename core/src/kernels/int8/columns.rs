//! Which way some columns of a row are made.

#[cfg(cortex_m_dsp)]
use super::blocks;
use super::conv::Int8Columns;
use crate::vector::{Kernel, Simd};

impl Kernel for Int8Columns<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        #[cfg(cortex_m_dsp)]
        if blocks::suit(self.stage) {
            return blocks::run(self);
        }
        self.run_one_by_one();
    }
}
