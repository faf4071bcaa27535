//! What one core of this machine can do at most: fused multiply-adds from registers, and bytes read from each level of
//! memory.

use std::hint::black_box;
use std::time::Instant;

/// Vectors that accumulate at once: more than the latency (4 cycles) times the units (2) of current processors.
const CHAINS: usize = 12;

/// Multiply-adds between two looks at the clock.
const ROUNDS: usize = 1 << 20;

/// The least of several times, in seconds: what disturbs only ever adds.
pub(crate) fn least_seconds(trials: usize, mut work: impl FnMut()) -> f64 {
    let mut time = || {
        let start = Instant::now();
        work();
        start.elapsed().as_secs_f64()
    };
    (0..trials).map(|_| time()).fold(f64::INFINITY, f64::min)
}

/// Multiply-adds of f32 per second on one core, and the vectors that reached it.
pub(crate) fn multiply_adds_per_second() -> (f64, &'static str) {
    #[cfg(target_arch = "x86_64")]
    {
        if std::arch::is_x86_feature_detected!("avx512f") {
            // SAFETY: the processor has AVX-512F.
            return (rate(16, || unsafe { x86::avx512(black_box(1.0)) }), "AVX-512");
        }
        if std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma") {
            // SAFETY: the processor has AVX2 and FMA.
            return (rate(8, || unsafe { x86::avx2(black_box(1.0)) }), "AVX2");
        }
    }
    (rate(4, || portable(black_box(1.0))), "portable, multiply and add")
}

fn rate(lanes: usize, mut chains: impl FnMut() -> f32) -> f64 {
    (lanes * CHAINS * ROUNDS) as f64
        / least_seconds(9, || {
            black_box(chains());
        })
}

fn portable(x: f32) -> f32 {
    let mut sums = [[x; 4]; CHAINS];
    for _ in 0..ROUNDS {
        for sum in sums.as_flattened_mut() {
            *sum = *sum * x + x;
        }
    }
    sums.as_flattened().iter().sum()
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{
        _mm256_cvtss_f32, _mm256_fmadd_ps, _mm256_set1_ps, _mm512_cvtss_f32, _mm512_fmadd_ps, _mm512_set1_ps,
    };

    use super::{CHAINS, ROUNDS};

    #[target_feature(enable = "avx512f")]
    pub(super) fn avx512(x: f32) -> f32 {
        let x = _mm512_set1_ps(x);
        let mut sums = [x; CHAINS];
        for _ in 0..ROUNDS {
            for sum in &mut sums {
                *sum = _mm512_fmadd_ps(*sum, x, x);
            }
        }
        sums.into_iter().map(|sum| _mm512_cvtss_f32(sum)).sum()
    }

    #[target_feature(enable = "avx2,fma")]
    pub(super) fn avx2(x: f32) -> f32 {
        let x = _mm256_set1_ps(x);
        let mut sums = [x; CHAINS];
        for _ in 0..ROUNDS {
            for sum in &mut sums {
                *sum = _mm256_fmadd_ps(*sum, x, x);
            }
        }
        sums.into_iter().map(|sum| _mm256_cvtss_f32(sum)).sum()
    }

    /// See [`super::sum`].
    #[target_feature(enable = "avx512f")]
    pub(super) fn sum_avx512(values: &[f32]) -> f32 {
        super::sum_of(values)
    }

    /// See [`super::sum`].
    #[target_feature(enable = "avx2")]
    pub(super) fn sum_avx2(values: &[f32]) -> f32 {
        super::sum_of(values)
    }
}

/// Bytes per second that one core reads from an array of `bytes` bytes, again and again.
pub(crate) fn bytes_per_second(bytes: usize) -> f64 {
    let values = vec![1.0f32; bytes / size_of::<f32>()];
    let passes = ((1 << 27) / bytes).max(1);
    let seconds = least_seconds(7, || {
        for _ in 0..passes {
            black_box(sum(black_box(&values)));
        }
    });
    (bytes * passes) as f64 / seconds
}

fn sum(values: &[f32]) -> f32 {
    #[cfg(target_arch = "x86_64")]
    {
        if std::arch::is_x86_feature_detected!("avx512f") {
            // SAFETY: the processor has AVX-512F.
            return unsafe { x86::sum_avx512(values) };
        }
        if std::arch::is_x86_feature_detected!("avx2") {
            // SAFETY: the processor has AVX2.
            return unsafe { x86::sum_avx2(values) };
        }
    }
    sum_of(values)
}

/// Adds in 128 lanes, so that loads and not additions are what takes time.
#[inline(always)]
fn sum_of(values: &[f32]) -> f32 {
    let mut sums = [0.0f32; 128];
    for chunk in values.as_chunks::<128>().0 {
        for (sum, value) in sums.iter_mut().zip(chunk) {
            *sum += value;
        }
    }
    sums.iter().sum()
}
