//! Which vectors to use: found out once on a host, known on a device.
//!
//! | level | lanes | blocks for 32 registers | where | taken by [`Level::detect`] |
//! |---|---|---|---|---|
//! | [`Scalar`](Level::Scalar) | 1 | no | everywhere | without feature `std` |
//! | [`Portable`](Level::Portable) | 4 | no | feature `std` | on processors that are none of those below |
//! | `Neon` | 4 | yes | `std`, 64-bit Arm | there, always |
//! | `Avx2` | 8 | no | `std`, x86-64 with AVX2, FMA and F16C | if the processor has no AVX-512F |
//! | `Avx512` | 16 | yes | `std`, x86-64 with AVX-512F and all of AVX2's | if the processor has it |
//!
//! More lanes also mean other ways through a convolution (`kernels/conv/mod.rs` lists them). On a Cortex-M with an FPU,
//! `Scalar` takes the assembly of `kernels/sparse/cortex_m.rs` for its inner loops.

#[cfg(feature = "std")]
use std::sync::OnceLock;

#[cfg(all(feature = "std", target_arch = "aarch64"))]
use super::neon;
#[cfg(feature = "std")]
use super::portable::Portable;
use super::portable::Scalar;
use super::{Kernel, Simd};
#[cfg(all(feature = "std", target_arch = "x86_64"))]
use super::{x86, x86_token};

/// The vectors to use. A model has one: [`Model::with_level`](crate::Model::with_level).
///
/// ```
/// use midge_core::Level;
///
/// assert_eq!(Level::Scalar.lanes(), 1);
/// println!("this processor takes {:?}, {} values at a time", Level::detect(), Level::detect().lanes());
/// ```
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
    /// The best level of this processor. Without feature `std` always [`Level::Scalar`]; with it, a lower one if the environment
    /// variable [`MIDGE_LEVEL`](Self::VARIABLE) has the name of one when the first model is made.
    pub fn detect() -> Self {
        #[cfg(feature = "std")]
        {
            static CHOSEN: OnceLock<Level> = OnceLock::new();
            let named = || std::env::var(Self::VARIABLE).ok().and_then(|name| Self::named(&name));
            *CHOSEN.get_or_init(|| named().unwrap_or(Self::best()))
        }
        #[cfg(not(feature = "std"))]
        Self::best()
    }

    /// Names a level for [`Self::detect`].
    #[cfg(feature = "std")]
    pub const VARIABLE: &str = "MIDGE_LEVEL";

    /// The level of this processor that is called so, in small letters.
    ///
    /// ```
    /// use midge_core::Level;
    ///
    /// assert_eq!(Level::named("scalar"), Some(Level::Scalar));
    /// assert_eq!(Level::named("sse"), None);
    /// ```
    #[cfg(feature = "std")]
    pub fn named(name: &str) -> Option<Self> {
        Self::all().find(|level| level.name() == name)
    }

    /// What it is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::Portable => "portable",
            #[cfg(all(feature = "std", target_arch = "aarch64"))]
            Self::Neon => "neon",
            #[cfg(all(feature = "std", target_arch = "x86_64"))]
            Self::Avx2 => "avx2",
            #[cfg(all(feature = "std", target_arch = "x86_64"))]
            Self::Avx512 => "avx512",
        }
    }

    fn best() -> Self {
        #[cfg(all(feature = "std", target_arch = "x86_64"))]
        {
            if x86_token::Avx512::detect().is_some() {
                return Self::Avx512;
            }
            if x86_token::Avx2::detect().is_some() {
                return Self::Avx2;
            }
        }
        #[cfg(all(feature = "std", target_arch = "aarch64"))]
        return Self::Neon;
        #[cfg(not(all(feature = "std", target_arch = "aarch64")))]
        if cfg!(feature = "std") { Self::Portable } else { Self::Scalar }
    }

    /// Values per vector. For a level that the processor does not have, those of the level that runs in its place.
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

    /// The levels of this processor, the best one first.
    ///
    /// ```
    /// use midge_core::Level;
    ///
    /// assert!(Level::all().any(|level| level == Level::detect()));
    /// assert_eq!(Level::all().last(), Some(Level::Scalar));
    /// ```
    #[cfg(feature = "std")]
    pub fn all() -> impl Iterator<Item = Self> {
        let mut next = Some(Self::best());
        core::iter::from_fn(move || {
            let level = next?;
            next = level.lower();
            Some(level)
        })
    }

    /// The next lower level, which every processor with this one has too.
    #[cfg(feature = "std")]
    fn lower(self) -> Option<Self> {
        match self {
            Self::Scalar => None,
            Self::Portable => Some(Self::Scalar),
            #[cfg(target_arch = "aarch64")]
            Self::Neon => Some(Self::Portable),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => Some(Self::Portable),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => Some(Self::Avx2),
        }
    }

    /// Runs `kernel` at this level, or at the next lower one that the processor has.
    #[inline(always)]
    pub(crate) fn run<K: Kernel>(self, kernel: K) -> K::Output {
        #[cfg(all(feature = "std", target_arch = "x86_64"))]
        if self == Self::Avx512
            && let Some(simd) = x86_token::Avx512::detect()
        {
            return x86::run_avx512(simd, kernel);
        }
        #[cfg(all(feature = "std", target_arch = "x86_64"))]
        if matches!(self, Self::Avx512 | Self::Avx2)
            && let Some(simd) = x86_token::Avx2::detect()
        {
            return x86::run_avx2(simd, kernel);
        }
        match self {
            Self::Scalar => kernel.run(Scalar),
            #[cfg(all(feature = "std", target_arch = "aarch64"))]
            Self::Neon => kernel.run(neon::Neon),
            #[cfg(feature = "std")]
            _ => kernel.run(Portable),
            #[cfg(not(feature = "std"))]
            Self::Portable => kernel.run(Scalar),
        }
    }
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;
    use crate::number::Number;
    use half::f16;

    /// Loads the first `count` elements and stores as many; what lies behind stays as it was.
    struct Ends<T>([T; 16], usize);

    impl<T: Number> Kernel for Ends<T> {
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
    fn levels_go_down_to_one_lane() {
        let lanes: std::vec::Vec<usize> = Level::all().map(Level::lanes).collect();
        assert!(lanes.is_sorted_by(|a, b| a >= b) && lanes.ends_with(&[4, 1]), "{lanes:?}");
        assert_eq!(Level::all().next(), Some(Level::best()));
        assert!(Level::all().all(|level| Level::named(level.name()) == Some(level)));
    }

    /// A level that the processor does not have is not taken for the lowest one.
    #[test]
    #[cfg(target_arch = "x86_64")]
    fn a_level_that_is_not_there_gives_way_to_the_next_lower_one() {
        let best = Level::best().lanes();
        assert_eq!(Level::Avx512.lanes(), best);
        assert_eq!(Level::Avx2.lanes(), best.min(8));
    }

    #[test]
    fn vectors_end_where_slices_end() {
        let x: [f32; 16] = core::array::from_fn(|i| i as f32 + 1.0);
        for level in Level::all() {
            for count in 0..=16 {
                level.run(Ends(x, count));
                level.run(Ends(x.map(f16::from_f32), count));
            }
        }
    }
}
