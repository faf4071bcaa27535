//! Vectors of f32: one algorithm, the number of lanes as a parameter.
//!
//! A microcontroller runs every kernel with [`Scalar`], a host with the widest vectors it has. The kernels
//! accumulate each output in the same order whatever the lanes, so that only the rounding of a fused
//! multiply-add (and of a sum over lanes) can differ.

#[cfg(cortex_m_fpu)]
pub(crate) mod cortex_m;
#[cfg(all(feature = "std", target_arch = "aarch64"))]
mod neon;
mod portable;
#[cfg(all(feature = "std", target_arch = "x86_64"))]
mod x86;

use crate::element::Element;
pub(crate) use portable::Scalar;

/// Vector operations; `self` is the proof that the processor has them.
pub(crate) trait Simd: Copy {
    /// [`Self::LANES`] values.
    type Vector: Copy;
    /// Lanes of a vector; divides 32.
    const LANES: usize;
    /// Whether there are 32 vector registers rather than 16.
    const MANY_REGISTERS: bool;

    fn splat(self, x: f32) -> Self::Vector;
    /// The first `LANES` elements of `x`; zeros where it is shorter.
    fn load<T: Element>(self, x: &[T]) -> Self::Vector;
    /// The elements of a vector in memory.
    type Array<T: Element>: Copy;
    /// As many whole vectors as `x` has.
    fn arrays<T: Element>(x: &[T]) -> &[Self::Array<T>];
    fn load_array<T: Element>(self, x: &Self::Array<T>) -> Self::Vector;
    /// Writes as many lanes as `out` takes.
    fn store(self, x: Self::Vector, out: &mut [f32]);
    /// `a * b + c`
    fn mul_add(self, a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector;
    /// Bit `i` is set where lane `i` of `a` is greater than that of `b`.
    fn greater(self, a: Self::Vector, b: Self::Vector) -> u32;
    /// Bit `i` is set where lane `i` is not zero.
    fn not_zero(self, x: Self::Vector) -> u32;
    fn max(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// Sum of all lanes.
    fn sum(self, x: Self::Vector) -> f32;
    /// The vectors as numbers, if they have one lane.
    #[inline(always)]
    fn as_scalars(_: &mut [Self::Vector]) -> Option<&mut [f32]> {
        None
    }
    /// Runs `kernel` as a function of its own: one copy of it, however many places call it.
    fn call<K: Kernel>(self, kernel: K) -> K::Output;
}

/// Work that can run with any vectors.
pub(crate) trait Kernel {
    type Output;
    fn run<S: Simd>(self, simd: S) -> Self::Output;
}

/// The vectors to use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Level {
    /// One value at a time: any processor.
    Scalar,
    /// Four lanes in plain Rust, for the compiler to map to what the processor has.
    Portable,
    /// NEON with fused multiply-add.
    #[cfg(all(feature = "std", target_arch = "aarch64"))]
    Neon,
    /// AVX2 with fused multiply-add.
    #[cfg(all(feature = "std", target_arch = "x86_64"))]
    Avx2,
    /// AVX-512F.
    #[cfg(all(feature = "std", target_arch = "x86_64"))]
    Avx512,
}

impl Level {
    /// The best level of this processor. Without feature `std` always [`Level::Scalar`].
    pub fn detect() -> Self {
        #[cfg(all(feature = "std", target_arch = "x86_64"))]
        {
            if x86::Avx512::detect().is_some() {
                return Self::Avx512;
            }
            if x86::Avx2::detect().is_some() {
                return Self::Avx2;
            }
        }
        #[cfg(all(feature = "std", target_arch = "aarch64"))]
        return Self::Neon;
        #[cfg(not(all(feature = "std", target_arch = "aarch64")))]
        if cfg!(feature = "std") { Self::Portable } else { Self::Scalar }
    }

    /// Values per vector.
    pub fn lanes(self) -> usize {
        struct Lanes;
        impl Kernel for Lanes {
            type Output = usize;
            #[inline(always)]
            fn run<S: Simd>(self, _: S) -> usize {
                S::LANES
            }
        }
        self.run(Lanes)
    }

    /// Runs `kernel` at this level, or at the next lower one that the processor has.
    #[inline(always)]
    pub(crate) fn run<K: Kernel>(self, kernel: K) -> K::Output {
        match self {
            #[cfg(all(feature = "std", target_arch = "x86_64"))]
            Self::Avx512 => match x86::Avx512::detect() {
                Some(simd) => x86::run_avx512(simd, kernel),
                None => kernel.run(Scalar),
            },
            #[cfg(all(feature = "std", target_arch = "x86_64"))]
            Self::Avx2 => match x86::Avx2::detect() {
                Some(simd) => x86::run_avx2(simd, kernel),
                None => kernel.run(Scalar),
            },
            #[cfg(all(feature = "std", target_arch = "aarch64"))]
            Self::Neon => kernel.run(neon::Neon),
            #[cfg(feature = "std")]
            Self::Portable => kernel.run(portable::Portable),
            _ => kernel.run(Scalar),
        }
    }
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;
    use half::f16;

    /// Loads the first `count` elements and stores as many; what lies behind stays as it was.
    struct Ends<T>([T; 16], usize);

    impl<T: Element> Kernel for Ends<T> {
        type Output = ();

        fn run<S: Simd>(self, simd: S) {
            let Self(x, count) = self;
            let vector = simd.load(&x[..count]);
            let (mut whole, mut part) = ([7.0; 16], [7.0; 16]);
            simd.store(vector, &mut whole[..S::LANES]);
            simd.store(vector, &mut part[..count]);
            for i in 0..16 {
                let there = i < count.min(S::LANES);
                assert_eq!(part[i], if there { x[i].to_f32() } else { 7.0 }, "{count} of {} lanes", S::LANES);
                let expected = if there { x[i].to_f32() } else { 0.0 };
                assert_eq!(whole[i], if i < S::LANES { expected } else { 7.0 }, "{count} of {} lanes", S::LANES);
            }
        }
    }

    #[test]
    fn vectors_end_where_slices_end() {
        let x: [f32; 16] = core::array::from_fn(|i| i as f32 + 1.0);
        let levels = [Level::Scalar, Level::Portable, Level::detect()];
        #[cfg(target_arch = "x86_64")]
        let levels = [levels[0], levels[1], levels[2], Level::Avx2];
        for level in levels {
            for count in 0..=16 {
                level.run(Ends(x, count));
                level.run(Ends(x.map(f16::from_f32), count));
            }
        }
    }
}
