//! The inner loops that a Cortex-M has in assembly, for the type of weights at hand. On other processors, and where the
//! slices do not suit the assembly, each function does nothing and says so: then the portable loop runs.

#[cfg(cortex_m_fpu)]
use super::cortex_m;
use super::outputs::{Outputs, ROW};
#[cfg(cortex_m_fpu)]
use crate::number::Kind;
use crate::number::Number;
#[cfg(cortex_m_fpu)]
use bytemuck::cast_slice;

/// [`add_live_rows`](super::add_live_rows) of sixteen sums; false if nothing was done.
#[inline(always)]
pub(super) fn add_live_rows<T: Number>(
    sums: &mut [f32; ROW],
    inputs: (&[f32], u32),
    (weights, stride): (&[T], usize),
) -> bool {
    #[cfg(cortex_m_fpu)]
    return match T::KIND {
        Kind::F32 => cortex_m::add_live_rows_f32(sums, inputs, (cast_slice(weights), stride)),
        Kind::F16 => cortex_m::add_live_rows_f16(sums, inputs, (cast_slice(weights), stride)),
        Kind::I8 => false,
    };
    #[cfg(not(cortex_m_fpu))]
    {
        let _ = (sums, inputs, weights, stride);
        false
    }
}

/// [`Outputs::add_dots`]; false if nothing was done.
#[inline(always)]
pub(super) fn add_dots<T: Number>(
    outputs: &mut Outputs,
    (weights, stride): (&[T], usize),
    wanted: u32,
    target: &mut [f32],
) -> bool {
    #[cfg(cortex_m_fpu)]
    return match T::KIND {
        Kind::F32 => cortex_m::add_dots_f32(outputs, (cast_slice(weights), stride), wanted, target),
        Kind::F16 => cortex_m::add_dots_f16(outputs, (cast_slice(weights), stride), wanted, target),
        Kind::I8 => false,
    };
    #[cfg(not(cortex_m_fpu))]
    {
        let _ = (outputs, weights, stride, wanted, target);
        false
    }
}

/// Dot products of the first elements of two rows with `x`: the sums, and how many elements they took.
#[inline(always)]
pub(crate) fn dots<T: Number>(rows: [&[T]; 2], x: &[f32]) -> ([f32; 2], usize) {
    #[cfg(cortex_m_fpu)]
    return match T::KIND {
        Kind::F32 => cortex_m::dots_f32(rows.map(|row| cast_slice(row)), x),
        Kind::F16 => cortex_m::dots_f16(rows.map(|row| cast_slice(row)), x),
        Kind::I8 => ([0.0; 2], 0),
    };
    #[cfg(not(cortex_m_fpu))]
    {
        let _ = (rows, x);
        ([0.0; 2], 0)
    }
}
