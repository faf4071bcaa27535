//! What the walk through rows needs to know of the numbers that it carries: f32 with a bit for each that is not zero, or integers
//! of 8 bits.

use bytemuck::Pod;

use super::contribution::contribute;
use super::operands::{Int8Operands, Operands};
use super::sources::{InputRowGradient, Int8Image, NewRow, Sources};
use crate::kernels::average;
use crate::kernels::conv::{Columns, GradientRow};
use crate::kernels::int8;
use crate::kernels::sparse::live_bits;
use crate::model::{Chain, Model, Weights};
use crate::network::plan::{Spatial, WORD_BITS};
use crate::span::{span, span_mut, split, split_mut};
use crate::vector::Simd;

/// The numbers of a pass.
pub(crate) trait Arithmetic: Weights {
    /// What a row consists of.
    type Value: Pod;
    /// What an image consists of.
    type Image<'a>: Copy + From<&'a [f32]>;

    /// Elements of `slots` padded input rows with their bits.
    fn input_rows_len(stage: &Spatial, slots: usize) -> usize;
    /// Elements of a row of the output's size that a stage keeps.
    fn own_row_len(stage: &Spatial) -> usize;
    /// Input rows, and their bits.
    fn split<'b>(rows: &'b [Self::Value], stage: &Spatial, slots: usize) -> (&'b [Self::Value], &'b [u32]);
    /// [`Self::split`], to be written to.
    fn split_mut<'b>(
        rows: &'b mut [Self::Value],
        stage: &Spatial,
        slots: usize,
    ) -> (&'b mut [Self::Value], &'b mut [u32]);
    /// Words of bits of a padded row.
    fn row_words(stage: &Spatial) -> usize;
    /// What stands for nothing in what stage `index` reads.
    fn zero(model: &Model<'_, Self>, index: usize) -> Self::Value;
    /// Notes which values of a row are not zero.
    fn finish<S: Simd>(simd: S, row: NewRow<'_, Self::Value>);
    /// A whole image as a network without spatial stages reads it; `place` has room for it where it has to be converted.
    fn whole_image<'i: 'b, 'b>(
        model: &Model<'_, Self>,
        image: Self::Image<'i>,
        place: &'b mut [Self::Value],
    ) -> &'b [Self::Value];
    /// The pixels of an image from `first` on, as many as `target` takes, as the first stage reads them.
    fn read_image(model: &Model<'_, Self>, image: Self::Image<'_>, first: usize, target: &mut [Self::Value]);
    /// Makes as many columns of stage `index` as `out` takes, and their bits unless `masks` is empty.
    fn make<S: Simd>(
        simd: S,
        model: &Model<'_, Self>,
        stage: (usize, &Spatial),
        sources: Sources<'_, Self::Value>,
        out: &mut [Self::Value],
        masks: &mut [u32],
    );
    /// Adds an input row to an average's sums.
    fn add_up(stage: &Spatial, x: &[Self::Value], sums: &mut [Self::Value]);
}

/// What the walk back through rows of floating-point numbers needs to know besides.
pub(crate) trait FloatArithmetic: Arithmetic {
    /// Adds what an output row of stage `index` contributes to the gradient of the input row that `to` names.
    fn contribute<S: Simd>(
        simd: S,
        model: &Model<'_, Self>,
        stage: (usize, &Spatial),
        output: &GradientRow<'_>,
        to: InputRowGradient<'_>,
    );
    /// Gradient of the inputs `first .. first + target.len()` of dense stage `index`. `wanted` has a bit for each, the others
    /// may become 0; if it is empty, all are wanted.
    fn dense_gradient<S: Simd>(
        simd: S,
        model: &Model<'_, Self>,
        index: usize,
        gradient: &[f32],
        inputs: (usize, &[u32]),
        target: &mut [f32],
    );
}

macro_rules! float {
    ($weights:ty) => {
        impl Arithmetic for $weights {
            type Value = f32;
            type Image<'a> = &'a [f32];

            #[inline(always)]
            fn input_rows_len(stage: &Spatial, slots: usize) -> usize {
                stage.rows_len(slots)
            }
            #[inline(always)]
            fn own_row_len(stage: &Spatial) -> usize {
                stage.output().row_len()
            }
            #[inline(always)]
            fn split<'b>(rows: &'b [f32], stage: &Spatial, slots: usize) -> (&'b [f32], &'b [u32]) {
                let (values, live) = split(rows, stage.values_len(slots));
                (values, bytemuck::cast_slice(live))
            }
            #[inline(always)]
            fn split_mut<'b>(rows: &'b mut [f32], stage: &Spatial, slots: usize) -> (&'b mut [f32], &'b mut [u32]) {
                let (values, live) = split_mut(rows, stage.values_len(slots));
                (values, bytemuck::cast_slice_mut(live))
            }
            #[inline(always)]
            fn row_words(stage: &Spatial) -> usize {
                stage.row_words()
            }
            #[inline(always)]
            fn zero(_: &Model<'_, Self>, _: usize) -> f32 {
                0.0
            }
            #[cfg_attr(cortex_m_fpu, inline(never))]
            #[cfg_attr(not(cortex_m_fpu), inline(always))]
            fn finish<S: Simd>(simd: S, row: NewRow<'_, f32>) {
                for (live, x) in row.live.iter_mut().zip(row.values.chunks(WORD_BITS)) {
                    *live = live_bits(simd, x);
                }
            }
            #[inline(always)]
            fn whole_image<'i: 'b, 'b>(_: &Model<'_, Self>, image: &'i [f32], _: &'b mut [f32]) -> &'b [f32] {
                image
            }
            #[inline(always)]
            fn read_image(_: &Model<'_, Self>, image: &[f32], first: usize, target: &mut [f32]) {
                let image = span(image, first, target.len());
                target.iter_mut().zip(image).for_each(|(target, x)| *target = *x);
            }
            #[inline(always)]
            fn make<S: Simd>(
                simd: S,
                model: &Model<'_, Self>,
                (index, stage): (usize, &Spatial),
                Sources { window, own, first, .. }: Sources<'_, f32>,
                out: &mut [f32],
                masks: &mut [u32],
            ) {
                let conv = model.conv(index, stage);
                if Self::GRAPHS {
                    Operands { conv, window, own, first }.run(simd, out, masks);
                } else {
                    Columns { conv, window, first, out, masks }.run(simd);
                }
            }
            #[inline(always)]
            fn add_up(stage: &Spatial, x: &[f32], sums: &mut [f32]) {
                average::add_row(stage, x, sums);
            }
        }

        impl FloatArithmetic for $weights {
            #[inline(always)]
            fn contribute<S: Simd>(
                simd: S,
                model: &Model<'_, Self>,
                (index, stage): (usize, &Spatial),
                output: &GradientRow<'_>,
                to: InputRowGradient<'_>,
            ) {
                contribute(simd, model.conv(index, stage), output, to);
            }
            #[inline(always)]
            fn dense_gradient<S: Simd>(
                simd: S,
                model: &Model<'_, Self>,
                index: usize,
                gradient: &[f32],
                (first, wanted): (usize, &[u32]),
                target: &mut [f32],
            ) {
                if let Some(dense) = model.dense(index) {
                    dense.input_gradient(simd, gradient, first, wanted, target);
                }
            }
        }
    };
}

float!(f32);
float!(half::f16);
float!(Chain<f32>);
float!(Chain<half::f16>);

impl Arithmetic for i8 {
    type Value = i8;
    type Image<'a> = Int8Image<'a>;

    fn input_rows_len(stage: &Spatial, slots: usize) -> usize {
        stage.values_len(slots)
    }
    fn own_row_len(stage: &Spatial) -> usize {
        stage.int8_own_row_len()
    }
    fn split<'b>(rows: &'b [i8], _: &Spatial, _: usize) -> (&'b [i8], &'b [u32]) {
        (rows, &[])
    }
    fn split_mut<'b>(rows: &'b mut [i8], stage: &Spatial, slots: usize) -> (&'b mut [i8], &'b mut [u32]) {
        (split_mut(rows, stage.values_len(slots)).0, &mut [])
    }
    fn row_words(_: &Spatial) -> usize {
        0
    }
    fn zero(model: &Model<'_, Self>, index: usize) -> i8 {
        model.quantised(index).range.input as i8
    }
    fn finish<S: Simd>(_: S, _: NewRow<'_, i8>) {}
    fn whole_image<'i: 'b, 'b>(model: &Model<'_, Self>, image: Int8Image<'i>, place: &'b mut [i8]) -> &'b [i8] {
        let place = span_mut(place, 0, image.len());
        Self::read_image(model, image, 0, place);
        place
    }
    // With a host's vectors.
    #[cfg_attr(feature = "std", inline(always))]
    fn read_image(model: &Model<'_, Self>, image: Int8Image<'_>, first: usize, target: &mut [i8]) {
        match image {
            Int8Image::Real(image) => {
                let grid = model.image_grid();
                let image = span(image, first, target.len());
                target.iter_mut().zip(image).for_each(|(target, x)| *target = grid.round(*x));
            }
            Int8Image::Integers(image) => {
                let image = span(image, first, target.len());
                if image.len() == target.len() {
                    target.copy_from_slice(image);
                }
            }
            Int8Image::Moved(clean, changes, unit) => {
                let (clean, changes) = (span(clean, first, target.len()), span(changes, first, target.len()));
                for ((target, clean), change) in target.iter_mut().zip(clean).zip(changes) {
                    *target = unit.pixel(*clean, *change);
                }
            }
        }
    }
    // On a device, where two walks call it, its code is there once.
    #[cfg_attr(feature = "std", inline(always))]
    #[cfg_attr(not(feature = "std"), inline(never))]
    fn make<S: Simd>(
        simd: S,
        model: &Model<'_, Self>,
        (index, stage): (usize, &Spatial),
        sources: Sources<'_, i8>,
        out: &mut [i8],
        masks: &mut [u32],
    ) {
        Int8Operands { layer: model.quantised(index), stage, sources }.run(simd, out, masks);
    }
    fn add_up(stage: &Spatial, x: &[i8], sums: &mut [i8]) {
        int8::average::add_row(stage, x, sums);
    }
}
