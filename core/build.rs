//! Names the processors that have kernels of their own.

use std::env;

fn main() {
    println!("cargo::rustc-check-cfg=cfg(cortex_m_fpu, cortex_m_dsp, armv8_m)");
    println!("cargo::rerun-if-changed=build.rs");
    let Ok(target) = env::var("TARGET") else { return };
    if has_cortex_m_fpu(&target) {
        println!("cargo::rustc-cfg=cortex_m_fpu");
    }
    if has_cortex_m_dsp(&target) {
        println!("cargo::rustc-cfg=cortex_m_dsp");
    }
    if target.starts_with("thumbv8m.main-") {
        println!("cargo::rustc-cfg=armv8_m");
    }
}

/// Whether a target is a Cortex-M that multiplies pairs of 16 bits: every M4 and M7, and the M33s that have an FPU too.
fn has_cortex_m_dsp(target: &str) -> bool {
    target.starts_with("thumbv7em-") || has_cortex_m_fpu(target)
}

/// Whether a target is a Cortex-M with at least FPv4-SP, and with it VCVTB: both targets with a hard-float ABI. (Cortex-R
/// and Cortex-A are `arm` and `none` too, and the latter has NEON.)
pub(crate) fn has_cortex_m_fpu(target: &str) -> bool {
    let is_m = ["thumbv7em-", "thumbv8m.main-"].iter().any(|architecture| target.starts_with(architecture));
    is_m && target.ends_with("eabihf")
}
