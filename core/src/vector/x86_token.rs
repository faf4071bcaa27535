//! The processor's instructions are `unsafe` functions. A token, [`Avx2`] or [`Avx512`], allows them: it exists only after the
//! processor was asked for them.

/// Proof of AVX2, FMA and F16C.
#[derive(Clone, Copy)]
pub(crate) struct Avx2(());

/// Proof of AVX-512F, AVX2, FMA and F16C.
#[derive(Clone, Copy)]
pub(crate) struct Avx512(());

impl Avx2 {
    pub(crate) fn detect() -> Option<Self> {
        let found = std::is_x86_feature_detected!("avx2")
            && std::is_x86_feature_detected!("fma")
            && std::is_x86_feature_detected!("f16c");
        found.then_some(Self(()))
    }
}

impl Avx512 {
    pub(crate) fn detect() -> Option<Self> {
        let found = std::is_x86_feature_detected!("avx512f") && Avx2::detect().is_some();
        found.then_some(Self(()))
    }
}

/// One instruction whose feature the token `self` proves.
macro_rules! proven {
    ($instruction:expr) => {{
        // SAFETY: `self` exists only if the processor has the feature; no memory is touched.
        #[allow(unsafe_code, reason = "the features were detected")]
        unsafe {
            $instruction
        }
    }};
}
pub(super) use proven;
